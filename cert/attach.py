"""Brings alerts to their incidents: opens one, adds to one, merges those that a late alert ties, links closed ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from cert import incident as states
from cert.group import GROUP, Cluster, Grouping
from cert.incident import OPEN, SYSTEM, Incident, Status, incident_id
from cert.store import Alert, IncidentQuery, Stale, Store, StoreDown
from cert.triage import rsit, summarise, weigh
from hudhud import log
from hudhud.clock import Clock

MAX_TRIES: Final = 8  # of a step that another writer was faster with
SAFEGUARD: Final = "safeguard"  # the threat class that the administrators answer for
CAMPAIGN: Final = "campaign"
MERGED_SEEN: Final = 200  # merged incidents that a start looks at

_log = log.get(__name__)


@dataclass(frozen=True, slots=True)
class _Choice:
    """Which incident a cluster belongs to: one that is open, or a new one; what it takes in, what it is linked with."""

    id: str
    winner: Incident | None
    losers: tuple[Incident, ...]
    closed: tuple[Incident, ...]


class Attach:
    """Writes incidents. What it is given again changes nothing: alerts that have an incident keep it."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock

    async def attach(self, alerts: Sequence[Alert]) -> tuple[Incident, ...]:
        """Every stored alert gets its incident; the incidents that were touched, as they stand now."""
        for _ in range(MAX_TRIES):
            try:
                return await self._attach(alerts)
            except Stale as stale:
                _log.debug("again", what=stale.what)
        raise StoreDown("others write the same incidents again and again")

    async def bridge(self, ids: Iterable[str]) -> None:
        """Make one of the incidents that two results of a correlation belonged to before a late match made them one."""
        for _ in range(MAX_TRIES):
            try:
                choice = await self._choose(None, tuple(dict.fromkeys(filter(None, ids))))
                if choice.winner is not None and choice.losers:
                    await self._recount(await self._take_in(choice.winner, choice.losers), ())
                return
            except Stale:
                continue

    async def mend(self) -> None:
        """After a crash in the middle of a merge: the winner takes in what already redirects to it."""
        for loser in (await self._store.incidents(IncidentQuery(statuses=(Status.MERGED,), limit=MERGED_SEEN))).found:
            winner = await self._store.incident(loser.redirect)
            if winner is not None and not set(loser.ids) <= set(winner.merged):
                taken = replace(winner, merged=tuple(sorted({*winner.merged, *loser.ids})))
                try:
                    await self._recount(taken, ())
                except Stale:
                    _log.info("somebody else mends", incident=winner.id)

    async def _attach(self, alerts: Sequence[Alert]) -> tuple[Incident, ...]:
        known = await self._store.assignments(alerts)
        each = {alert.id: alert for alert in alerts if alert.id in known}
        todo = [alert for alert in each.values() if not known[alert.id]]
        owners = {**known, **(await self._group(todo) if todo else {})}
        by_incident: dict[str, list[Alert]] = {}
        for identity, owner in owners.items():
            by_incident.setdefault(owner, []).append(each[identity])
        found: dict[str, Incident] = {}
        for owner, its in sorted(by_incident.items()):
            incident = await self._store.current(owner)
            if incident is not None:
                found[incident.id] = await self._recount(incident, its)
        return tuple(found.values())

    async def _group(self, alerts: Sequence[Alert]) -> Mapping[str, str]:
        """Merges first, while the spans name both; then the spans; then what is opened; then its name on the alerts.

        After a crash anywhere the same alerts come again, find what was done, and do the rest.
        """
        keys = dict.fromkeys(key for alert in alerts for key in alert.keys)
        grouping = Grouping({key: await self._store.results(GROUP, key) for key in keys})
        grouping.place(alerts)
        clusters = grouping.clusters()
        choices = [await self._choose(cluster, cluster.incidents) for cluster in clusters]
        owners = {
            alert.id: choice.id for cluster, choice in zip(clusters, choices, strict=True) for alert in cluster.alerts
        }
        for choice in choices:
            if choice.winner is not None and choice.losers:
                await self._take_in(choice.winner, choice.losers)
        await self._store.put_results(list(grouping.results(owners)))
        for cluster, choice in zip(clusters, choices, strict=True):
            if choice.winner is None:
                await self._open(cluster, choice)
            await self._store.assign_alerts(cluster.alerts, choice.id)
        return owners

    async def _choose(self, cluster: Cluster | None, ids: Sequence[str]) -> _Choice:
        """The oldest open one wins; what people parted stays apart; an id without an incident is one to be opened."""
        standing: dict[str, Incident] = {}
        missing = []
        for identity in ids:
            incident = await self._store.current(identity)
            if incident is None:
                missing.append(identity)
            else:
                standing[incident.id] = incident
        opened = sorted((one for one in standing.values() if one.status in OPEN), key=lambda one: (one.opened, one.id))
        closed = tuple(one for one in standing.values() if one.status not in OPEN)
        if not opened:
            fresh = missing[0] if missing else new_id(cluster, len(closed)) if cluster else ""
            return _Choice(fresh, None, (), closed)
        winner = opened[0]
        losers = tuple(one for one in opened[1:] if not set(winner.apart) & set(one.ids))
        return _Choice(winner.id, winner, losers, closed)

    async def _open(self, cluster: Cluster, choice: _Choice) -> None:
        incident = new_incident(choice.id, cluster.alerts, self._clock.now())
        incident = replace(incident, links=tuple(one.id for one in choice.closed)[-states.MAX_LINKS :])
        lines: list[tuple[states.EntryKind, str, str, str]] = [("opened", "", "", incident.rules[0])]
        lines += [("linked", "", "", one) for one in incident.links]
        await self._store.put_incident(states.change(incident, self._clock.now(), SYSTEM, *lines))
        for one in choice.closed:
            tied = states.link(one, incident.id, self._clock.now())
            if tied is not None:
                await self._store.put_incident(tied)

    async def _take_in(self, winner: Incident, losers: Sequence[Incident]) -> Incident:
        for loser in losers:
            taken, gone = states.merge(winner, loser, SYSTEM, self._clock.now())
            await self._store.put_incident(gone)
            winner = await self._store.put_incident(taken)
        return winner

    async def _recount(self, incident: Incident, alerts: Sequence[Alert]) -> Incident:
        """Everything that its alerts decide, counted again from the store; written only where it differs."""
        stored = await self._store.incident(incident.id)
        weighed = renamed(weigh(incident, await self._store.summary(incident.ids)), alerts)
        if stored is None or weighed == stored:
            return incident
        lines: list[tuple[states.EntryKind, str, str, str]] = []
        if weighed.alerts != stored.alerts:
            lines.append(("alerts", "", str(stored.alerts), str(weighed.alerts)))
        if weighed.severity != stored.severity:
            lines.append(("severity", "", str(stored.severity), str(weighed.severity)))
        return await self._store.put_incident(states.change(weighed, self._clock.now(), SYSTEM, *lines))


def new_incident(id: str, alerts: Sequence[Alert], now: datetime) -> Incident:
    """The incident that these alerts open; version 0, not stored yet."""
    first = min(alerts, key=lambda one: (-one.severity, one.timestamp, one.id))
    blank = Incident(
        id=id,
        version=0,
        status=Status.NEW,
        title_ar=first.title_ar,
        title_en=first.title_en,
        severity=0,
        reasons=(),
        rsit=rsit(first.threat),
        threat=first.threat,
        entities=(),
        rules=(),
        keys=(),
        alerts=0,
        first=first.timestamp,
        last=first.timestamp,
        opened=now,
        updated=now,
        audience="administrators" if all(one.threat == SAFEGUARD for one in alerts) else "analysts",
    )
    return weigh(blank, summarise(alerts))


def renamed(incident: Incident, alerts: Sequence[Alert]) -> Incident:
    """A campaign names the incident of its mails; any other alert does not change the name it was opened with."""
    campaign = min((one for one in alerts if one.threat == CAMPAIGN), key=lambda one: one.id, default=None)
    if campaign is None:
        return incident
    return replace(incident, title_ar=campaign.title_ar, title_en=campaign.title_en)


def new_id(cluster: Cluster, closed: int) -> str:
    """The id of the incident that a cluster opens; `closed`: how many of it were opened and closed before."""
    first = cluster.alerts[0]
    return incident_id(first.rule, cluster.keys[0], f"{first.id}+{closed}", first.timestamp)
