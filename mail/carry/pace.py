"""How many messages a minute a destination gets, where its owner wants no more: counted per node."""

from __future__ import annotations

from hudhud.entity import suffixes
from hudhud.settings import Delivery
from mail import limits
from mail.carry.lane import Lane
from mail.limits import Limits

EVERYONE = "*"  # the setting for each destination that is not named


class Pace:
    """The settings' `messages_per_minute`, by the nearest domain that is named."""

    def __init__(self, settings: Delivery, counts: Limits | None) -> None:
        self._rates, self._counts = dict(settings.messages_per_minute), counts

    def allows(self, lane: Lane, now: float) -> bool:
        """Whether the lane's next job may go now; if not, the lane knows until when it waits (monotonic seconds)."""
        if not self._rates or self._counts is None:
            return True
        named, rate = self._of(lane.waiting.first.waiting[0].domain)
        if rate <= 0 or self._counts.take(limits.DESTINATION, named, min(1.0 / rate, 1.0)):
            return True
        lane.paced_until = now + 60.0 / rate
        return False

    def _of(self, domain: str) -> tuple[str, float]:
        """The name that is counted, and its rate; 0 for none."""
        found = next((above for above in suffixes(domain) if above in self._rates), None)
        return (found, self._rates[found]) if found is not None else (domain, self._rates.get(EVERYONE, 0.0))
