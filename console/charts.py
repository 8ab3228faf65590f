"""Small bars as inline SVG, drawn by geometry attributes only (the content policy allows no inline styles). Pure."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

WIDTH, HEIGHT = 240, 12  # units of one lying bar's view box
COLUMN_HEIGHT, COLUMN_WIDTH, GAP = 72, 20, 6  # units of a chart of standing bars


def bar(value: float, largest: float, direction: str) -> Markup:
    """A lying bar, from the reading side on; its number stands beside it as text, so screen readers skip it."""
    length = round(WIDTH * value / largest, 1) if largest > 0 else 0.0
    start = WIDTH - length if direction == "rtl" else 0
    return Markup(
        '<svg class="bar" viewBox="0 0 {w} {h}" preserveAspectRatio="none" aria-hidden="true" focusable="false">'
        '<rect class="bar-ground" width="{w}" height="{h}"/>'
        '<rect class="bar-value" x="{x}" width="{length}" height="{h}"/></svg>'
    ).format(w=WIDTH, h=HEIGHT, x=start, length=length)


def columns(values: Sequence[tuple[str, float]], direction: str) -> Markup:
    """Standing bars, one a (label, value), the first on the reading side; a table beside says it in words."""
    largest = max((value for _, value in values), default=0.0)
    step = COLUMN_WIDTH + GAP
    total = max(len(values) * step - GAP, 1)
    drawn = []
    for index, (label, value) in enumerate(values):
        height = max(round(COLUMN_HEIGHT * value / largest, 1), 1.5 if value else 0.0) if largest > 0 else 0.0
        x = total - COLUMN_WIDTH - index * step if direction == "rtl" else index * step
        drawn.append(
            Markup(
                '<g><title>{label}: {value}</title><rect class="bar-ground" x="{x}" y="0" width="{w}" height="{full}"/>'
                '<rect class="bar-value" x="{x}" y="{y}" width="{w}" height="{height}"/></g>'
            ).format(
                label=label, value=f"{value:g}", x=x, y=round(COLUMN_HEIGHT - height, 1), w=COLUMN_WIDTH,
                full=COLUMN_HEIGHT, height=height,
            )
        )  # fmt: skip
    return Markup(
        '<svg class="columns" viewBox="0 0 {w} {h}" aria-hidden="true" focusable="false">{inner}</svg>'
    ).format(w=total, h=COLUMN_HEIGHT, inner=Markup("").join(drawn))
