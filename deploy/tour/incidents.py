"""What the response centre must have seen of the morning: the incidents, once the pipeline has caught up."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable

from deploy.tour import lures
from deploy.tour.lab import Lab
from deploy.tour.steps import Outcome, outcome

PIPELINE_S = 60.0  # after the store is back; at rest an incident stands within seconds
Incident = dict[str, object]


async def matching(lab: Lab, fits: Callable[[str], bool], count: int = 1) -> list[Incident]:
    """The incidents that this run touched and whose JSON, alerts included, fits; asked for until there are `count`."""
    deadline = time.monotonic() + PIPELINE_S
    while True:
        found = [one for one in await _touched(lab) if fits(json.dumps(one, ensure_ascii=False))]
        if len(found) >= count or time.monotonic() > deadline:
            return found
        await asyncio.sleep(1)


async def _touched(lab: Lab) -> list[Incident]:
    """The incidents changed since the tour began; each is asked for again only where its version grew."""
    for one in await lab.json_lines("cert", "incidents", "list", "--limit", "200"):
        name, known = str(one["id"]), lab.incidents.get(str(one["id"]))
        if str(one["updated"]) >= lab.began and (known is None or known["version"] != one["version"]):
            for shown in await lab.json_lines("cert", "incidents", "show", name):
                lab.incidents[name] = shown
    return list(lab.incidents.values())


def _alerts(incident: Incident) -> list[dict[str, object]]:
    found = incident.get("alerts")
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _named(incident: Incident) -> str:
    return f"{incident['id']} {incident.get('title_en', '')}"


def _holding(text: str) -> Callable[[str], bool]:
    return lambda shown: text in shown


async def dangerous(lab: Lab) -> list[Outcome]:
    """4. An incident for each of the held attachments."""
    outcomes = []
    for name in (lures.report(lab.run), lures.invoice(lab.run)):
        found = await matching(lab, _holding(name))
        seen = ", ".join(map(_named, found)) or "none"
        outcomes.append(outcome(f"4 incident for {name}", "one opened", len(found) == 1, seen))
    return outcomes


async def campaign(lab: Lab) -> list[Outcome]:
    """5. One incident, five alerts, and the list of who already has the lure."""
    targets = list(lures.heads(5))
    found = await matching(lab, lambda text: all(target in text for target in targets) and lab.run in text)
    alerts = [alert for incident in found for alert in _alerts(incident)]
    mail = [a for a in map(json.dumps, alerts) if lab.run in a and any(target in a for target in targets)]
    recipients = json.dumps(found[0].get("recipients", {})) if found else ""
    listed = sum(1 for target in targets if target in recipients)
    return [
        outcome("5 the campaign", "one incident", len(found) == 1, ", ".join(map(_named, found)) or "none"),
        outcome("", "five alerts", len(mail) == 5, f"{len(mail)} alerts"),
        outcome("", "who already has it", listed == len(targets), f"{listed} recipients listed"),
    ]


async def capture(lab: Lab) -> list[Outcome]:
    """6. A server that speaks SMTP abroad: an incident for its body. Webmail: counted, nobody named."""
    egress = await matching(lab, lambda text: "SMTP-EGRESS" in text and lab.run in text)
    entities = {str(code) for one in egress for code in _list(one.get("entities"))}
    counts = await lab.json_lines("cert", "events", "search", f"rule.id:HS-WEBMAIL-COUNT AND hudhud.run:{lab.run}")
    named = [one for one in counts if "source" in one]
    everything = await lab.json_lines("cert", "events", "search", "webmail.freemail.example", "--limit", "500")
    seen = f"{len(counts)} counts" if not named else f"{len(named)} name a host"
    return [
        outcome("6 a server speaks SMTP abroad", "incident for its ministry", egress and entities, ", ".join(entities)),
        outcome("6 foreign webmail", "counted per ministry", counts, seen),
        outcome(
            "",
            "nobody named",
            counts and not named and not _names_staff(everything),
            f"{len(everything)} events name the webmail, none a visitor",
        ),
    ]


def _list(value: object) -> list[object]:
    return list(value) if isinstance(value, list | tuple) else []


def _names_staff(events: list[Incident]) -> bool:
    """Whether any event about a foreign webmail carries a host or a user."""
    return any({"source", "user", "client"} & set(one) for one in events)


async def exemption(lab: Lab) -> list[Outcome]:
    """7. The use of the exemption is on record."""
    used = await searched(lab, f"event.action:exemption-used AND *{lab.run}*")
    return [outcome("7 use of the exemption", "recorded", used, f"{len(used)} events" if used else "none")]


async def stopped_rule(lab: Lab) -> list[Outcome]:
    """8. The administrators are told of the rule that stopped."""
    found = await matching(lab, lambda text: lures.rule_id(lab.run) in text and "stop" in text.lower())
    return [outcome("8 the stopped rule", "told to the administrators", found, ", ".join(map(_named, found)) or "none")]


async def searched(lab: Lab, query: str) -> list[Incident]:
    """Events that fit a query, asked for until there is one."""
    deadline = time.monotonic() + PIPELINE_S
    while True:
        found = await lab.json_lines("cert", "events", "search", query)
        if found or time.monotonic() > deadline:
            return found
        await asyncio.sleep(1)
