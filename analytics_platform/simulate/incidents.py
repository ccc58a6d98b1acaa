"""What goes wrong in the simulated product, when, and the truth about it.

Belongs here: the kinds of planted incident, the default calendar, reading and writing `truth.csv`.
Does not: how an incident changes the events (`population.py`, `feed.py`, `chat.py`), judging detectors by the truth.
"""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from zoneinfo import ZoneInfo

from analytics_platform.metrics.events import FEED_ACTIONS, MESSAGE_ACTIONS
from analytics_platform.simulate.clock import Stream, Window, local_day, local_time, stream

TRUTH_COLUMNS = ("kind", "metric", "slice", "start", "end", "size")
CYCLE_DAYS = 60  # the default calendar repeats after this many days

NEW_USERS = "new_users"
RETENTION = "retention_day_1"
CTR = "ctr"

# How long the newcomers of a campaign stay, against ordinary newcomers from ads. With the default size of 6 the day's
# whole ads cohort returns on day 1 at 0.28 of the usual share: 10 % instead of 36 %.
CAMPAIGN_STAY = 0.136


class IncidentKind(StrEnum):
    """What is planted."""

    CAMPAIGN = "campaign"  # a burst of newcomers from ads who do not stay
    DARK_CITY = "dark_city"  # nobody of a city acts
    SPIKE = "spike"  # many times the usual feed activity, by more users
    OUTAGE = "outage"  # no events of a table at all
    CTR_SLIDE = "ctr_slide"  # likes per view go down in a straight line, then recover at once


_METRICS: dict[IncidentKind, tuple[str, ...]] = {
    IncidentKind.CAMPAIGN: (NEW_USERS, RETENTION),
    IncidentKind.DARK_CITY: (FEED_ACTIONS.name, MESSAGE_ACTIONS.name),
    IncidentKind.SPIKE: (FEED_ACTIONS.name,),
    IncidentKind.OUTAGE: (FEED_ACTIONS.name, MESSAGE_ACTIONS.name),
    IncidentKind.CTR_SLIDE: (CTR,),
}


@dataclass(frozen=True)
class Incident:
    """One metric of one slice that is not as usual, grain: one row of `truth.csv`.

    `metric`: `feed_actions` or `message_actions` (events of that table), `ctr` (likes per view), `new_users` (feed
    users first seen), `retention_day_1` (share of the first-seen who come back the next day).
    `slice`: empty for the total, else `dimension=value`. `start`, `end`: half-open, aware, UTC.
    `size`: the metric's value as a factor of the usual one: 0 nothing left, 2.2 more than twice; of a slide, the
    factor reached at its end. ValueError for combinations the simulation cannot plant.
    """

    kind: IncidentKind
    metric: str
    slice: str
    start: datetime
    end: datetime
    size: float

    def __post_init__(self) -> None:
        if self.metric not in _METRICS[self.kind]:
            raise ValueError(
                f"a {self.kind} cannot be planted in {self.metric}; use {' or '.join(_METRICS[self.kind])}"
            )
        if self.start.tzinfo is None or self.end.tzinfo is None or self.start >= self.end:
            raise ValueError(f"an incident starts before it ends, both with a zone; got {self.start} and {self.end}")
        wanted = {IncidentKind.CAMPAIGN: "source=ads", IncidentKind.DARK_CITY: "city="}.get(self.kind, "")
        if not self.slice.startswith(wanted) or bool(self.slice) != bool(wanted):
            raise ValueError(f"the slice of a {self.kind} is {wanted or 'empty'!r}, not {self.slice!r}")
        if self.kind in (IncidentKind.CAMPAIGN, IncidentKind.SPIKE) and self.metric != RETENTION and self.size < 1:
            raise ValueError(f"a {self.kind} has a size of 1 or more, not {self.size}")

    @property
    def window(self) -> Window:
        """When it lasts."""
        return Window(self.start, self.end)

    @property
    def city(self) -> str:
        """The city of a dark city."""
        return self.slice.removeprefix("city=")

    @property
    def in_messages(self) -> bool:
        """Whether it shows in the messages; all others show in the feed."""
        return self.metric == MESSAGE_ACTIONS.name


def campaign(window: Window, size: float = 6.0) -> tuple[Incident, ...]:
    """`size` times the usual newcomers from ads on the local day `window`, who mostly leave at once."""
    retention = (1 + (size - 1) * CAMPAIGN_STAY) / size
    return (
        Incident(IncidentKind.CAMPAIGN, NEW_USERS, "source=ads", window.start, window.end, size),
        Incident(IncidentKind.CAMPAIGN, RETENTION, "source=ads", window.start, window.end, round(retention, 2)),
    )


def dark_cities(window: Window, cities: Iterable[str]) -> tuple[Incident, ...]:
    """No event in either table by users of these cities."""
    return tuple(
        Incident(IncidentKind.DARK_CITY, table.name, f"city={city}", window.start, window.end, 0.0)
        for city in cities
        for table in (FEED_ACTIONS, MESSAGE_ACTIONS)
    )


def spike(start: datetime, minutes: int, size: float = 2.2) -> Incident:
    """`size` times the usual feed activity."""
    return Incident(IncidentKind.SPIKE, FEED_ACTIONS.name, "", start, start + timedelta(minutes=minutes), size)


def outage(table: str, start: datetime, minutes: int) -> Incident:
    """No event of `table`."""
    return Incident(IncidentKind.OUTAGE, table, "", start, start + timedelta(minutes=minutes), 0.0)


def ctr_slide(window: Window, size: float = 0.82) -> Incident:
    """Likes per view fall in a straight line to `size` of the usual."""
    return Incident(IncidentKind.CTR_SLIDE, CTR, "", window.start, window.end, size)


def calendar(first_day: date, days: int, zone: ZoneInfo, seed: int) -> tuple[Incident, ...]:
    """The default incidents that begin within the span, in order of time; the last may end after it.

    The calendar depends on the first day, the zone and the seed, never on `days`: a longer run has the same incidents
    and more. None comes before day 17 of a cycle of 60, so that detectors have two quiet weeks to learn from.
    """
    found: list[Incident] = []
    for cycle in range(-(-days // CYCLE_DAYS)):
        found += _cycle(first_day + timedelta(days=cycle * CYCLE_DAYS), zone, seed, cycle)
    end = local_time(first_day + timedelta(days=days), zone)
    return tuple(sorted((i for i in found if i.start < end), key=lambda i: (i.start, i.kind, i.metric, i.slice)))


def _cycle(first: date, zone: ZoneInfo, seed: int, cycle: int) -> list[Incident]:
    rng = stream(seed, Stream.CALENDAR, cycle)

    def some_day(earliest: int) -> date:
        return first + timedelta(days=earliest + int(rng.integers(3)))

    def moment(day: date, hour: int) -> datetime:
        # On the quarter hour, in the busy part of the day: an incident of ten events at night proves nothing.
        return local_time(day, zone, hour + int(rng.integers(3)), 15 * int(rng.integers(4)))

    slide = some_day(46)
    # Hours differ so that no incident lies in the week-ago baseline of another.
    return [
        outage(FEED_ACTIONS.name, moment(some_day(17), 9), 90),
        spike(moment(some_day(24), 14), 45),
        *campaign(local_day(some_day(31), zone)),
        outage(MESSAGE_ACTIONS.name, moment(some_day(37), 18), 90),
        *dark_cities(local_day(some_day(42), zone), ("Moscow", "Saint Petersburg")),
        ctr_slide(Window(local_time(slide, zone), local_time(slide + timedelta(days=5), zone))),
        spike(moment(some_day(56), 14), 60),
    ]


def write_truth(incidents: Iterable[Incident], path: Path) -> None:
    """One CSV row per incident, ISO times with the offset of UTC."""
    with path.open("w", encoding="utf-8", newline="") as stream_:
        writer = csv.writer(stream_, lineterminator="\n")
        writer.writerow(TRUTH_COLUMNS)
        for i in incidents:
            writer.writerow((i.kind, i.metric, i.slice, i.start.isoformat(), i.end.isoformat(), f"{i.size:g}"))


def read_truth(path: Path) -> tuple[Incident, ...]:
    """The incidents of a `truth.csv`; KeyError or ValueError names what is wrong with the file."""
    with path.open(encoding="utf-8", newline="") as stream_:
        return tuple(
            Incident(
                kind=IncidentKind(row["kind"]),
                metric=row["metric"],
                slice=row["slice"],
                start=datetime.fromisoformat(row["start"]),
                end=datetime.fromisoformat(row["end"]),
                size=float(row["size"]),
            )
            for row in csv.DictReader(stream_)
        )
