"""Values from outside cannot hide, turn or break what stands around them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console import text


@pytest.mark.parametrize(
    "character", ["\u202e", "\u2066", "\u200f", "\u061c", "\u200b", "\ufeff", "\x00", "\x1b", "\u2028", "\ud800"]
)
def test_a_hidden_character_is_shown_by_its_number(character: str) -> None:
    shown = str(text.outside(f"invoice{character}fdp.exe"))
    assert character not in shown
    assert f"U+{ord(character):04X}" in shown


def test_arabic_text_stays_as_it_is() -> None:
    assert str(text.outside("وزارة المالية ١٢٣")) == "<bdi>وزارة المالية ١٢٣</bdi>"


@given(st.text(max_size=400))
def test_no_text_from_outside_leaves_its_isolation(value: str) -> None:
    shown = str(text.outside(value))
    inner = shown.removeprefix("<bdi>").removesuffix("</bdi>")
    assert "<bdi" not in inner
    assert "</bdi" not in inner
    assert "<script" not in inner
    shown.encode()
    assert not any(text.is_hidden(c) for c in shown)


def test_long_values_are_cut_and_say_so() -> None:
    assert str(text.outside("a" * 1000, 10)) == "<bdi>aaaaaaaaa…</bdi>"


def test_lines_stay_lines_in_a_preview() -> None:
    assert str(text.visible("a\n\tb\r\x07", lines=True)).startswith("a\n\tb<span")


def test_a_time_is_shown_in_utc_with_its_zone() -> None:
    when = datetime(2026, 11, 23, 11, 5, 9, tzinfo=timezone(timedelta(hours=3)))
    assert "2026-11-23 08:05 UTC" in text.moment(when)
    assert "2026-11-23 08:05:09 UTC" in text.exact_moment(when)
    assert str(text.moment(None)) == "–"


@pytest.mark.parametrize(
    ("octets", "shown"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (5 * 1024**2, "5.0 MiB"), (3 * 1024**3, "3.0 GiB")],
)
def test_a_size_has_its_unit(octets: int, shown: str) -> None:
    assert shown in text.size(octets)


@pytest.mark.parametrize(
    ("seconds", "shown"), [(5, "5 s"), (150, "2 min"), (3 * 3600 + 60, "3 h 1 min"), (90_000, "1 d 1 h"), (-4, "0 s")]
)
def test_a_length_of_time_has_its_two_largest_units(seconds: int, shown: str) -> None:
    assert shown in text.span(timedelta(seconds=seconds))


def test_a_length_of_time_is_told_in_arabic() -> None:
    shown = text.span(timedelta(minutes=8), "ar")
    assert "8 د" in shown
    assert 'dir="rtl"' in shown


def test_now_has_a_moment() -> None:
    assert "UTC" in text.moment(datetime.now(UTC))
