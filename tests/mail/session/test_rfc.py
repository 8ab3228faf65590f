"""What the standards say an SMTP server must do, where no other test asks it; docs/rfc.md names them all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mail.session.grammar import ParameterError, parse_mail_command, parse_rcpt_command

AMAL, SALIM, NOOR = "amal@finance.saba.example", "salim@interior.saba.example", "noor@freemail.example"
MESSAGE = b"From: <noor@freemail.example>\r\nTo: <amal@finance.saba.example>\r\nSubject: hi\r\n\r\nHello."
OWN = b"From: <amal@finance.saba.example>\r\nTo: <salim@interior.saba.example>\r\nSubject: figures\r\n\r\nAttached."


async def test_commands_and_keywords_are_read_in_any_case_and_blanks_behind_them_do_not_matter(start: Any) -> None:
    async with start() as running:
        talk = await running.connect()
        await talk.reply()
        assert (await talk.say("eHlO client.example  ")).startswith("250-")
        assert (await talk.say("mAiL fRoM:<noor@freemail.example> sIzE=100 bOdY=8bItMiMe ")).startswith("250")
        assert (await talk.say("rCpT tO:<amal@finance.saba.example> NoTiFy=nEvEr")).startswith("250")
        assert (await talk.say("dAtA ")).startswith("354")
        talk.send(MESSAGE + b"\r\n.\r\n")
        assert (await talk.reply()).startswith("250")
        assert (await talk.say("qUiT ")).startswith("221")


async def test_ehlo_in_the_middle_begins_anew_and_a_refused_one_changes_nothing(start: Any) -> None:
    async with start() as running:
        talk = await running.hello()
        await talk.envelope(NOOR, AMAL)
        assert (await talk.say("EHLO")).startswith("501")
        assert (await talk.say(f"RCPT TO:<{AMAL}>")).startswith("250")
        assert (await talk.say("EHLO again.example")).startswith("250-")
        assert (await talk.say(f"RCPT TO:<{AMAL}>")).startswith("503")
        await talk.envelope(NOOR, AMAL)
        assert "\n" not in await talk.say("HELO old.example")
        assert (await talk.say("DATA")).startswith("503")


async def test_after_a_message_nothing_of_it_is_left(start: Any) -> None:
    async with start() as running:
        talk = await running.hello()
        await talk.envelope(NOOR, AMAL)
        assert (await talk.data(MESSAGE)).startswith("250")
        assert (await talk.say(f"RCPT TO:<{AMAL}>")).startswith("503")
        assert (await talk.say("DATA")).startswith("503")
        await talk.envelope(NOOR, SALIM)
        assert (await talk.say("RSET")).startswith("250")
        assert (await talk.say("DATA")).startswith("503")
        await talk.envelope(NOOR, SALIM)
        assert (await talk.data(MESSAGE)).startswith("250")
        assert [len(one["recipients"]) for one in running.mail()] == [1, 1]


async def test_a_connection_that_breaks_off_leaves_no_transaction_and_undoes_none(start: Any) -> None:
    async with start() as running:
        talk = await running.hello()
        await talk.envelope(NOOR, AMAL)
        assert (await talk.data(MESSAGE)).startswith("250")
        await talk.envelope(NOOR, SALIM)
        await talk.say("DATA")
        talk.send(MESSAGE)
        await talk.writer.drain()
        talk.writer.transport.abort()  # type: ignore[attr-defined]  # a stream's transport has it
        other = await running.hello()
        assert (await other.say("NOOP")).startswith("250")
        (one,) = running.mail()
        assert one["recipients"][0]["address"] == AMAL


async def test_sizes_that_every_server_takes(start: Any) -> None:
    """RFC 5321 section 4.5.3.1: local part 64, path 256, command 512, text line 1000, content 64K, 100 recipients."""
    long_domain = ".".join(["d" * 60] * 3) + ".saba.example"
    async with start() as running:
        talk = await running.hello()
        assert (await talk.say("EHLO " + ".".join(["d" * 63] * 4)[:255])).startswith("250-")
        sender = f"{'l' * (254 - len(long_domain) - 1)}@{long_domain}"
        assert len(sender) == 254
        assert len(sender.partition("@")[0]) <= 64
        assert (await talk.say(f"MAIL FROM:<{sender}>")).startswith("250")
        for number in range(100):
            name = f"u{number}".ljust(64, "l")
            assert (await talk.say(f"RCPT TO:<{name}@finance.saba.example>")).startswith("250")
        line = b"x" * 998 + b"\r\n"
        assert (await talk.data(MESSAGE + b"\r\n" + line * 100 + b"y" * 300_000)).startswith("250")
        (one,) = running.mail()
        assert len(one["recipients"]) == 100
        assert (await talk.say("NOOP " + "x" * 505)).startswith("250")


async def test_the_case_of_a_local_part_goes_on_as_it_came(start: Any) -> None:
    async with start() as running:
        talk = await running.hello()
        await talk.envelope("NoOr@FreeMail.Example", "AmAl@FINANCE.saba.example")
        await talk.data(MESSAGE)
        (one,) = running.mail()
        assert (one["sender"], one["recipients"][0]["address"]) == (
            "NoOr@FreeMail.Example",
            "AmAl@FINANCE.saba.example",
        )


async def test_postmaster_is_a_mailbox_of_every_domain_that_is_served(start: Any) -> None:
    async with start(postmaster="diwan@finance.saba.example") as running:
        talk = await running.hello()
        replies = await talk.envelope("", "postmaster", "POSTMASTER", "PostMaster@finance.saba.example")
        assert [reply[:3] for reply in replies] == ["250"] * 4


async def test_what_was_there_of_trace_stays_and_ours_goes_above_it(start: Any, tmp_path: Path) -> None:
    from hudhud.clock import SYSTEM
    from mail.carry.letter import assemble
    from mail.sign import Signer

    older = b"Received: this is no stamp at all\r\nReceived: from a by b; Mon, 1 Jan 1990 00:00:00 +0000\r\n"
    async with start() as running:
        talk = await running.hello()
        await talk.envelope(NOOR, AMAL, SALIM)
        assert (await talk.data(older + MESSAGE)).startswith("250")
        (one,) = running.mail()
        number = next(iter(running.spool.database.read("SELECT number FROM messages")))[0]
        stored = running.spool.load(number)
        content = assemble(stored, running.spool.data(stored), Signer(tmp_path, "x", SYSTEM))
        first, _, rest = content.partition(b"\r\nX-Hudhud-Id")
        assert first.startswith(b"Received: from client.example ([127.0.0.1])\r\n\tby mx.relay.saba.example")
        assert b" with ESMTP" in first
        assert one["id"].encode() in first
        assert b"for <" not in first  # two recipients: the clause would name more than one path, or tell a blind copy
        assert rest.endswith(older + MESSAGE + b"\r\n")


async def test_dsn_parameters_change_no_reply(start: Any) -> None:
    async with start(max_junk_commands=1000) as running:
        talk = await running.hello()
        for words, code in (
            ("", "250"), (" RET=FULL", "250"), (" RET=hdrs ENVID=" + "x" * 100, "250"), (" ENVID=+20+7E", "250"),
            (" RET", "501"), (" RET=SOME", "501"), (" ENVID=", "501"), (" ENVID=+0A", "501"), (" ENVID=+7F", "501"),
            (" ENVID=a=b", "501"), (" RET=FULL RET=FULL", "501"), (" ENVID=a ENVID=b", "501"),
            (" ENVID=" + "x" * 101, "501"),
        ):  # fmt: skip
            reply = await talk.say(f"MAIL FROM:<{NOOR}>{words}")
            assert reply.startswith(f"{code} "), (words, reply)
            assert reply[4:8] in ("2.1.", "5.5."), reply
            await talk.say("RSET")
        await talk.say(f"MAIL FROM:<{NOOR}>")
        taken, refused = AMAL, "nobody@partner.example"
        for words in (
            "",
            " NOTIFY=NEVER",
            " NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=rfc822;" + "x" * 493,
            " ORCPT=x-y;a+2Bb",
        ):
            assert (await talk.say(f"RCPT TO:<{taken}>{words}")).startswith("250 2.1.5"), words
            assert (await talk.say(f"RCPT TO:<{refused}>{words}")).startswith("550 5.7.1"), words
        for words in (
            " NOTIFY", " NOTIFY=NEVER,SUCCESS", " NOTIFY=SUCCESS,SUCCESS", " NOTIFY=,", " NOTIFY=NEVER NOTIFY=NEVER",
            " ORCPT=rfc822", " ORCPT=rfc822;", " ORCPT=rfc822;a+0D", " ORCPT=rfc822;a+2b", " ORCPT=;a",
            " ORCPT=rfc822;a ORCPT=rfc822;a", " ORCPT=rfc822;" + "x" * 494, " ORCPT=rfc822;أ",
        ):  # fmt: skip
            assert (await talk.say(f"RCPT TO:<{taken}>{words}")).startswith("501 5.5.4"), words


@pytest.mark.parametrize(
    ("value", "utf8", "right"),
    [
        ("utf-8;a@b.example", False, True), (r"utf-8;a\x{2B}b@c.example", False, True),
        (r"utf-8;\x{623}@c.example", False, True),
        (r"utf-8;\x{10FFFF}", False, True), (r"UTF-8;\x{5C}\x{3D}\x{20}", False, True),
        ("utf-8;أمل@c.example", True, True),
        ("utf-8;أمل@c.example", False, False), ("utf-8;a+b@c.example", False, False), (r"utf-8;a\b", True, False),
        (r"utf-8;\x{41}", False, False), (r"utf-8;\x{D800}", False, False), (r"utf-8;\x{110000}", False, False),
        ("utf-8;a=b", True, False), ("utf-8;\u2028", True, False), ("utf-8;", True, False), ("rfc822;أ", True, False),
        ("rfc822;+D8+A3@c.example", True, True), ("rfc822;+D8+A3@c.example", False, False), ("rfc822;+D8", True, False),
        ("rfc822;+C2+85", True, False),
    ],
)  # fmt: skip
def test_original_recipients_outside_ascii_are_written_as_rfc_6533_says(value: str, utf8: bool, right: bool) -> None:
    argument = f"TO:<a@b.example> ORCPT={value}".encode()
    if right:
        assert parse_rcpt_command(argument, smtputf8=utf8).orcpt == value
    else:
        with pytest.raises(ParameterError) as refused:
            parse_rcpt_command(argument, smtputf8=utf8)
        assert refused.value.code == 501


async def test_smtputf8_is_offered_bare_with_8bitmime_and_no_reply_leaves_ascii(start: Any) -> None:
    async with start() as running:
        talk = await running.connect()
        await talk.reply()
        offers = [line[4:] for line in (await talk.say("EHLO أ.example")).splitlines()]
        assert "SMTPUTF8" in offers
        assert "8BITMIME" in offers
        assert offers[0].isascii()
        for line in (
            "VRFY أمل SMTPUTF8",
            "VRFY أمل",
            "MAIL FROM:<أمل@b.example> SMTPUTF8=yes",
            "EXPN أمل",
            "HELP أ",
            "أ",
        ):
            assert (await talk.say(line)).isascii()  # the stream is decoded as ASCII, too
        assert (await talk.say("VRFY أمل SMTPUTF8")).startswith("252 2.5.0")
        assert (await talk.say("MAIL FROM:<أمل@مالية.example> SMTPUTF8")).startswith("250")
        assert (await talk.say("RCPT TO:<أمل@finance.saba.example>")).startswith("250")
        assert (await talk.say("RCPT TO:<أمل@partner.example>")).isascii()
        await talk.say("RSET")
        assert (await talk.say("MAIL FROM:<أمل@b.example>")).startswith("550 5.6.7")
        await talk.say(f"MAIL FROM:<{NOOR}>")
        assert (await talk.say("RCPT TO:<أمل@finance.saba.example>")).startswith("553 5.6.7")


async def test_requiretls_is_offered_and_taken_in_tls_only_and_stays_with_the_message(start: Any) -> None:
    async with start() as running:
        talk = await running.connect()
        await talk.reply()
        assert "REQUIRETLS" not in await talk.say("EHLO x.example")
        assert (await talk.say(f"MAIL FROM:<{NOOR}> REQUIRETLS")).startswith("555 5.5.4")
        await talk.say("STARTTLS")
        await talk.start_tls(running.context)
        assert "REQUIRETLS" in (await talk.say("EHLO x.example")).split()
        assert (await talk.say(f"MAIL FROM:<{NOOR}> REQUIRETLS=1")).startswith("501 5.5.4")
        for word in (" requiretls", ""):
            await talk.say(f"MAIL FROM:<{NOOR}>{word}")
            await talk.say(f"RCPT TO:<{AMAL}>")
            assert (await talk.data(MESSAGE)).startswith("250")
        kept = [running.spool.show(one["id"])["envelope"]["requiretls"] for one in running.mail()]
        assert sorted(kept) == [False, True]
        numbers = [row[0] for row in running.spool.database.read("SELECT number FROM messages ORDER BY number")]
        assert [running.spool.load(number).requiretls for number in numbers] == [True, False]


async def test_requiretls_can_be_left_out(start: Any) -> None:
    async with start(requiretls=False) as running:
        talk = await running.logged_in()
        assert (await talk.say(f"MAIL FROM:<{AMAL}> REQUIRETLS")).startswith("555")


async def test_a_group_of_commands_without_a_good_recipient_is_answered_whole(start: Any) -> None:
    """RFC 2920 section 3.2: no input is lost, and DATA says no where no recipient was taken."""
    async with start() as running:
        talk = await running.hello()
        talk.send(b"RSET\r\nMAIL FROM:<noor@freemail.example>\r\nRCPT TO:<x@partner.example>\r\nDATA\r\n")
        talk.send(
            b"RSET\r\nMAIL FROM:<noor@freemail.example>\r\nRCPT TO:<amal@finance.saba.example>\r\nNOOP\r\nQUIT\r\n"
        )
        codes = [(await talk.reply())[:3] for _ in range(9)]
        assert codes == ["250", "250", "550", "554", "250", "250", "250", "250", "221"]


async def test_on_submission_domains_are_whole(start: Any) -> None:
    async with start() as running:
        talk = await running.logged_in()
        assert (await talk.say("MAIL FROM:<amal@finance>")).startswith("554 5.1.2")
        assert (await talk.say(f"MAIL FROM:<{AMAL}>")).startswith("250")
        assert (await talk.say("RCPT TO:<salim@interior>")).startswith("554 5.1.2")
        assert (await talk.say(f"RCPT TO:<{SALIM}>")).startswith("250")
        assert (await talk.data(OWN)).startswith("250")


@pytest.mark.parametrize("command", ["ETRN x", "ATRN x", "BDAT 1 LAST", "EXPN x", "TURN", "SEND FROM:<a@b.example>"])
async def test_what_is_not_offered_is_not_taken(start: Any, command: str) -> None:
    async with start() as running:
        talk = await running.logged_in()
        assert command.split(maxsplit=1)[0] not in await talk.say("EHLO x.example")
        assert (await talk.say(command)).startswith("502 5.5.1")


async def test_starttls_has_no_argument_and_a_failed_handshake_ends_the_session(start: Any) -> None:
    async with start() as running:
        talk = await running.hello()
        assert (await talk.say("STARTTLS now")).startswith("501 5.5.4")
        assert (await talk.say("STARTTLS")).startswith("220 2.0.0")
        talk.send(b"EHLO in.the.clear\r\n" * 20)
        assert (await talk.reader.read()).find(b"250") < 0


def test_sizes_are_numbers_of_at_most_twenty_digits() -> None:
    assert parse_mail_command(b"FROM:<a@b.example> SIZE=" + b"9" * 20).size == int("9" * 20)
    for wrong in (b"9" * 21, b"", b"1k", b"-1", "١".encode(), b"1.0", b"0x1"):
        with pytest.raises(ParameterError):
            parse_mail_command(b"FROM:<a@b.example> SIZE=" + wrong)


@pytest.mark.parametrize("value", ["<>", "a@b.example", "a+2Bb@c.example"])
def test_the_auth_parameter_is_read_over(value: str) -> None:
    assert parse_mail_command(f"FROM:<a@b.example> AUTH={value}".encode()).auth == value


@pytest.mark.parametrize("value", ["a+zz", "a=b", "a+0A", "أ@b.example"])
def test_an_auth_parameter_that_is_no_xtext_is_refused(value: str) -> None:
    with pytest.raises(ParameterError):
        parse_mail_command(f"FROM:<a@b.example> AUTH={value}".encode())
