"""PDF streams: what is deflated in them is found, and hostile files cost no more than their size."""

from __future__ import annotations

import zlib

from mail.content.parts import read
from mail.content.pdf import MAX_STREAMS, pdf

ROOM = 1024 * 1024


def _stream(text: bytes, *, more: bytes = b"", end: bytes = b"\nendstream\nendobj\n") -> bytes:
    packed = zlib.compress(text)
    return b"1 0 obj\n<< /Filter /FlateDecode %s/Length %d >>\nstream\r\n" % (more, len(packed)) + packed + end


def test_deflated_streams_become_one_text_and_pictures_do_not() -> None:
    data = (
        b"%PDF-1.7\n" + _stream(b"/JS (app.alert(1))") + _stream(b"pixels", more=b"/Subtype /Image ") + _stream(b"two")
    )
    opened = pdf(data, ROOM)
    assert [entry.data for entry in opened.entries] == [b"/JS (app.alert(1))\ntwo"]
    assert not opened.encrypted
    assert opened.limits == ()


def test_the_last_stream_may_lack_its_end() -> None:
    assert pdf(b"%PDF-1.7\n" + _stream(b"hidden", end=b""), ROOM).entries[0].data == b"hidden"


def test_a_locked_file_says_so() -> None:
    assert pdf(b"%PDF-1.7\ntrailer << /Encrypt 12 0 R >>", ROOM).encrypted


def test_no_more_than_the_room_comes_out() -> None:
    opened = pdf(b"%PDF-1.7\n" + _stream(bytes(ROOM)) * 3, 10_000)
    assert len(opened.entries[0].data) == 10_000
    assert opened.limits == ("max_unpacked_bytes",)


def test_more_streams_than_the_cap_are_named() -> None:
    assert pdf(b"%PDF-1.7\n" + _stream(b"x") * (MAX_STREAMS + 1), ROOM).limits == ("max_pdf_streams",)


def test_streams_that_never_end_are_read_once() -> None:
    """By a backtracking expression this took the square of the size: minutes."""
    assert pdf(b"%PDF-1.7\n" + b"stream\r\n" * 1_000_000, ROOM).entries == ()


def test_thousands_of_equal_parts_cost_no_more_than_their_number() -> None:
    head = b"From: a@b.example\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    data = head + b"--b\r\n\r\nx\r\n" * 60_000 + b"\0"  # NUL: every reading is made
    contents = read(data)
    assert len(contents.parts) == 500
    assert "max_parts" in contents.limits
    assert "max_readings" in contents.limits
