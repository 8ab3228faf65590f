"""The carved reading looks through a window: what lies across its edge is found all the same."""

from __future__ import annotations

import base64

import pytest

from mail.content.carve import WINDOW, carve

FILE = b"%PDF-1.7\n" + bytes(range(256)) * 40


@pytest.mark.parametrize("before", [0, WINDOW - 5000, WINDOW - 100, WINDOW - 3, WINDOW, 3 * WINDOW - 77])
@pytest.mark.parametrize("filler", [b"some words and no more\r\n", b". "])
def test_a_file_in_text_is_found_wherever_the_window_ends(before: int, filler: bytes) -> None:
    text = (filler * (before // len(filler) + 1))[:before] + b"\r\n"
    data = text + base64.encodebytes(FILE).replace(b"\n", b"\r\n") + b"\r\nbye\r\n"
    assert FILE in [found for _, _, found in carve(data)]


@pytest.mark.parametrize("before", [WINDOW - 8000, WINDOW - 150, WINDOW - 1, WINDOW + 1])
def test_a_file_on_one_line_is_found_wherever_the_window_ends(before: int) -> None:
    data = b". " * (before // 2) + base64.b64encode(FILE) + b" ."
    assert FILE in [found for _, _, found in carve(data)]


def test_what_never_fits_ends() -> None:
    assert list(carve(b"-" + b"A" * (2 * WINDOW))) == []
