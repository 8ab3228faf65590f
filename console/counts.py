"""Figures of the home page, from the store: alerts by day, by entity, mail by outcome, refusals, webmail counts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cert.store import Bucket, Query, Store
from hudhud.event import Event

DAYS = 14  # of the chart of alerts
WEEK = timedelta(days=7)
MIN_HOSTS = 5  # design §8.2: fewer hosts in a count, and it is not shown
MAX_COUNTS = 2000  # webmail counts (one per entity and hour) that are added up

ALERTS = '(event.kind:alert OR event.action:held) AND NOT rule.id:"HS-WEBMAIL-COUNT"'  # a count of use is no alarm
MAIL = "event.dataset:hudhud.mail"
REFUSED = "event.dataset:hudhud.mail AND event.action:refused"
WEBMAIL = 'rule.id:"HS-WEBMAIL-COUNT"'
HOSTS = "hudhud.webmail.hosts"
LOGINS = "hudhud.webmail.logins"


@dataclass(frozen=True, slots=True)
class Figures:
    """Each a list of (key, number), the largest first, except by day: oldest first, empty days filled in."""

    alerts_by_day: tuple[tuple[str, int], ...]
    alerts_by_entity: tuple[tuple[str, int], ...]
    mail_today: tuple[tuple[str, int], ...]
    refusals_by_rule: tuple[tuple[str, int], ...]
    webmail_by_entity: tuple[tuple[str, int], ...]

    @property
    def alerts_today(self) -> int:
        """Of the UTC day that runs."""
        return self.alerts_by_day[-1][1] if self.alerts_by_day else 0

    @property
    def refused_today(self) -> int:
        """Refusals of the UTC day that runs."""
        return dict(self.mail_today).get("refused", 0)


async def figures(store: Store, entity: str | None, now: datetime, min_hosts: int = MIN_HOSTS) -> Figures:
    """What the store says; StoreDown where it cannot."""
    today = midnight(now)
    soon = now + timedelta(minutes=5)  # clocks of nodes differ a little

    def query(text: str, start: datetime) -> Query:
        return Query(text, start, soon, entity)

    by_day = await store.histogram(query(ALERTS, today - timedelta(days=DAYS - 1)), "day")
    by_entity = await store.counts(query(ALERTS, now - WEEK), "organization.id")
    mail = await store.counts(query(MAIL, today), "event.action")
    refusals = await store.counts(query(REFUSED, now - WEEK), "rule.id", 8)
    counted = await store.search(Query(WEBMAIL, now - WEEK, soon, entity, limit=MAX_COUNTS))
    return Figures(
        by_days(by_day, today),
        pairs(by_entity),
        pairs(mail),
        pairs(refusals),
        webmail(counted.found, max(min_hosts, MIN_HOSTS)),
    )


def midnight(now: datetime) -> datetime:
    """The beginning of the UTC day."""
    return now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def pairs(buckets: Iterable[Bucket]) -> tuple[tuple[str, int], ...]:
    return tuple((one.key, one.count) for one in buckets)


def by_days(buckets: Iterable[Bucket], today: datetime) -> tuple[tuple[str, int], ...]:
    """Pure. One number for each of the last DAYS days, 0 where there was nothing."""
    counted = {one.key[:10]: one.count for one in buckets}
    days = [(today - timedelta(days=back)).strftime("%Y-%m-%d") for back in reversed(range(DAYS))]
    return tuple((day, counted.get(day, 0)) for day in days)


def webmail(events: Sequence[Event], min_hosts: int) -> tuple[tuple[str, int], ...]:
    """Pure. Log-ins to foreign webmail per entity; an hour with fewer hosts than `min_hosts` does not count at all."""
    sums: dict[str, int] = {}
    for event in events:
        entity, hosts, logins = (event.fields.get(name) for name in ("organization.id", HOSTS, LOGINS))
        if isinstance(entity, str) and isinstance(hosts, int) and isinstance(logins, int) and hosts >= min_hosts:
            sums[entity] = sums.get(entity, 0) + logins
    return tuple(sorted(sums.items(), key=lambda pair: (-pair[1], pair[0])))
