"""What is too large hears size, limit and the lawful way: at MAIL, at the end of DATA, and by notice."""

from __future__ import annotations

import asyncio
from email import message_from_bytes, policy
from typing import Any

import pytest

from mail.checks.size import too_large
from mail.policy import PolicyError, Rules, parse_policy
from mail.tell.replies import reply_to

AMAL, SALIM, NOOR = "amal@finance.saba.example", "salim@interior.saba.example", "noor@freemail.example"
OWN = b"From: <amal@finance.saba.example>\r\nSubject: figures\r\nMessage-ID: <2@x>\r\n\r\nAttached.\r\n"
LARGE = OWN + b"x" * 76 + b"\r\n"


async def until(true: Any, seconds: float = 10) -> Any:
    async with asyncio.timeout(seconds):
        while not (found := true()):
            await asyncio.sleep(0.02)
        return found


def words_of(notice: bytes) -> str:
    body = message_from_bytes(notice, policy=policy.default).get_body(("plain",))
    assert body is not None
    return str(body.get_content())


async def test_at_mail_the_refusal_says_size_limit_and_the_lawful_way_and_is_told_once(start: Any) -> None:
    async with start(max_message_bytes=5_000_000) as running:
        talk = await running.logged_in()
        for _ in range(3):  # a mail program that tries again
            reply = await talk.say(f"MAIL FROM:<{AMAL}> SIZE=52428800")
            assert reply.startswith(
                "552 5.3.4 H-SIZE-01 The message has 52428800 octets (50.0 MiB), more than the 5000000 (4.8 MiB) taken."
                " Put large files into the national file exchange, https://files.saba.example, and send the link."
            )
            assert reply.isascii()
            assert len(reply) <= 510
        await until(running.notices)
        (notice,) = running.notices()
        assert "منصة التبادل الوطنية https://files.saba.example" in words_of(notice)
        assert "national file exchange" in words_of(notice)
        assert (await talk.say(f"MAIL FROM:<{AMAL}> SIZE=4999999")).startswith("250")


async def test_at_the_end_of_data_too_and_each_recipient_is_named(start: Any) -> None:
    async with start(max_message_bytes=120) as running:
        talk = await running.logged_in()
        await talk.envelope(AMAL, SALIM)
        reply = await talk.data(LARGE)
        assert f"has {len(LARGE) + 2} octets" in reply, reply
        assert "more than the 120 (0.0 MiB)" in reply
        assert "https://files.saba.example" in reply
        await until(running.notices)
        assert SALIM in words_of(running.notices()[0])
        await until(lambda: running.actions() == ["refused"])
        assert running.events()[0]["rule"]["id"] == ["H-SIZE-01"]
        assert running.mail() == []


async def test_a_bodys_own_limit_is_heard_at_mail_before_anything_is_sent(start: Any) -> None:
    async with start(policy={"max_size": 1024}) as running:
        talk = await running.logged_in()
        assert "more than the 1024 (0.0 MiB)" in await talk.say(f"MAIL FROM:<{AMAL}> SIZE=2000")
        outsider = await running.hello()
        assert (await outsider.say(f"MAIL FROM:<{NOOR}> SIZE=2000")).startswith("250")  # each recipient's body decides


def test_the_longest_words_of_a_policy_still_fit_a_reply() -> None:
    rules = Rules(large_files_en="x" * 200, large_files_ar="ض" * 400)
    reply = reply_to(too_large(10**12, 10**11, rules), help_url="https://hudhud.example/r", reference="0-7H3K9QX2M4")
    assert len(reply.line()) <= 510
    assert "x" * 200 in reply.line()
    assert reply.line().endswith("(ref 0-7H3K9QX2M4)")


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ('large_files_en = "a"', "is said in both languages or in none"),
        ('large_files_en = "é"\nlarge_files_ar = "ض"', "of ASCII"),
        ('large_files_en = "a\\r\\nb"\nlarge_files_ar = "ض"', "one line"),
    ],
)
def test_the_policys_words_for_large_files_are_one_short_line_in_both_languages(lines: str, problem: str) -> None:
    with pytest.raises(PolicyError, match=problem):
        parse_policy({"policy.toml": f'version = "1"\n[default]\n{lines}\n'.encode()})


async def test_sizes_that_are_too_large_count_as_messages_so_that_they_cannot_drive_other_limits_out(
    start: Any,
) -> None:
    async with start(messages_per_minute_per_account=3) as running:
        talk = await running.logged_in()
        replies = [(await talk.say(f"MAIL FROM:<{AMAL}> SIZE={90_000_000 + n}"))[:3] for n in range(5)]
        assert replies == ["552"] * 3 + ["450"] * 2
