"""Times as analysts write them: 2026, 2026-11, 2026-11-23, 2026-11-23T10:00, now, now-1h. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from hudhud.event import format_time

_NOW: Final = re.compile(r"now(?:([+-])(\d{1,5})([smhdw]))?")
_DATE: Final = re.compile(r"(\d{4})(?:-(\d\d)(?:-(\d\d))?)?")
_MINUTE: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d(?::\d\d)?(?:Z|[+-]\d\d:\d\d)?")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_INSTANT: Final = timedelta(microseconds=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def moments(text: str, now: datetime) -> tuple[str, str]:
    """The first moment that `text` names and the first after it, as RFC 3339 texts: a day, a month, an instant.

    Without a zone, UTC is meant. ValueError says what can be written.
    """
    start, end = span(text, now)
    return format_time(start), format_time(end)


def span(text: str, now: datetime) -> tuple[datetime, datetime]:
    """The same as datetimes."""
    if found := _NOW.fullmatch(text):
        steps = timedelta(**{_UNITS[found[3]]: int(found[2])}) if found[1] else timedelta()
        moment = now - steps if found[1] == "-" else now + steps
        return moment, moment + _INSTANT
    try:
        if found := _DATE.fullmatch(text):
            year, month, day = (int(part) if part else None for part in found.groups())
            return _calendar(year or 1, month, day)
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise ValueError(
            f"{text!r} is no time; write 2026-11-23, 2026-11-23T10:00:00Z, now or now-1h (s, m, h, d, w)"
        ) from None
    moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    return moment, moment + (_INSTANT if not _MINUTE.fullmatch(text) else timedelta(minutes=1))


def _calendar(year: int, month: int | None, day: int | None) -> tuple[datetime, datetime]:
    start = datetime(year, month or 1, day or 1, tzinfo=UTC)
    if day:
        return start, start + timedelta(days=1)
    if month:
        return start, datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)
    return start, datetime(year + 1, 1, 1, tzinfo=UTC)


def microseconds(moment: datetime) -> int:
    """Since 1970, as the stores keep the times of alerts."""
    return (moment - _EPOCH) // _INSTANT


def moment_of(number: int) -> datetime:
    """The moment that many microseconds after 1970."""
    return _EPOCH + number * _INSTANT
