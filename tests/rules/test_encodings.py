"""A lure is found in whatever coding its words come: character sets, references, and the relay's own unpacking."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
import pytest_asyncio

from hudhud.settings import Content
from mail.content.examine import Examiner
from mail.envelope import NULL, Client, Envelope
from mail.message import Message
from rules.build import build
from rules.ruleset import compile_ruleset, library

WORDS = "عاجل: امتلأ صندوق بريدك وسيتم إيقاف حسابك خلال 24 ساعة. اضغط هنا http://203.0.113.66/owa لتحديث بياناتك"
RULES = compile_ruleset(library(), "library").yara


@pytest_asyncio.fixture
async def examiner() -> AsyncIterator[Examiner]:
    examiner = Examiner(Content())
    yield examiner
    await examiner.close()


async def ids(examiner: Examiner, data: bytes) -> set[str]:
    client = Client("198.51.100.25", 4025, "freemail.example", None, "mx")
    envelope = Envelope(NULL, (), client, None, datetime(2026, 11, 23, tzinfo=UTC))
    message = Message.read(envelope, "0-A", data)
    contents = await examiner.read(message)
    return {hit.rule for _, hit in (await examiner.scan(message, contents, RULES)).hits}


def mail(content: bytes, kind: str = "text/plain; charset=utf-8", name: str = "") -> bytes:
    named = f'Content-Disposition: attachment; filename="{name}"\r\n' if name else ""
    head = f"From: <a@freemail.example>\r\nMIME-Version: 1.0\r\nContent-Type: {kind}\r\n{named}"
    return f"{head}Content-Transfer-Encoding: base64\r\n\r\n".encode() + base64.encodebytes(content).replace(
        b"\n", b"\r\n"
    )


@pytest.mark.parametrize("charset", ["utf-8", "windows-1256", "iso-8859-6", "utf-16", "utf-16-le"])
async def test_an_arabic_lure_is_found_in_every_character_set(examiner: Examiner, charset: str) -> None:
    text = WORDS if charset != "iso-8859-6" else WORDS.replace("٢", "2")
    assert "HY-0701" in await ids(examiner, mail(text.encode(charset), f"text/plain; charset={charset}"))


async def test_a_lure_in_character_references_is_found(examiner: Examiner) -> None:
    coded = "".join(f"&#{ord(c)};" if ord(c) > 127 or c == ":" else c for c in WORDS)
    assert "HY-0701" in await ids(examiner, mail(f"<html>{coded}</html>".encode(), "text/html"))


async def test_a_macro_whose_start_and_act_stand_in_two_modules_would_be_read_as_one(examiner: Examiner) -> None:
    """The relay hands macro modules over as one part: here as the part that it makes of them."""
    first = 'Attribute VB_Name = "A"\r\nSub AutoOpen()\r\nGo\r\nEnd Sub\r\n'
    source = first + 'Attribute VB_Name = "B"\r\nSub Go()\r\nShell "x"\r\nEnd Sub\r\n'
    assert "HY-0101" in await ids(examiner, mail(source.encode(), "application/octet-stream", "macros.bas"))


async def test_what_an_archive_hides_two_levels_deep_is_found(examiner: Examiner) -> None:
    inner = build({"zip": [{"name": "report.pdf.js", "data": "// stand-in"}]})
    outer = build({"zip": [{"name": "papers.zip", "data": {"hex": inner.hex()}}]})
    found = await ids(examiner, mail(outer, "application/zip", "papers.zip"))
    assert {"HY-0303", "HY-0401"} <= found


async def test_a_locked_archive_beside_its_password_is_held(examiner: Examiner) -> None:
    locked = build({"zip": [{"name": "a.docx", "data": "x" * 50, "encrypted": True}]})
    text = "كلمة المرور 1234"
    lines = [
        "From: <a@freemail.example>", "MIME-Version: 1.0", 'Content-Type: multipart/mixed; boundary="b"', "", "--b",
        "Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: 8bit", "", text, "--b",
        "Content-Type: application/zip", 'Content-Disposition: attachment; filename="a.zip"',
        "Content-Transfer-Encoding: base64", "", base64.b64encode(locked).decode(), "--b--", "",
    ]  # fmt: skip
    assert {"HY-0312", "HY-0314"} <= await ids(examiner, "\r\n".join(lines).encode())
