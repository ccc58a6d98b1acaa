"""When a report's next period ends, whether it is due, and what it is compared with.

Belongs here: pure calendar rules: frequency, last period end, today -> next run, period, overdue. Does not: clocks,
ledgers, whether data is there (`availability.py`).
"""

from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

_DAY = timedelta(days=1)
_WEEK = timedelta(weeks=1)
# From this age on a run that is still to come is overdue, whatever its frequency.
OVERDUE = timedelta(days=2)


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


@dataclass(frozen=True)
class Comparison:
    """What a period is compared with: first with `previous` (which `label` names), and with `last_year`."""

    label: str  # DoD, WoW, MoM or YoY
    previous: Period
    last_year: Period


@dataclass(frozen=True)
class Next:
    """A report's next run, as of a day. `overdue`: it should have gone out at least two days ago."""

    run: date
    period: Period
    due: bool
    overdue: bool


def next_run(last_end: date | None, cadence: Cadence, today: date) -> date:
    """The run after the one whose period ended on `last_end`; None: it never ran, so the first from yesterday on.

    For a daily report this is the period's own day, else the day after the period. After a change of `weekday` or `day`
    the first new period may overlap the last old one (weekly, monthly) or leave a few days out (monthly).
    """
    yesterday = today - _DAY
    match cadence.frequency:
        case Frequency.DAILY | Frequency.WOW_DAILY:
            return yesterday if last_end is None else last_end + _DAY
        case Frequency.WEEKLY:
            # The day after the period was the run itself: the next one is strictly later.
            earliest = yesterday if last_end is None else last_end + 2 * _DAY
            return earliest + timedelta(days=(cadence.weekday - earliest.weekday()) % 7)
        case Frequency.MONTHLY | Frequency.YOY_MONTHLY:
            if last_end is not None:
                return _in_month(_month(last_end + _DAY) + 1, cadence)
            this = _in_month(_month(yesterday), cadence)
            return this if this >= yesterday else _in_month(_month(yesterday) + 1, cadence)


def period_of(run: date, cadence: Cadence) -> Period:
    """The period that a run reports. ValueError when the cadence has no run on that day.

    Consecutive periods tile the calendar: each begins the day after the one before it ended.
    """
    match cadence.frequency:
        case Frequency.DAILY | Frequency.WOW_DAILY:
            return Period(run, run)
        case Frequency.WEEKLY if run.weekday() == cadence.weekday:
            return Period(run - _WEEK, run - _DAY)
        case Frequency.MONTHLY | Frequency.YOY_MONTHLY if run == _in_month(_month(run), cadence):
            return Period(_in_month(_month(run) - 1, cadence), run - _DAY)
        case _:
            raise ValueError(f"{run} is no run of a report that is {_words(cadence)}")


def upcoming(last_end: date | None, cadence: Cadence, today: date) -> Next:
    """The next run. Due: its day has come and its period is over; one rule of what is overdue for all frequencies."""
    run = next_run(last_end, cadence, today)
    period = period_of(run, cadence)
    return Next(run, period, due=run <= today and period.last < today, overdue=today - run >= OVERDUE)


def due_periods(last_end: date | None, cadence: Cadence, today: date) -> list[Period]:
    """The backlog: every due period, oldest first."""
    found: list[Period] = []
    while (following := upcoming(last_end, cadence, today)).due:
        found.append(following.period)
        last_end = following.period.last
    return found


def containing(day: date, cadence: Cadence) -> Period:
    """The period in which that day lies."""
    match cadence.frequency:
        case Frequency.DAILY | Frequency.WOW_DAILY:
            return Period(day, day)
        case Frequency.WEEKLY:
            first = day - timedelta(days=(day.weekday() - cadence.weekday) % 7)
            return Period(first, first + _WEEK - _DAY)
        case Frequency.MONTHLY | Frequency.YOY_MONTHLY:
            month = _month(day) if day >= _in_month(_month(day), cadence) else _month(day) - 1
            return Period(_in_month(month, cadence), _in_month(month + 1, cadence) - _DAY)


def is_period(period: Period, cadence: Cadence) -> bool:
    """Whether the cadence has exactly that period."""
    return containing(period.first, cadence) == period


def before(period: Period, cadence: Cadence) -> date:
    """The last day of the period before that one, so that `next_run` gives that one's run. ValueError: not a period."""
    _check(period, cadence)
    return period.first - _DAY


def last_complete(cadence: Cadence, today: date) -> Period:
    """The latest period that is over."""
    return containing(containing(today, cadence).first - _DAY, cadence)


def comparison(period: Period, cadence: Cadence) -> Comparison:
    """What the period is compared with. ValueError when the cadence has no such period.

    The same period last year is the same date (28 February for the 29th) or the same month; for a weekly report it is
    52 weeks earlier, so that each weekday meets its like.
    """
    _check(period, cadence)
    match cadence.frequency:
        case Frequency.DAILY:
            return Comparison("DoD", _earlier(period, _DAY), _date_last_year(period))
        case Frequency.WOW_DAILY:
            return Comparison("WoW", _earlier(period, _WEEK), _date_last_year(period))
        case Frequency.WEEKLY:
            return Comparison("WoW", _earlier(period, _WEEK), _earlier(period, 52 * _WEEK))
        case Frequency.MONTHLY:
            return Comparison("MoM", containing(period.first - _DAY, cadence), _month_last_year(period, cadence))
        case Frequency.YOY_MONTHLY:
            last_year = _month_last_year(period, cadence)
            return Comparison("YoY", last_year, last_year)


def _check(period: Period, cadence: Cadence) -> None:
    if not is_period(period, cadence):
        raise ValueError(f"{period} is no period of a report that is {_words(cadence)}")


def _words(cadence: Cadence) -> str:
    match cadence.frequency:
        case Frequency.WEEKLY:
            return f"{cadence.frequency} with weekday {cadence.weekday} (0 = Monday)"
        case Frequency.MONTHLY | Frequency.YOY_MONTHLY:
            return f"{cadence.frequency} with day {cadence.day}"
        case _:
            return str(cadence.frequency)


def _month(day: date) -> int:
    """Months since year 0, so that adding to them never needs a carry."""
    return day.year * 12 + day.month - 1


def _in_month(month: int, cadence: Cadence) -> date:
    """The run in that month. From the cadence's own day each time: one taken from the run before would drift."""
    year, number = divmod(month, 12)
    return date(year, number + 1, min(cadence.day, monthrange(year, number + 1)[1]))


def _earlier(period: Period, by: timedelta) -> Period:
    return Period(period.first - by, period.last - by)


def _date_last_year(period: Period) -> Period:
    [day] = period.days
    leap_day = (day.month, day.day) == (2, 29)
    last_year = date(day.year - 1, day.month, 28 if leap_day else day.day)
    return Period(last_year, last_year)


def _month_last_year(period: Period, cadence: Cadence) -> Period:
    first = _month(period.first) - 12
    return Period(_in_month(first, cadence), _in_month(first + 1, cadence) - _DAY)
