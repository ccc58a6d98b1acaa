"""What an explanation is made of: users and counts of an incident's window and of earlier ones, by every combination.

Belongs here: which attributes may explain, which earlier windows are compared, composing the statement. Does not:
running it, the explanation itself (`explain.py`). Light: no numpy.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from analytics_platform.metrics.catalog import METRICS, Count, Distinct, Metric, Ratio, Source
from analytics_platform.metrics.dimensions import DIMENSIONS, Dimension, Labels, attributes
from analytics_platform.metrics.events import FEED_ACTIONS, MESSAGE_ACTIONS, Kind
from analytics_platform.metrics.slices import labelled
from analytics_platform.metrics.windows import Window
from analytics_platform.queries import Query, Value, compose

LONGEST = timedelta(hours=4)
DAYS_BACK = 14
WEEKS_BACK = 4
USERS = "users"  # the column of distinct users

_NAMED = {d.name: d for d in DIMENSIONS}
# The order in which slices are told, and in which equals are preferred.
EXPLAINED: tuple[Dimension, ...] = (
    _NAMED["os"],
    Dimension("city", ("city",), "city"),
    _NAMED["country"],
    _NAMED["source"],
    _NAMED["age_group"],
    _NAMED["gender"],
)
# City and country say one thing in two sizes; they are never combined with each other.
NESTED: tuple[tuple[str, str], ...] = (("city", "country"),)
TABLES = {
    Source.FEED: FEED_ACTIONS.name,
    Source.SENT: MESSAGE_ACTIONS.name,
}


@dataclass(frozen=True)
class Measured:
    """The columns of the leaves that make a metric: of a ratio two, of all else one. `table`: whose events."""

    table: str
    numerator: str
    denominator: str = ""

    @property
    def counts(self) -> tuple[str, ...]:
        """The columns that are counts of events."""
        return tuple(name for name in (self.numerator, self.denominator) if name not in ("", USERS))


def measured(metric: str, metrics: Iterable[Metric] = METRICS) -> Measured:
    """How the leaves tell a metric of the catalogue: a count of own events, their users, or a ratio of such.

    ValueError names a metric that events of one user alone cannot tell.
    """
    catalogue = {m.name: m for m in metrics}
    match catalogue.get(metric):
        case Count(name=name, source=source) if source in TABLES:
            return Measured(TABLES[source], name)
        case Distinct(of=source, where=where) if source in TABLES and where in _anything(catalogue, source):
            return Measured(TABLES[source], USERS)
        case Ratio(numerator=over, denominator=under):
            parts = measured(over, catalogue.values()), measured(under, catalogue.values())
            if parts[0].table == parts[1].table:
                return Measured(parts[0].table, parts[0].numerator, parts[1].numerator)
    raise ValueError(
        f"metric {metric!r} cannot be explained by slices; use a count of own feed events or sent messages, "
        "all users of either, or a ratio of such counts"
    )


def _anything(catalogue: Mapping[str, Metric], source: Source) -> set[str]:
    """Conditions that every user with a row in the source's table meets."""
    whole = (m for m in catalogue.values() if isinstance(m, Count) and m.source is source and m.where == "true")
    return {f"{m.name} > 0" for m in whole}


def incident_window(start: datetime, end: datetime) -> Window:
    """Naive UTC window of an incident given by aware instants (half-open): its last four hours where it is longer."""
    first, last = (moment.astimezone(UTC).replace(tzinfo=None) for moment in (start, end))
    if first >= last:
        raise ValueError(f"an incident starts before it ends; got {start} and {end}")
    return Window(max(first, last - LONGEST), last)


def reference_windows(window: Window, zone: ZoneInfo, without: Collection[date] = ()) -> tuple[Window, ...]:
    """The same local times of the 14 days before and of the same weekday three and four weeks before, newest first.

    All as long as `window`. `without`: local days that were out of the ordinary (by the local day of the window's
    start). Where the clocks change within the night, an hour that does not exist is read as the one after it.
    """
    length = window.end - window.start
    local = window.start.replace(tzinfo=UTC).astimezone(zone)
    found = []
    for back in (*range(1, DAYS_BACK + 1), *(7 * week for week in range(DAYS_BACK // 7 + 1, WEEKS_BACK + 1))):
        day = local.date() - timedelta(days=back)
        if day not in without:
            # Local: the clock on the wall goes back whole days, whatever the offset was.
            begin = datetime.combine(day, local.time(), tzinfo=zone).replace(fold=local.fold)
            start = begin.astimezone(UTC).replace(tzinfo=None)
            # A night in which the clocks are set back has its hour twice: no reading may touch the incident itself.
            found.append(Window(start, start + length))
    return tuple(w for w in found if w.end <= window.start)


def leaves(
    table: str,
    windows: Sequence[Window],
    counts: Iterable[str],
    labels: Labels,
    *,
    metrics: Iterable[Metric] = METRICS,
    dimensions: Sequence[Dimension] = EXPLAINED,
) -> Query:
    """One row per window (`window_number`: its place in `windows`) and combination of the dimensions' values.

    Columns: `window_number`, every dimension (text; NULL and empty read `unknown`), `users` (exact distinct users) and
    the named `counts` of the catalogue. A user has the attributes of their last event in the window (ties: the greatest
    values), so rows add up. `windows`: naive UTC, half-open. ValueError for no window or a count of another table.
    """
    if not windows:
        raise ValueError("leaves are of at least one window")
    catalogue = {m.name: m for m in metrics}
    chosen = []
    for name in dict.fromkeys(counts):
        match catalogue.get(name):
            case Count(source=source) as count if TABLES.get(source) == table:
                chosen.append(count)
            case _:
                raise ValueError(f"{name!r} is no count of {table}; use a Count of the catalogue over that table")
    params: dict[str, Value] = {}
    for k, window in enumerate(windows):
        params[f"start_{k}"], params[f"end_{k}"] = window.start, window.end

    wanted = attributes(dimensions)
    return compose(
        "leaves",
        params,
        table=table,
        windows=len(windows),
        attributes=[a.name for a in wanted],
        text_attributes=[a.name for a in wanted if a.kind is Kind.TEXT],
        counts=chosen,
        dimensions=dimensions,
        labelled=lambda dimension: labelled(dimension, labels, params),
    )
