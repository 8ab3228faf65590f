"""Realistic messages of 2, 10, 100 and 400 KiB, the same each time: text, HTML, quoted-printable, a PDF, an archive.

Each message that is sent has a number of its own in its Message-ID and in its text, so that no two are the same bytes
and the sink can tell one that came twice from two that came once.
"""

from __future__ import annotations

import base64
import io
import quopri
import random
import re
import zipfile
from dataclasses import dataclass
from functools import cache
from typing import Literal

Size = Literal["2k", "10k", "100k", "400k"]
SIZES: tuple[Size, ...] = ("2k", "10k", "100k", "400k")
VARIANTS = 16  # different texts and attachments of one size
ID_DOMAIN = "bench.saba.example"
ID = re.compile(rb"\r\nMessage-ID: <m\.(\d{10})@" + re.escape(ID_DOMAIN.encode()) + rb">")

_NUMBER = b"@@@@@@@@@@"  # stands for the ten digits of the message's number
_ARABIC = (
    "الوزارة الميزانية الفاتورة العقد الطلب الدفعة الوثيقة الموعد الجواب القضية التسليم الاجتماع المرفق نرجو التأكيد"
)
_ENGLISH = (
    "the of and to in a is that for it as was with be by on not he his but at are this have from or had an they which "
    "one you were all her she there would their we him been has when who will no more if out so up said what its about "
    "than into them can only other time new some could these two may first then do any like my now over such our most "
)
_WORDS = (_ARABIC + " " + _ENGLISH).split()


@dataclass(frozen=True, slots=True)
class Template:
    """A message with gaps for its number."""

    pieces: tuple[bytes, ...]

    def fill(self, number: int) -> bytes:
        """The message with CRLF line ends, dots stuffed, without the final dot."""
        return (b"%010d" % number).join(self.pieces)


def identity(number: int) -> str:
    """The Message-ID of the message with that number, without its angle brackets."""
    return f"m.{number:010d}@{ID_DOMAIN}"


def number_of(data: bytes) -> int | None:
    """The number in the Message-ID of one of our messages; None for any other."""
    found = ID.search(data)
    return int(found[1]) if found else None


@cache
def templates(size: Size, sender: str, recipient: str) -> tuple[Template, ...]:
    """The variants of a size from one address to another."""
    return tuple(_template(size, variant, sender, recipient) for variant in range(VARIANTS))


def _template(size: Size, variant: int, sender: str, recipient: str) -> Template:
    dice = random.Random(f"{size} {variant}")  # noqa: S311 - the same messages each time, no secret
    lines = [
        b"Received: from desk.example (desk.example [192.0.2.50]) by mail.finance.saba.example with ESMTPS",
        b"\tid 4Xabc" + _NUMBER + b"; Mon, 23 Nov 2026 10:00:00 +0100",
        f"From: Amal Haddad <{sender}>".encode(),
        f"To: Salim Khoury <{recipient}>".encode(),
        b"Subject: Re: the contract and its annex " + _NUMBER,
        b"Date: Mon, 23 Nov 2026 10:00:00 +0100",
        b"Message-ID: <m." + _NUMBER + b"@" + ID_DOMAIN.encode() + b">",
        b"User-Agent: Mozilla Thunderbird",
        b"References: <a1@interior.saba.example> <b2@finance.saba.example>",
        b"In-Reply-To: <b2@finance.saba.example>",
        b"MIME-Version: 1.0",
    ]
    data = b"\r\n".join(lines) + b"\r\n" + _content(size, dice)
    stuffed = data.replace(b"\r\n.", b"\r\n..")
    return Template(tuple(stuffed.split(_NUMBER)))


def _content(size: Size, dice: random.Random) -> bytes:
    """The rest of the header and the body."""
    if size == "2k":
        text = _text(dice, 1380)
        return b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + _plain(text)
    text = _text(dice, 900 if size == "10k" else 3000)
    name, kind, attached = (
        ("contract.pdf", "application/pdf", _pdf(dice, 3100))
        if size == "10k"
        else ("report.zip", "application/zip", _archive(dice, 58_500 if size == "100k" else 268_000))
    )
    alternative = _multipart("alternative", f"alt{dice.randrange(1 << 32):08x}", [_quoted(text), _html(text)])
    disposition = f'Content-Disposition: attachment; filename="{name}"\r\n'
    attachment = (
        f'Content-Type: {kind}; name="{name}"\r\n{disposition}Content-Transfer-Encoding: base64\r\n\r\n'.encode()
        + base64.encodebytes(attached).replace(b"\n", b"\r\n")
    )
    return _multipart("mixed", f"mix{dice.randrange(1 << 32):08x}", [alternative, attachment])


def _text(dice: random.Random, octets: int) -> str:
    sentences: list[str] = []
    length = 0
    while length < octets:
        sentence = " ".join(dice.choices(_WORDS, k=dice.randint(6, 14))).capitalize() + "."
        sentences.append(sentence)
        length += len(sentence.encode()) + 2
    return "\r\n".join(sentences)


def _plain(text: str) -> bytes:
    return text.encode() + b"\r\nOur number: " + _NUMBER + b"\r\n"


def _encoded(data: bytes) -> bytes:
    return quopri.encodestring(data.replace(b"\r\n", b"\n")).replace(b"\n", b"\r\n")


def _quoted(text: str) -> bytes:
    head = b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    return head + _encoded(_plain(text))


def _html(text: str) -> bytes:
    paragraphs = "\r\n".join(
        f'<p>{sentence} <a href="https://portal.finance.saba.example/case/{number}">case {number}</a></p>'
        for number, sentence in enumerate(text.split("\r\n"))
    )
    page = f"<html><head><style>p{{font:12pt sans-serif;color:#222}}</style></head><body>\r\n{paragraphs}\r\n"
    head = b"Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    return head + _encoded(page.encode() + b"<p>" + _NUMBER + b"</p></body></html>\r\n")


def _multipart(kind: str, boundary: str, parts: list[bytes]) -> bytes:
    head = f'Content-Type: multipart/{kind}; boundary="{boundary}"\r\n\r\n'.encode()
    mark = f"--{boundary}\r\n".encode()
    return head + b"".join(mark + part + b"\r\n" for part in parts) + f"--{boundary}--\r\n".encode()


def _pdf(dice: random.Random, octets: int) -> bytes:
    before = (
        b"%PDF-1.4\n1 0 obj\n<< /Type /Catalog /Pages 2 0 R >>\nendobj\n2 0 obj\n<< /Type /Pages /Count 0 /Kids [] >>\n"
    )
    stream = f"endobj\n3 0 obj\n<< /Length {octets} >>\nstream\n".encode() + dice.randbytes(octets)
    return before + stream + b"\nendstream\nendobj\ntrailer\n<< /Root 1 0 R >>\n%%EOF\n"


def _archive(dice: random.Random, octets: int) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in (
            ("report.csv", _text(dice, octets // 4).encode()),
            ("figures.dat", dice.randbytes(octets)),
            ("readme.txt", _text(dice, 800).encode()),
        ):
            archive.writestr(zipfile.ZipInfo(name, (2026, 11, 23, 10, 0, 0)), data, zipfile.ZIP_DEFLATED)
    return file.getvalue()
