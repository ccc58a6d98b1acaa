"""series/quarter_hour: watched metrics of every 15 minutes.

Belongs here: which series there are, composing the statement of a day. Does not: SQL statements (`queries/`), bringing
the table up to date (`defs/series.py`), judging them (`detectors/`, `alerts/`).

A bucket is identified by its start. Users of a bucket are exact, and their attributes are those of their last event of
that bucket: the slices of a dimension add up to the total. The events of a day are enough; nothing else has to be
computed before.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from analytics_platform.metrics.catalog import METRICS, Count, Distinct, Metric, Ratio, Source, words
from analytics_platform.metrics.dimensions import DIMENSIONS, TOTAL, Dimension, Labels, attributes
from analytics_platform.metrics.events import FEED_ACTIONS, MESSAGE_ACTIONS, EventTable, Kind
from analytics_platform.metrics.slices import labelled
from analytics_platform.metrics.windows import EPOCH, Window, day_window
from analytics_platform.queries import Query, Value, compose

BUCKET = timedelta(minutes=15)
EVERYBODY = "all"
# Slices that are watched besides the totals, where nothing else is chosen.
SLICED_BY = ("os", "source")
# The slice values of so many days before have rows of zeros on days on which they do not occur.
RECENT_DAYS = 7


@dataclass(frozen=True, order=True)
class SeriesKey:
    """One series: a metric of the catalogue in a service (feed, messenger), in total or of one slice."""

    service: str
    metric: str
    dimension: str = TOTAL
    value: str = EVERYBODY

    @property
    def is_total(self) -> bool:
        """Whether it counts everybody."""
        return self.dimension == TOTAL

    def __str__(self) -> str:
        return f"{self.service} {self.metric}" + ("" if self.is_total else f" {self.dimension}={self.value}")


@dataclass(frozen=True)
class Service:
    """A part of the app and what is watched of it, all of it from the rows of one event table.

    `metrics`: the watched ones in catalogue order. `shown`: those of them that are counted, not ratios. `counts`: all
    counts that these need.
    """

    name: str
    table: str
    metrics: tuple[Metric, ...]
    shown: tuple[Metric, ...]
    counts: tuple[Count, ...]


# Which events a service lives by.
TABLES: Mapping[str, EventTable] = {Source.FEED.service: FEED_ACTIONS, Source.SENT.service: MESSAGE_ACTIONS}


def watched(metrics: Iterable[Metric] = METRICS) -> tuple[Count | Distinct | Ratio, ...]:
    """The metrics that are looked at every 15 minutes, in catalogue order."""
    return tuple(m for m in metrics if isinstance(m, Count | Distinct | Ratio) and m.watched)


def service_of(metric: Metric, metrics: Iterable[Metric] = METRICS) -> str:
    """The service of a watched metric: feed or messenger. ValueError for one that is not watched."""
    if isinstance(metric, Count):
        return metric.source.service
    if isinstance(metric, Distinct) and metric.of:
        return metric.of.service
    if isinstance(metric, Ratio):
        return next(m.source.service for m in metrics if isinstance(m, Count) and m.name == metric.denominator)
    raise ValueError(f"metric {metric.name!r} is not watched")


def totals(metrics: Iterable[Metric] = METRICS) -> tuple[SeriesKey, ...]:
    """The series of everybody, in catalogue order."""
    metrics = tuple(metrics)
    return tuple(SeriesKey(service_of(m, metrics), m.name) for m in watched(metrics))


def services(metrics: Iterable[Metric] = METRICS) -> tuple[Service, ...]:
    """The services with anything watched."""
    metrics = tuple(metrics)
    return tuple(found for name in TABLES if (found := _service(name, metrics)).metrics)


def _service(name: str, metrics: tuple[Metric, ...]) -> Service:
    own = tuple(m for m in watched(metrics) if service_of(m, metrics) == name)
    shown = tuple(m for m in own if not isinstance(m, Ratio))
    needed = {word for m in shown if isinstance(m, Distinct) for word in words(m.where)} | {m.name for m in shown}
    counts = tuple(m for m in metrics if isinstance(m, Count) and m.source.service == name and m.name in needed)
    return Service(name, TABLES[name].name, own, shown, counts)


def chosen(names: Sequence[str], dimensions: Iterable[Dimension] = DIMENSIONS) -> tuple[Dimension, ...]:
    """The dimensions of these names, in their order. ValueError for a name that the catalogue does not have."""
    known = {d.name: d for d in dimensions}
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f"there is no dimension {unknown[0]!r} to slice by; there are {', '.join(known)}")
    return tuple(known[name] for name in dict.fromkeys(names))


def bucket_of(moment: datetime) -> datetime:
    """The start of the bucket in which the moment lies; naive or aware as the moment is."""
    return moment - timedelta(minutes=moment.minute % 15, seconds=moment.second, microseconds=moment.microsecond)


def buckets(window: Window) -> Sequence[datetime]:
    """The starts of the buckets of a half-open UTC window that begins with one."""
    return [window.start + k * BUCKET for k in range(-(-(window.end - window.start) // BUCKET))]


@dataclass(frozen=True)
class Span:
    """What to write of a service's day, as starts of buckets, naive UTC: those before `until` (exclusive). They are
    counted in the events from `since` on; those before are taken as they are stored.
    """

    since: datetime
    until: datetime


def series_day(
    day: date,
    zone: ZoneInfo,
    labels: Labels,
    spans: Mapping[str, Span] | None = None,
    *,
    metrics: Iterable[Metric] = METRICS,
    sliced_by: Sequence[str] = SLICED_BY,
    dimensions: Iterable[Dimension] = DIMENSIONS,
) -> Query:
    """The rows of series/quarter_hour for one local day.

    `spans`, by service: what is there and what of it is counted anew; without it all of the day is. A service that is
    not among them has no rows. Raises ValueError for an unknown dimension.
    """
    metrics, ways = tuple(metrics), chosen(sliced_by, dimensions)
    window = day_window(day, zone)
    whole = Span(window.start, window.end)
    found = [s for s in services(metrics) if spans is None or s.name in spans]
    params: dict[str, Value] = {"event_date": day}
    if found:
        params |= {"recent_first": day - timedelta(days=RECENT_DAYS), "first_slot": _slot(window.start)}
        params |= {"day_start": window.start, "day_end": window.end}
    for service in found:
        span = spans[service.name] if spans else whole
        until = max(window.start, min(span.until, window.end))
        params[f"{service.name}_from"] = min(max(span.since, window.start), until)
        params[f"{service.name}_until"], params[f"{service.name}_end"] = until, _slot(until)
    wanted = attributes(ways)
    shown = [m for s in found for m in s.shown]
    return compose(
        "series_day",
        params,
        attributes=[a.name for a in wanted],
        text_attributes=[a.name for a in wanted if a.kind is Kind.TEXT],
        services=found,
        counted=shown,
        distinct=[m for m in shown if isinstance(m, Distinct)],
        ratios=[m for s in found for m in s.metrics if isinstance(m, Ratio)],
        dimensions=ways,
        labelled=lambda dimension: labelled(dimension, labels, params) if found else "",
    )


def series_rows(window: Window, *, totals: bool = False) -> Query:
    """Stored rows whose bucket begins in the half-open UTC window, of all series or the totals alone; in any order."""
    # A bucket's reporting day is that of UTC or a neighbour, whatever the zone.
    first, last = (window.start - timedelta(days=1)).date(), (window.end + timedelta(days=1)).date()
    bound = {"first_day": first, "last_day": last, "start": window.start, "end": window.end}
    return compose("series_rows", bound, totals=totals)


def extent(first: date, last: date) -> Query:
    """How far the stored days first..last reach: a row (newest, most) a day, service, metric and dimension."""
    return compose("series_extent", {"first_day": first, "last_day": last})


def arrivals(window: Window, tables: Sequence[str]) -> Query:
    """Events of the half-open UTC window by source table and quarter hour, and the latest time of each."""
    return compose("arrivals", {"start": window.start, "end": window.end}, tables=list(tables))


def _slot(moment: datetime) -> int:
    return (moment - EPOCH) // BUCKET
