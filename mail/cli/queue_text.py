"""Messages of the spool as tables for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hudhud.cli import out, table, visible
from mail.cli.words import _, language


def row(one: Mapping[str, Any]) -> Sequence[object]:
    """One message of a list, as cells."""
    recipients = [r["address"] for r in one["recipients"]]
    shown = ", ".join(recipients[:3]) + (f" … (+{len(recipients) - 3})" if len(recipients) > 3 else "")
    why = ", ".join(one["held_by"]) or next((r["reply"] for r in one["recipients"] if r["reply"]), "")
    return one["id"], one["received"][:19], one["state"], one["sender"] or "<>", shown, one["size"], why


def explain(found: Mapping[str, Any]) -> None:
    """One message in full, on standard output."""
    if found["state"] == "refused":
        _refused(found)
        return
    client = found.get("client") or {}
    rows = [
        (_("State"), found["state"]),
        (_("Received"), found["received"]),
        (_("Sender"), found["sender"] or "<>"),
        (_("Account"), found["account"] or "–"),
        (_("Client"), f"{client.get('ip', '')} {client.get('helo', '')} {client.get('tls') or ''}".strip() or "–"),
        (_("Message-ID"), found["message_id"]),
        (_("Size, octets"), found["size"]),
        (_("Ruleset, policy"), f"{str(found['ruleset'])[:12]}, {found['policy']}"),
    ]
    table(found["id"], (_("What"), _("Value")), rows)
    findings = [
        (
            f["disposition"],
            f["rule"],
            f["version"],
            f["facts"].get("title", {}).get(language()) or f["reason"],
            _facts(f["facts"]),
            ", ".join(f["recipients"] or ["*"]),
        )
        for f in found["findings"]
    ]
    if findings:
        columns = (_("Disposition"), _("Rule"), _("Version"), _("Reason"), _("Facts"), _("Recipients"))
        table(_("Findings"), columns, findings)
    recipients = [
        (r["address"], r["state"], r["tries"], r["next"] or "–", r["reply"] or ", ".join(r["held_by"]) or "–")
        for r in found["recipients"]
    ]
    table(_("Recipients"), (_("Address"), _("State"), _("Tries"), _("Next"), _("Last reply / held by")), recipients)
    for act in found["acts"]:
        out(visible(f"{act['at']}  {act['act']}  {act['actor']}: {act['reason']}"))


def _refused(found: Mapping[str, Any]) -> None:
    """A refusal in full: nothing of it was stored but what was decided."""
    for event in found["events"]:
        mail, email = event["hudhud"]["mail"], event["email"]
        rows = [
            (_("State"), _("refused, not stored")),
            (_("Received"), event["@timestamp"]),
            (_("Sender"), ", ".join(email["from"]["address"]) or "<>"),
            (_("Account"), mail.get("account") or "–"),
            (_("Recipients"), ", ".join(email["to"]["address"])),
            (_("Rule"), ", ".join(event.get("rule", {}).get("id") or ["–"])),
            (_("Reason"), event["event"].get("reason") or "–"),
            (_("Last reply / held by"), mail.get("reply") or "–"),
        ]
        table(found["id"], (_("What"), _("Value")), rows)


def _facts(facts: Mapping[str, object]) -> str:
    """The title is the reason; lists are written out."""
    return "; ".join(f"{name}={_fact(value)}" for name, value in facts.items() if name != "title")


def _fact(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
