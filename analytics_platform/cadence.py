"""When a report's next period ends, whether it is due, and what it is compared with.

Belongs here: pure calendar rules: frequency, last period end, today -> next run, period, overdue. Does not: clocks,
ledgers, whether data is there (`availability.py`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum


class Frequency(StrEnum):
    """How often a report comes, and what its period is first compared with."""

    DAILY = "daily"  # a day, with the day before
    WOW_DAILY = "wow_daily"  # a day, with the same weekday a week before
    WEEKLY = "weekly"  # seven days, with the seven before
    MONTHLY = "monthly"  # a month, with the month before
    YOY_MONTHLY = "yoy_monthly"  # a month, with the same month a year before


@dataclass(frozen=True)
class Cadence:
    """A frequency with its options.

    `weekday` (0 = Monday): the day on which a weekly report runs; its period is the seven days before. `day` (1 to 31):
    the day of the month on which a monthly report runs, the last day of shorter months; its period is the month before.
    """

    frequency: Frequency
    weekday: int = 0
    day: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.weekday <= 6:
            raise ValueError(f"weekday must be from 0 (Monday) to 6 (Sunday), not {self.weekday}")
        if not 1 <= self.day <= 31:
            raise ValueError(f"day must be from 1 to 31, not {self.day}")


@dataclass(frozen=True, order=True)
class Period:
    """Local days from first to last, both included."""

    first: date
    last: date

    def __post_init__(self) -> None:
        if self.last < self.first:
            raise ValueError(f"a period cannot end ({self.last}) before it begins ({self.first})")

    @property
    def days(self) -> Iterator[date]:
        """Every day of the period, in order."""
        return (self.first + timedelta(days=k) for k in range((self.last - self.first).days + 1))

    def __str__(self) -> str:
        return str(self.last) if self.first == self.last else f"{self.first}..{self.last}"
