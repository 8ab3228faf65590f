"""What came in by any worker does not go on abroad: a live relay, two shards, a body's own server."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hudhud.database import Database
from mail.content import marks
from mail.shelf.stored import SCHEMA
from mail.threads import SpoolThreads, arrived
from tests.mail.session.test_servers import AMAL, BY_ADDRESS, NOOR, SALIM, knowing

RANIA = "rania@finance.saba.example"
TEXT = "The figures of the next year were agreed upon this morning; please keep the table below to yourself for now."


def _message(sender: str, message_id: str, text: str = TEXT) -> bytes:
    lines = (f"From: <{sender}>", f"To: <{SALIM}>", "Subject: figures", f"Message-ID: <{message_id}>")
    return "\r\n".join((*lines, "", text)).encode()


async def test_a_redirect_and_a_copied_text_are_refused_and_an_answer_leaves_an_event(
    start: Any, tmp_path: Path
) -> None:
    threads = SpoolThreads(tmp_path / "relay")
    async with start(rules=knowing(BY_ADDRESS), threads=threads, policy={"foreign": "allow"}) as running:
        talk = await running.hello()

        async def sent(data: bytes, sender: str, rcpt: str) -> str:
            await talk.envelope(sender, rcpt)
            return str(await talk.data(data))

        assert (await sent(_message(RANIA, "1@fin"), RANIA, SALIM)).startswith("250")
        refused = await sent(_message(AMAL, "1@fin"), AMAL, NOOR)
        assert refused.startswith("550 5.7.1 H-FWD-02"), refused
        refused = await sent(_message(AMAL, "2@fin", f"FYI\r\n\r\nFrom: Rania\r\nSent: now\r\n\r\n{TEXT}"), AMAL, NOOR)
        assert refused.startswith("550 5.7.1 H-FWD-02"), refused
        assert (await sent(_message(RANIA, "1@fin"), RANIA, NOOR)).startswith("250")  # she wrote it herself
        other = Database(tmp_path / "relay" / "shard-7.db", SCHEMA)
        known = marks.of("9@int", "", ()).lasting
        other.commit_now(lambda c: arrived(c, known, [SALIM], datetime.now(UTC)))
        refused = await sent(_message(AMAL, "9@int", "Something else that nobody wrote before."), AMAL, NOOR)
        assert refused.startswith("550 5.7.1 H-FWD-02"), refused
        other.close()
    threads.close()


async def test_an_answer_abroad_is_told_as_an_event(start: Any) -> None:
    from mail.threads import KnownThreads

    began = KnownThreads([(AMAL, NOOR, "q@freemail.example", datetime.now(UTC))])
    async with start(rules=knowing(BY_ADDRESS), threads=began) as running:
        talk = await running.hello()
        await talk.envelope(AMAL, NOOR)
        answer = _message(AMAL, "3@fin").replace(b"Subject", b"In-Reply-To: <q@freemail.example>\r\nSubject", 1)
        assert (await talk.data(answer)).startswith("250")
        told = [e for e in running.events() if e["event"]["action"] == "reply-abroad"]
        assert [e["email"]["to"]["address"] for e in told] == [[NOOR]]
        assert told[0]["organization"]["id"] == "FIN"
        (whole,) = [e for e in running.events() if e["event"]["action"] == "tagged"]  # To: names somebody else
        assert whole["rule"]["id"] == ["H-TO-01"]
        assert whole["hudhud"]["mail"]["noted"] == ["H-NAT-02"]
