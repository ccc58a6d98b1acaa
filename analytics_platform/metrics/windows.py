"""Reporting days as half-open UTC windows.

Belongs here: the one place where a local day becomes two instants. Does not: clocks, partitions, settings.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - naive UTC, as event tables store times


def day_start(day: date, zone: ZoneInfo) -> datetime:
    """The first instant of the local day, as naive UTC, as event tables store times.

    Where daylight saving skips midnight, the day begins at the first instant that exists.
    """
    midnight = datetime.combine(day, time(), tzinfo=zone)
    # A skipped 00:00 maps, with fold=0, to the offset before the change: exactly the instant of the jump.
    return midnight.astimezone(UTC).replace(tzinfo=None)


@dataclass(frozen=True)
class Window:
    """Half-open [start, end), naive UTC."""

    start: datetime
    end: datetime


def day_window(day: date, zone: ZoneInfo) -> Window:
    """The local day: 24 hours, or 23 or 25 when the clocks change."""
    return Window(day_start(day, zone), day_start(day + timedelta(days=1), zone))


def local_day(moment: datetime, zone: ZoneInfo) -> date:
    """The reporting day of an instant given as naive UTC."""
    return moment.replace(tzinfo=UTC).astimezone(zone).date()


def days(first: date, last: date) -> Iterator[date]:
    """Every day from first to last, both included; nothing when last is before first."""
    for k in range((last - first).days + 1):
        yield first + timedelta(days=k)


@dataclass(frozen=True)
class Gap:
    """A run of local days, first to last, both included."""

    first: date
    last: date

    def window(self, zone: ZoneInfo) -> Window:
        """The whole run in UTC."""
        return Window(day_start(self.first, zone), day_start(self.last + timedelta(days=1), zone))


def gaps(first: date, last: date, present: Collection[date]) -> tuple[Gap, ...]:
    """The longest runs of days in first..last that are not present, oldest first."""
    runs: list[Gap] = []
    for day in days(first, last):
        if day in present:
            continue
        if runs and runs[-1].last == day - timedelta(days=1):
            runs[-1] = Gap(runs[-1].first, day)
        else:
            runs.append(Gap(day, day))
    return tuple(runs)
