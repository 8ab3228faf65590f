"""The path of a message as people read it: what was decided, by which rule, every attempt, act, notice and DSN."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hudhud.cli import out, table, visible
from mail.cli.words import _

Path = Mapping[str, Any]


def row(one: Path) -> Sequence[object]:
    """One message of a list, as cells."""
    if "recipients" not in one:
        event = one["events"][0]
        email = event.get("email", {})
        sender = ", ".join(email.get("from", {}).get("address", [])) or "<>"
        to = email.get("to", {}).get("address", [])
        return one["id"], one["received"][:19], one["state"], sender, _few(to), event.get("event", {}).get("reason", "")
    to = [r["address"] for r in one["recipients"]]
    last = next((r["reply"] for r in one["recipients"] if r["reply"]), "") or ", ".join(one["held_by"])
    return one["id"], one["received"][:19], one["state"], one["sender"] or "<>", _few(to), last


def steps(one: Path) -> list[tuple[str, str, str]]:
    """(when, what, words) in the order of time: receipt, verdicts, refusals, acts, attempts, notices."""
    found: list[tuple[str, str, str]] = []
    if "recipients" in one:
        client = one.get("client") or {}
        came = f"{client.get('listener', one['listener'])} {client.get('ip', '')} {client.get('helo', '')}".strip()
        found.append((one["received"], _("received"), f"{one['sender'] or '<>'} · {came} · {one['message_id']}"))
        for verdict in one["verdicts"]:
            rules = ", ".join(verdict["rules"])
            found.append((one["received"], verdict["disposition"], f"{verdict['recipient']} {rules}".strip()))
    for event in one.get("events", []):
        mail, what = event.get("hudhud", {}).get("mail", {}), event.get("event", {})
        to = ", ".join(event.get("email", {}).get("to", {}).get("address", []))
        rules = ", ".join(event.get("rule", {}).get("id") or [])
        words = f"{to}: {rules} {what.get('reason', '')}: {mail.get('reply', '')}"
        found.append((event["@timestamp"], str(what.get("action", "")), words))
    for act in one.get("acts", []):
        to = ", ".join(act.get("recipients", []))
        found.append((act["at"], act["act"], f"{act['actor']}: {act['reason']} ({to})"))
    for recipient in one.get("recipients", []):
        for attempt in recipient["attempts"]:
            ended = "delivered" if attempt["delivered"] else "failed" if attempt["permanent"] else "not yet"
            words = f"{recipient['address']} → {attempt['host'] or '–'}: {attempt['reply']} {attempt['tls']}".strip()
            found.append((attempt["when"], ended, words))
    for own in one.get("told", []):
        found.append((own["received"], own["kind"], f"{own['id']} → {', '.join(own['recipients'])}: {own['state']}"))
    return sorted(found, key=lambda step: step[0])


def show(one: Path) -> None:
    """The whole path, on standard output."""
    columns = (_("Time"), _("What"), _("Words"))
    table(f"{one['id']} · {one['state']}", columns, [(when[:23], what, words) for when, what, words in steps(one)])
    for recipient in one.get("recipients", []):
        if recipient["next"]:
            out(
                visible(
                    _("{address}: tried again at {time}", address=recipient["address"], time=recipient["next"][:19])
                )
            )


def _few(addresses: Sequence[str]) -> str:
    return ", ".join(addresses[:3]) + (f" … (+{len(addresses) - 3})" if len(addresses) > 3 else "")
