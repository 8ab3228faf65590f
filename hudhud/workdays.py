"""Working days of the country: which days of the week, which holidays, in which time zone. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Final, Literal
from zoneinfo import ZoneInfo

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: Final[tuple[Day, ...]] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")  # as date.weekday() counts
SUNDAY_TO_THURSDAY: Final[frozenset[Day]] = frozenset({"sun", "mon", "tue", "wed", "thu"})


@dataclass(frozen=True, slots=True)
class Workdays:
    """The registry's [country] says them; at least one day of the week is a working day."""

    days: frozenset[Day] = SUNDAY_TO_THURSDAY
    holidays: frozenset[date] = frozenset()
    zone: str = "UTC"

    def works(self, day: date) -> bool:
        """Whether offices are open on that day."""
        return DAYS[day.weekday()] in self.days and day not in self.holidays

    def end_of(self, moment: datetime, count: int) -> datetime:
        """The end of the `count`-th working day after the day of `moment` (midnight in the country's zone)."""
        zone = ZoneInfo(self.zone)
        day, left = moment.astimezone(zone).date(), count
        for _ in range(366 * 3):  # whole years of holidays are a mistake of the registry: it must not hang
            day += timedelta(days=1)
            left -= self.works(day)
            if not left:
                break
        return datetime.combine(day + timedelta(days=1), time(), zone)
