"""Weighs an incident by its alerts: severity with reasons, class, title. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from cert.incident import MAX_KEYS, Incident, Reason
from cert.store import DISPOSITION, Alert, AlertSummary
from cert.words import _
from rules.rule import THREATS

MAX_SEVERITY = 100

# Points beside the gravest alert's own severity. Figures of ours; they stand only here.
MANY_BODIES = ((10, 15), (5, 10), (2, 5))  # (bodies at least, points)
REACHED = 10  # at least one message of it was let through or tagged
MANY_ALERTS = ((100, 10), (20, 5))  # (alerts at least, points)

WEIGHT: Mapping[str, int] = {name: rank for rank, name in enumerate(reversed(tuple(THREATS)))}
"""Which class names an incident of several: the order of the closed list, the first weighs most."""


def weigh(incident: Incident, summary: AlertSummary) -> Incident:
    """The incident with everything that its alerts decide; one without alerts keeps what it had."""
    if not summary.count:
        return replace(incident, alerts=0)
    reasons = tuple(_reasons(summary))
    threat = max(summary.threats, key=lambda name: WEIGHT.get(name, -1), default=incident.threat)
    return replace(
        incident,
        alerts=summary.count,
        entities=summary.entities,
        rules=summary.rules,
        keys=summary.keys[:MAX_KEYS],
        first=summary.first or incident.first,
        last=summary.last or incident.last,
        severity=min(MAX_SEVERITY, sum(reason.points for reason in reasons)),
        reasons=reasons,
        threat=threat,
        rsit=rsit(threat),
    )


def rsit(threat: str) -> str:
    """The class of the Reference Security Incident Taxonomy for a threat class of ours."""
    known = THREATS.get(threat)
    return known.rsit if known else "other:other"


def _reasons(summary: AlertSummary) -> list[Reason]:
    found = [Reason(summary.severity, _("gravest alert"), {})]
    bodies = len([code for code in summary.entities if code])
    found += [Reason(points, _("{bodies} bodies hit"), {"bodies": bodies}) for points in _step(MANY_BODIES, bodies)]
    found += [
        Reason(points, _("{alerts} alerts"), {"alerts": summary.count}) for points in _step(MANY_ALERTS, summary.count)
    ]
    reached = sum(summary.dispositions.get(name, 0) for name in ("accepted", "accept", "tagged", "tag", "delivered"))
    if reached:
        found.append(Reason(REACHED, _("{messages} of its messages got through"), {"messages": reached}))
    return found


def _step(steps: tuple[tuple[int, int], ...], number: int) -> list[int]:
    return [points for least, points in steps if number >= least][:1]


def summarise(alerts: Sequence[Alert]) -> AlertSummary:
    """What these alerts come to, as the store would count them."""
    keys = Counter(key for alert in alerts for key in alert.keys)
    dispositions = Counter(text for alert in alerts if isinstance(text := alert.facts.get(DISPOSITION), str) and text)
    times = [alert.timestamp for alert in alerts]
    return AlertSummary(
        len(alerts),
        min(times, default=None),
        max(times, default=None),
        max((alert.severity for alert in alerts), default=0),
        tuple(sorted({alert.entity for alert in alerts} - {""})),
        tuple(sorted({alert.rule for alert in alerts})),
        tuple(key for key, _count in sorted(keys.items(), key=lambda pair: (-pair[1], pair[0]))[:MAX_KEYS]),
        tuple(sorted({alert.threat for alert in alerts} - {""})),
        dict(dispositions),
    )
