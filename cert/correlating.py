"""Runs correlations against the store: for new matches, reads those of the same key around them and writes results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from cert.attach import MAX_TRIES, Attach
from cert.correlate import Update, areas, to_read, update
from cert.match import KEPT_TOGETHER, digest, key_values
from cert.store import Alert, Match, Results, Span, Stale, Store, StoreDown
from rules.eventrule import CorrelationRule
from rules.rule import SEVERITY

SOURCE: Final = "correlation"


class Correlating:
    """Keeps nothing: two of these at once give the same results."""

    def __init__(self, store: Store, attach: Attach) -> None:
        self._store, self._attach = store, attach

    async def results(self, rules: Mapping[str, CorrelationRule], matches: Sequence[Match]) -> list[Alert]:
        """The alerts of every result that these matches, which are stored, may have made, grown or joined."""
        touched: dict[tuple[str, str], list[datetime]] = {}
        for match in matches:
            for counted in match.counted:
                touched.setdefault((counted.rule, counted.key), []).append(match.timestamp)
        alerts: dict[str, Alert] = {}
        for (rule_id, key), times in touched.items():
            rule = rules.get(rule_id)
            if rule is None:
                continue
            for area in areas(times, rule.timespan):
                alerts |= {alert.id: alert for alert in await self._look(rule, key, area)}
        return list(alerts.values())

    async def _look(self, rule: CorrelationRule, key: str, area: tuple[datetime, datetime]) -> list[Alert]:
        for _ in range(MAX_TRIES):
            before = await self._store.results(rule.id, key)
            anchors, reading = to_read(rule, before, area)
            found = update(rule, before, anchors, await self._store.sightings(rule.id, key, *reading))
            try:
                await self._write(rule, before, found)
            except Stale:
                continue
            return [result_alert(rule, key, span) for span in found.near] if rule.alerts else []
        raise StoreDown(f"others write the results of {rule.id} again and again")

    async def _write(self, rule: CorrelationRule, before: Results, found: Update) -> None:
        """Incidents first, then the alerts of results that are no more, then the results: each may be repeated."""
        for span, into in found.gone:
            lost = result_alert(rule, before.key, span)
            if into is not None:
                kept = result_alert(rule, before.key, into)
                known = await self._store.assignments([lost, kept])
                await self._attach.bridge(known.values())
            await self._store.withdraw_alerts([lost])
        if found.results.spans != before.spans:
            await self._store.put_results([found.results])


def result_alert(rule: CorrelationRule, key: str, span: Span) -> Alert:
    """The alert of a result, made of what never changes in it: the same however often it is made.

    A lure has several hashes, and so several results of the same mails: they have one alert, that of their first mail.
    """
    values = dict(zip(rule.group_by, key_values(key), strict=False))
    entity = values.get("organization.id", "")
    tied = tuple(f"{word}:{values[name]}" for name, word in KEPT_TOGETHER.items() if name in values)
    return Alert(
        id=digest("result", rule.id, span.anchor) if tied else span.id,
        timestamp=span.opened or span.first,
        rule=rule.id,
        title_ar=rule.title["ar"],
        title_en=rule.title["en"],
        severity=SEVERITY[rule.level],
        threat=rule.threat,
        entity=entity,
        event="",
        keys=tied or (f"rule:{rule.id}|{entity or key}",),
        source=SOURCE,
        facts={"rules": [rule.id, *rule.rules], **values},
    )
