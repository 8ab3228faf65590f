"""Anchors: the cheap signs of which at least one is in every event that a condition can fit. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Literal

from rules.predicate import (
    And,
    Exists,
    Glob,
    Keyword,
    Network,
    Node,
    Number,
    Or,
    Pattern,
    SameAs,
    Text,
    TimePart,
    Truth,
)
from rules.view import View

AnchorKind = Literal["is", "holds", "anywhere", "present"]

SHORTEST: Final = 3  # characters; shorter literals are in too many texts to say anything

COMMON_FIELDS: Final = frozenset(
    {
        "event.action", "event.category", "event.dataset", "event.kind", "event.module", "event.outcome",
        "event.provider", "event.type", "http.request.method", "http.response.status_code", "network.transport",
        "dns.question.type", "dns.response_code", "email.direction", "destination.port", "hudhud.mail.disposition",
        "hudhud.mail.listener", "observer.type", "organization.id", "tls.version",
    }
)  # fmt: skip
"""Fields of few values: that one of them is this value is no rare sign."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """`is`: the field's lower-case text is the literal; `holds`: contains it; `anywhere`: any field contains it;
    `present`: the field has a value."""

    kind: AnchorKind
    field: str
    literal: str

    def fits(self, view: View) -> bool:
        if self.kind == "present":
            return bool(view.values(self.field))
        if self.kind == "is":
            return self.literal in view.lower(self.field)
        names = tuple(view.fields) if self.kind == "anywhere" else (self.field,)
        return any(self.literal in text for name in names for text in view.lower(name))


Weigh = Callable[[Anchor], float]


def guess(anchor: Anchor) -> float:
    """How often an event has the anchor (0 to 1), before anything was measured. Only the order matters."""
    if anchor.kind == "present":
        return 0.5
    if anchor.kind == "is":
        return 0.2 if anchor.field in COMMON_FIELDS else 0.001
    rare = 0.3 * 0.5 ** min(len(anchor.literal), 12)
    return rare * 4 if anchor.kind == "anywhere" else rare


def measured(events: Iterable[View]) -> Weigh:
    """Weighs by how often the anchors were in real events; the guess breaks ties."""
    views = tuple(events)
    known: dict[Anchor, float] = {}

    def weigh(anchor: Anchor) -> float:
        found: float | None = known.get(anchor)
        if found is None:
            share = sum(anchor.fits(view) for view in views) / max(len(views), 1)
            known[anchor] = found = share + guess(anchor) / 1000
        return found

    return weigh


def anchors(node: Node, weigh: Weigh = guess) -> frozenset[Anchor] | None:
    """The cheapest set of anchors of a condition; None when an event without any sign may fit it."""
    if isinstance(node, And):
        sets = [found for part in node.parts if (found := anchors(part, weigh)) is not None]
        return min(sets, key=lambda one: sum(map(weigh, one)), default=None)
    if isinstance(node, Or):
        parts = [anchors(part, weigh) for part in node.parts]
        return None if None in parts else frozenset[Anchor]().union(*(part for part in parts if part is not None))
    return _of_leaf(node)


def _of_leaf(node: Node) -> frozenset[Anchor] | None:
    if isinstance(node, Keyword):
        return frozenset({Anchor("anywhere", "", node.literal)}) if len(node.literal) >= SHORTEST else None
    if isinstance(node, Text):
        literal = node.literal.lower()
        if not (node.starts or node.ends):
            return frozenset(Anchor("is", name, literal) for name in node.names)
        if len(literal) >= SHORTEST:
            return frozenset(Anchor("holds", name, literal) for name in node.names)
    if isinstance(node, Glob):
        literal = max(node.pieces, key=len).lower()
        if len(literal) >= SHORTEST:
            return frozenset(Anchor("holds", name, literal) for name in node.names)
    if isinstance(node, Pattern) and len(node.literal) >= SHORTEST:
        return frozenset(Anchor("holds", name, node.literal) for name in node.names)
    if isinstance(node, Truth):
        return frozenset(Anchor("is", name, "true" if node.wanted else "false") for name in node.names)
    if isinstance(node, Text | Glob | Pattern | Number | Network | SameAs | TimePart) or (
        isinstance(node, Exists) and node.wanted
    ):
        return frozenset(Anchor("present", name, "") for name in node.names)
    return None  # Not, null: true of an event that has nothing
