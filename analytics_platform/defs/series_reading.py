"""What alerts read: series of 15 minutes as arrays, and how the events of each source arrive.

Belongs here: reading. Does not: bringing the table up to date (`defs/series.py`), what follows from arrivals
(`alerts/lateness.py`), what is usual (`metrics/series_grid.py`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from analytics_platform.alerts.lateness import WATCHED_BUCKETS
from analytics_platform.availability import last_event
from analytics_platform.defs.series import Memory, Plan
from analytics_platform.metrics import series
from analytics_platform.metrics.series import BUCKET, SeriesKey, bucket_of
from analytics_platform.metrics.windows import EPOCH, Window
from analytics_platform.warehouses.base import Warehouse

if TYPE_CHECKING:
    from analytics_platform.metrics.series_grid import Grid

_SEARCHED = (timedelta(days=1), timedelta(days=7), timedelta(days=60))


def read(
    warehouse: Warehouse,
    first: datetime,
    until: datetime,
    keys: Sequence[SeriesKey] | None = None,
    *,
    totals: bool = False,
) -> "Grid":
    """The buckets that begin from `first` on and before `until` (aware, starts of buckets), as arrays.

    `keys`: these series in this order, NaN where there are no rows; without, all that have any: totals first, then by
    name. `totals`: of everybody alone.
    """
    from analytics_platform.metrics.series_grid import assemble

    window = Window(*(moment.astimezone(UTC).replace(tzinfo=None) for moment in (first, until)))
    totals = totals or (keys is not None and all(key.is_total for key in keys))
    return assemble(warehouse.table(series.series_rows(window, totals=totals)), window, keys)


@dataclass(frozen=True)
class Look:
    """What there is of each source (event table) now. `rows`: by bucket (start, aware) of the last ones that have any.
    `newest`: the time of the newest event (aware), None without any in the last 60 days.
    """

    rows: Mapping[str, Mapping[datetime, int]]
    newest: Mapping[str, datetime | None]


def look(warehouse: Warehouse, plan: Plan, now: datetime, memory: Memory) -> Look:
    """Count the rows of the last buckets, for `alerts.lateness`. What is dated after `now` is not looked at."""
    moment = now.astimezone(UTC).replace(tzinfo=None)
    tables = [s.table for s in series.services(plan.metrics)]
    rows: dict[str, dict[datetime, int]] = {table: {} for table in tables}
    newest: dict[str, datetime | None] = dict.fromkeys(tables)
    window = Window(bucket_of(moment) - WATCHED_BUCKETS * BUCKET, moment)
    for row in warehouse.rows(series.arrivals(window, tables)) if tables else ():
        source, slot, events, last = str(row["source"]), row["slot"], row["events"], row["newest"]
        if isinstance(slot, int) and isinstance(events, int) and isinstance(last, datetime):
            rows[source][_aware(EPOCH + slot * BUCKET)] = events
            newest[source] = max(newest[source] or _aware(last), _aware(last))
    for source in tables:
        newest[source] = newest[source] or _searched(warehouse, source, window.start, memory)
        if latest := newest[source]:
            memory.newest[source] = latest
    return Look(rows, newest)


def _searched(warehouse: Warehouse, source: str, before: datetime, memory: Memory) -> datetime | None:
    """The newest event of a source that has had none for hours."""
    known = memory.newest.get(source)
    for span in _SEARCHED:
        since = before - span
        if known and known > _aware(since):  # what is older was found before
            since = known.replace(tzinfo=None)
        last = warehouse.rows(last_event(source, since, before))[0]["last_time"]
        if isinstance(last, datetime):
            return _aware(last)
    return None


def _aware(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC)
