"""What a request asks for, checked: filters, ages, times, limits, cursors; every mistake is a 400 with words. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, get_args

from mail.node.asking import Refused, Request
from mail.shelf.filters import ALL, Filter
from mail.shelf.search import Wanted
from mail.shelf.stored import State, parse_queue_id

MAX_TEXT: Final = 1000  # characters of one parameter
MAX_LIMIT: Final = 1000  # messages of one answer; more are asked for with a cursor
STATES: Final = (*get_args(State), "all")
FILTERS: Final = (
    *("state", "sender", "recipient", "domain", "account", "entity", "rule", "hop"),
    *("older_than", "newer_than"),
)
UNITS: Final[Mapping[str, int]] = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
MAX_AGE_S: Final = 100 * 366 * 86_400

_AGE: Final = re.compile(r"(\d{1,9})([smhdw])")


def age(text: str) -> float:
    """Seconds of "30m", "2h", "3d", "1w", "1d12h", or of a plain number of seconds; ValueError says what is wrong."""
    text = text.strip().lower()
    whole = "".join(number + unit for number, unit in _AGE.findall(text))
    if text and whole == text:
        seconds = float(sum(int(number) * UNITS[unit] for number, unit in _AGE.findall(text)))
    else:
        try:
            seconds = float(text)
        except ValueError:
            seconds = math.nan
    if not 0 <= seconds <= MAX_AGE_S:
        raise ValueError(f"{text!r} is no age: write for example 30m, 2h, 3d or 1d12h")
    return seconds


def filter_of(
    request: Request, domains_of: Callable[[str], tuple[str, ...] | None], domains_to: Callable[[str], tuple[str, ...]]
) -> Filter:
    """The filter in a request; Refused(400). `domains_of` are a body's (None: there is no such body), `domains_to`
    those that go to a next hop now."""
    words = {name: text(request, name) for name in FILTERS}
    if words["state"] not in ("", *STATES):
        raise Refused(400, f"state {words['state']!r} is none of {', '.join(STATES)}")
    domains: tuple[str, ...] | None = ()
    if words["entity"]:
        domains = domains_of(words["entity"])
        if domains is None:
            raise Refused(400, f"there is no body with the code {words['entity']!r}")
    return Filter(
        state=words["state"],
        sender=words["sender"],
        recipient=words["recipient"],
        domain=words["domain"].lower(),
        account=words["account"],
        rule=words["rule"],
        older_than=_seconds(words, "older_than"),
        newer_than=_seconds(words, "newer_than"),
        entity=words["entity"],
        entity_domains=domains or (),
        hop=words["hop"],
        hop_domains=domains_to(words["hop"]) if words["hop"] else (),
        below=cursor(request),
    )


def wanted_of(request: Request) -> Wanted:
    """What a trace looks for, without a subject; Refused(400)."""
    since, until = moment(request, "since"), moment(request, "until", end=True)
    if since is not None and until is not None and since >= until:
        raise Refused(400, "since is not before until")
    return Wanted(
        sender=text(request, "sender"),
        recipient=text(request, "recipient"),
        message_id=text(request, "message_id"),
        since=since,
        until=until,
        below=cursor(request),
    )


def text(request: Request, name: str) -> str:
    """A parameter as text, "" where it is not there; Refused(400) where it is nothing that text is made of."""
    value: Any = request.get(name)
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise Refused(400, f"{name} is a text")
    shown = str(value).strip()
    if len(shown) > MAX_TEXT or not shown.isprintable():
        raise Refused(400, f"{name} is longer than {MAX_TEXT} characters, or has characters that cannot be shown")
    return shown


def limit(request: Request, usual: int = 100) -> int:
    """How many messages are asked for."""
    asked = text(request, "limit") or str(usual)
    if not asked.isascii() or not asked.isdecimal() or not 0 < int(asked) <= MAX_LIMIT:
        raise Refused(400, f"limit {asked!r} is no number from 1 to {MAX_LIMIT}; go on with the cursor of the answer")
    return int(asked)


def cursor(request: Request) -> int:
    """The number to go on below: the cursor is the queue id of the last message seen."""
    asked = text(request, "cursor")
    if not asked:
        return ALL
    found = parse_queue_id(asked)
    if found is None:
        raise Refused(400, f"cursor {asked!r} is none that an answer gave")
    return found[1]


def moment(request: Request, name: str, *, end: bool = False) -> datetime | None:
    """A time (RFC 3339, or a day; as an end, a day counts whole), in UTC where no zone is named; None: not asked."""
    asked = text(request, name)
    if not asked:
        return None
    try:
        found = datetime.fromisoformat(asked)
        if end and len(asked) <= len("2026-11-24"):
            found += timedelta(days=1)
    except (ValueError, OverflowError):
        raise Refused(400, f"{name} {asked!r} is no time: write 2026-11-24 or 2026-11-24T14:30:00Z") from None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def flag(request: Request, name: str) -> bool:
    """A yes or no, no where it is not there."""
    value = request.get(name)
    if value in (None, "", False, "false", "0", "no"):
        return False
    if value in (True, "true", "1", "yes"):
        return True
    raise Refused(400, f"{name} is true or false")


def _seconds(words: Mapping[str, str], name: str) -> float:
    try:
        return age(words[name]) if words[name] else 0.0
    except ValueError as error:
        raise Refused(400, f"{name}: {error}") from None
