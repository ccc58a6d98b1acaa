"""The window of time that a visitor report is of: how people name it, how it is called, the ids that hang on it.

Belongs here: half-open windows of moments, whatever their days. Does not: reporting days (`metrics/windows.py`),
clocks.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from uuid import UUID, uuid5
from zoneinfo import ZoneInfo

from analytics_platform.metrics.windows import day_start, local_day

# Of report ids. It must never change: the same visitor and window have the same id on every machine, for ever.
_IDS = UUID("5d3c6a0e-0d1f-4f3e-9a63-7f2f6f0f8c41")
# What both engines store and compare alike.
_EARLIEST, _LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2262, 1, 1, tzinfo=UTC)
_FORMS = "write a day such as 2019-06-22, or a time such as 2019-06-22T18:30 or 2019-06-22T18:30+09:00"


@dataclass(frozen=True)
class VisitWindow:
    """The moments from `start` up to but not including `end`; aware, and UTC whatever they were given in.

    Raises ValueError, in one sentence, for moments without an offset, an end that is not after the start, and moments
    outside the years 1970 to 2261.
    """

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        for name in ("start", "end"):
            object.__setattr__(self, name, in_utc(getattr(self, name), f"the {name} of a window"))
        if self.start >= self.end:
            raise ValueError(
                f"the window ends at {_written(self.end)}, which is not after its start at {_written(self.start)}; "
                "write an end that is later (it is not part of the window)"
            )
        if self.start < _EARLIEST or self.end > _LATEST:
            raise ValueError(
                f"the window {self.key} is outside the years 1970 to 2261; write its years with four digits, "
                "as in 2019-06-22"
            )

    @property
    def key(self) -> str:
        """Its name, `2019-06-21T15:00Z..2019-06-24T15:00Z`: the same window has the same key however it was written."""
        return f"{_written(self.start)}..{_written(self.end)}"

    @property
    def bounds(self) -> Mapping[str, datetime]:
        """`window_start` and `window_end` as result tables store them, naive UTC: what tells its rows from others'."""
        return {"window_start": self.start.replace(tzinfo=None), "window_end": self.end.replace(tzinfo=None)}

    def report_id(self, visitor: str) -> str:
        """The id of that visitor's report on this window, a UUID: the same on every machine and at every run."""
        return str(uuid5(_IDS, f"{self.key}\n{visitor}"))

    def day(self, zone: ZoneInfo) -> date:
        """The local day in which it begins."""
        return local_day(self.bounds["window_start"], zone)


def last_minutes(minutes: int, now: datetime) -> VisitWindow:
    """The window [now - minutes, now). `now` is aware. ValueError for less than one minute, or before 1970."""
    if minutes < 1:
        raise ValueError(f"{minutes} minutes are no window; write a whole number of minutes from 1 on")
    end = in_utc(now, "now")
    try:
        return VisitWindow(end - timedelta(minutes=minutes), end)
    except OverflowError:
        raise ValueError(f"{minutes} minutes reach back before 1970; write fewer") from None


def between(start: str, end: str, zone: ZoneInfo) -> VisitWindow:
    """The window from `start` up to but not including `end`, two texts in ISO 8601.

    An offset is honoured (`2019-06-22T00:00+09:00`, `...Z`); a time without one is a wall clock's in `zone`, a day
    alone (`2019-06-22`) its first moment there. So `2019-06-22` to `2019-06-25` are three days.

    Raises ValueError, in one sentence with the remedy: for a text that is none of these, a wall time that the clocks of
    `zone` skipped or showed twice, and an end that is not after the start.
    """
    return VisitWindow(parse_moment(start, zone), parse_moment(end, zone))


def in_utc(moment: datetime, what: str) -> datetime:
    """The same moment in UTC. ValueError, naming `what` it is of, for one without an offset."""
    if moment.utcoffset() is None:
        raise ValueError(f"{what}, {moment.isoformat()}, has no offset; give it as aware, such as UTC")
    return moment.astimezone(UTC)


def ambiguous(wall: datetime, zone: ZoneInfo) -> bool:
    """Whether the clocks of `zone` show that naive time twice, or skip it."""
    return wall.replace(tzinfo=zone, fold=0).utcoffset() != wall.replace(tzinfo=zone, fold=1).utcoffset()


def parse_moment(text: str, zone: ZoneInfo) -> datetime:
    """The moment of a text in ISO 8601, in UTC: as one end of `between`.

    Raises ValueError, in one sentence with the remedy: for a text that is none, a wall time that the clocks of `zone`
    skipped or showed twice, and a moment outside the years 1970 to 2261 (the first of 2262 is an end).
    """
    try:
        found = _read(text.strip(), zone)
    except OverflowError:  # in another zone it is before the year 1, or after 9999
        found = None
    if found is None:
        raise ValueError(f"{text!r} is no moment; {_FORMS}")
    if not _EARLIEST <= found <= _LATEST:
        raise ValueError(
            f"{text!r} is outside the years 1970 to 2261; write its year with four digits, as in 2019-06-22"
        )
    return found


def _read(wanted: str, zone: ZoneInfo) -> datetime | None:
    with suppress(ValueError):  # a time, not a day
        return day_start(date.fromisoformat(wanted), zone).replace(tzinfo=UTC)
    try:
        found = datetime.fromisoformat(wanted)
        if found.tzinfo is not None:
            return found.astimezone(UTC)
    except ValueError:
        return None
    if not ambiguous(found, zone):
        return found.replace(tzinfo=zone).astimezone(UTC)
    # With fold=0 a skipped time has the offset before the change, which leads to another time than it says.
    first, second = (found.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    skipped = first.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != found
    what = "does not exist" if skipped else "is there twice"
    raise ValueError(
        f"{wanted} {what} in {zone.key}, where the clocks are changed; write it with its offset, "
        f"{first.isoformat()} or {second.isoformat()}"
    )


def _written(moment: datetime) -> str:
    """UTC, to the minute where that is exact, else to the second, else to the microsecond."""
    spec = "microseconds" if moment.microsecond else "seconds" if moment.second else "minutes"
    return f"{moment.replace(tzinfo=None).isoformat(timespec=spec)}Z"
