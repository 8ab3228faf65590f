"""What became of the messages of a soak: lost, delivered, delivered twice and why. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

BEFORE_S = 0.5  # a kill may come so long before the sink notes the arrival: the bytes were on their way
AFTER_S = 2.0  # and so long after it: the outcome was not committed yet


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table. `good` None: a figure that nothing is asked of."""

    what: str
    figure: str
    good: bool | None = None

    @property
    def verdict(self) -> str:
        return "" if self.good is None else "yes" if self.good else "NO"


@dataclass(frozen=True, slots=True)
class Tally:
    """`lost`: got 250, never came. `again`: came more than once, with the seconds from each arrival to the kill that
    explains the next; `unexplained`: of these, those for which no kill does. `unasked`: no 250, came all the same."""

    accepted: int
    delivered: int
    lost: tuple[str, ...]
    again: Mapping[str, tuple[float, ...]]
    unexplained: tuple[str, ...]
    unasked: int


def tally(accepted: Iterable[str], arrivals: Mapping[str, Sequence[float]], kills: Sequence[float]) -> Tally:
    """`arrivals`: the moments at which each message came; `kills`: moments, ascending."""
    known = set(accepted)
    again: dict[str, tuple[float, ...]] = {}
    unexplained: list[str] = []
    for identity, moments in arrivals.items():
        if len(moments) < 2:
            continue
        ordered = sorted(moments)
        found = [_kill_between(first, second, kills) for first, second in pairwise(ordered)]
        again[identity] = tuple(gap for gap in found if gap is not None)
        if None in found:
            unexplained.append(identity)
    return Tally(
        len(known),
        len(known & arrivals.keys()),
        tuple(sorted(known - arrivals.keys())),
        again,
        tuple(sorted(unexplained)),
        len(arrivals.keys() - known),
    )


def _kill_between(first: float, second: float, kills: Sequence[float]) -> float | None:
    """Seconds from the first arrival to a kill near it and before the second; None where there is none."""
    at = bisect_left(kills, first - BEFORE_S)
    near = [kill - first for kill in kills[at:] if kill <= first + AFTER_S and kill < second]
    return min(near, key=abs, default=None)


def lines(tallied: Tally) -> list[Line]:
    """For the table."""
    gaps = [gap * 1000 for found in tallied.again.values() for gap in found]
    window = f", the kill {min(gaps):.0f} to {max(gaps):.0f} ms after the arrival" if gaps else ""
    return [
        Line("messages that got 250", f"{tallied.accepted:,}"),
        Line("of these delivered", f"{tallied.delivered:,}", tallied.delivered == tallied.accepted),
        Line("lost", f"{len(tallied.lost)}" + "".join(f" {one}" for one in tallied.lost[:5]), not tallied.lost),
        Line("delivered though no 250 reached the client, and DSNs", f"{tallied.unasked:,}"),
        Line(
            "delivered more than once",
            f"{len(tallied.again)}{window} (between the next hop's 250 and our commit)" if tallied.again else "0",
        ),
        Line(
            "more than once, and no kill explains it",
            f"{len(tallied.unexplained)}" + "".join(f" {one}" for one in tallied.unexplained[:5]),
            not tallied.unexplained,
        ),
    ]
