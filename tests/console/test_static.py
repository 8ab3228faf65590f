"""The style sheets: readable in light and in dark, mirrored for Arabic by themselves, nothing from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest

from console.render import static_files

SHEETS = {name: data.decode() for name, (kind, data) in static_files().items() if kind.startswith("text/css")}
BASE = SHEETS["base.css"]
DARK = BASE.partition("prefers-color-scheme: dark")[2].partition("\n}\n")[0]


def colours(text: str) -> Mapping[str, str]:
    return dict(re.findall(r"--([a-z-]+):\s*(#[0-9a-f]{6})", text))


LIGHT_COLOURS = colours(BASE.partition("prefers-color-scheme: dark")[0])
SCHEMES = {"light": LIGHT_COLOURS, "dark": {**LIGHT_COLOURS, **colours(DARK)}}
LEVELS = ("critical", "high", "medium", "low", "calm")
PAIRS = [
    ("ink", "ground"), ("ink", "surface"), ("ink", "accent-soft"), ("muted", "ground"), ("muted", "surface"),
    ("muted", "sunken"), ("accent", "ground"), ("accent", "surface"), ("accent-ink", "accent"), ("rail-ink", "rail"),
    ("rail-ink", "rail-on"), ("surface", "critical"), *((level, f"{level}-soft") for level in LEVELS),
]  # fmt: skip


def luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(("front", "back"), PAIRS)
def test_text_stands_out_from_its_ground(scheme: str, front: str, back: str) -> None:
    one, other = sorted((luminance(SCHEMES[scheme][front]), luminance(SCHEMES[scheme][back])))
    assert (other + 0.05) / (one + 0.05) >= 4.5, "WCAG 2.2, 1.4.3 (AA)"


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_focus_stands_out_from_every_ground(scheme: str) -> None:
    for back in ("ground", "surface"):
        one, other = sorted((luminance(SCHEMES[scheme]["focus"]), luminance(SCHEMES[scheme][back])))
        assert (other + 0.05) / (one + 0.05) >= 3, "WCAG 2.2, 1.4.11 (AA)"


@pytest.mark.parametrize("name", sorted(SHEETS))
def test_sides_are_logical_so_that_arabic_mirrors_by_itself(name: str) -> None:
    physical = re.findall(
        r"(?:margin|padding|border|inset)-(?:left|right)|^\s*(?:left|right|float):|border-(?:top|bottom)-(?:left|right)",
        SHEETS[name],
        re.M,
    )
    assert not physical


@pytest.mark.parametrize("name", sorted(SHEETS))
def test_a_style_sheet_fetches_nothing(name: str) -> None:
    assert "url(" not in SHEETS[name]
    assert "@import" not in SHEETS[name]


def test_every_style_sheet_is_used() -> None:
    from console.render import render  # the page that everybody sees first

    html = render("shell.html", "ar", {"token": ""})
    assert all(f"/static/{name}?" in html for name in SHEETS)
