"""Where a message is, in plain words for its sender or the help desk, from the path that the spool tells. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from hudhud.i18n import Catalogue, Language
from mail.tell.replies import REASONS

MAX_LISTED: Final = 50  # recipients of one message that are told of

say = Catalogue("mail")

Path = Mapping[str, Any]


def told(path: Path, language: Language) -> list[str]:
    """Lines: what it is, then each recipient, then what the sender was told. What came from outside is isolated."""
    return [
        _opening(path, language),
        *_recipients(path, language),
        *_refusals(path, language),
        *_notices(path, language),
    ]


def _opening(path: Path, language: Language) -> str:
    values = {"id": path["id"], "time": _time(path["received"])}
    if "recipients" not in path:
        return say(language, "{id}: the message of {time} was refused and not taken.", **values)
    if not path["sender"]:
        return say(language, "{id}: a report without a sender, received {time}.", **values)
    return say(language, "{id}: from {sender}, received {time}.", sender=_isolated(path["sender"]), **values)


def _recipients(path: Path, language: Language) -> Iterator[str]:
    recipients: Sequence[Path] = path.get("recipients", [])
    for one in recipients[:MAX_LISTED]:
        yield f"{_isolated(one['address'])}: {_recipient(one, language)}"
    if len(recipients) > MAX_LISTED:
        yield say(language, "… and {count} more recipients.", count=len(recipients) - MAX_LISTED)


def _recipient(one: Path, language: Language) -> str:
    last = one["attempts"][-1] if one["attempts"] else {"host": "", "reply": "", "when": ""}
    values = {"host": _isolated(last["host"]), "reply": _isolated(last["reply"]), "time": _time(last["when"])}
    state = one["state"]
    if state == "delivered":
        return say(language, "taken over by its mail server {host} on {time}; the server said: {reply}", **values)
    if state == "queued" and not one["tries"]:
        return say(language, "on its way, being sent now.")
    if state == "queued":
        waits = say(language, "waits; tried {tries} times, last on {time}: {reply}", tries=one["tries"], **values)
        return f"{waits} {say(language, 'Tried again on {time}; nothing need be done.', time=_time(one['next']))}"
    if state == "held" and one["held_by"]:
        return say(language, "held until a person has looked at it. Ask your body's officer, with this number.")
    if state == "held":
        return say(language, "taken out of delivery by the postmaster for now. Ask the postmaster, with this number.")
    if state == "unjudged":
        return say(language, "waits to be checked after a fault of the relay; nothing need be done.")
    if state == "failed":
        return say(language, "not delivered, and given up: {reply}", **values)
    return say(language, "removed by people before it was delivered. Ask the postmaster, with this number.")


def _refusals(path: Path, language: Language) -> Iterator[str]:
    for event in path.get("events", []):
        what, mail = event.get("event", {}), event.get("hudhud", {}).get("mail", {})
        addresses = event.get("email", {}).get("to", {}).get("address", [])[:MAX_LISTED]
        who = say(language, ", ").join(map(_isolated, addresses)) or "–"
        reason = REASONS.get(str(what.get("reason") or ""))
        why = _isolated(str(mail.get("reply") or what.get("reason") or ""))
        if reason is not None and "{" not in reason.sentence:
            why = f"{say(language, reason.sentence)} {say(language, reason.remedy)}"
        if what.get("action") == "deferred":
            yield say(language, "{who}: not taken for now, the mail program tries again: {why}", who=who, why=why)
        else:
            yield say(language, "{who}: refused: {why}", who=who, why=why)


def _notices(path: Path, language: Language) -> Iterator[str]:
    for one in path.get("told", []):
        to = say(language, ", ").join(map(_isolated, one["recipients"]))
        if one["state"] == "delivered":
            yield say(
                language,
                "A notice about it lies in the mailbox of {to} since {time}.",
                to=to,
                time=_time(one["received"]),
            )
        else:
            yield say(language, "A notice about it is on its way to {to}.", to=to)


def _time(text: object) -> str:
    shown = str(text or "")
    return f"\u2068{shown[:10]} {shown[11:16]} UTC\u2069" if len(shown) >= 16 else "–"


def _isolated(text: object) -> str:
    """Left to right within a text of any direction (U+2068 … U+2069); what cannot be seen is shown."""
    shown = "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in str(text))
    return f"\u2068{shown}\u2069"
