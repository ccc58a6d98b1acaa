"""How events get into our own tables in ClickHouse: collected in a table beside, then moved in a UTC day at a time.

Belongs here: the steps of a load. Does not: the connection, the ledger's shape (`clickhouse_schema.py`), other programs'
tables: they are never written.

A local day is cut out of the UTC days that it touches; what they hold besides is kept. The ledger says that days are new
before the first is moved: results computed from half of a load that was killed are known to be outdated.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Protocol
from zoneinfo import ZoneInfo

from analytics_platform.metrics.events import EventTable
from analytics_platform.metrics.windows import Window, day_window, local_day
from analytics_platform.queries import Query
from analytics_platform.warehouses.base import EventLoad, Loaded, Row
from analytics_platform.warehouses.clickhouse_client import Server
from analytics_platform.warehouses.clickhouse_schema import LOADED, Layout
from analytics_platform.warehouses.clickhouse_text import TIME, quoted

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    import pyarrow as pa

# Rows sent at a time: each insert makes a part for every day in it.
_AT_ONCE = 1_000_000


class Desk(Protocol):
    """What a load needs of the warehouse."""

    @property
    def server(self) -> Server:
        """The connection."""
        ...

    @property
    def layout(self) -> Layout:
        """Where our tables are."""
        ...

    def staged_for(self, name: str) -> "AbstractContextManager[str]":
        """A table beside the one of that name, gone at the end."""
        ...

    def now(self) -> datetime:
        """The server's clock, naive UTC."""
        ...

    def ledger(self, table: str, rows: Sequence[Mapping[str, object]]) -> None:
        """Add rows to a ledger."""
        ...

    def rows(self, query: Query) -> list[Row]:
        """The rows of a query."""
        ...


@dataclass(frozen=True)
class _Staged:
    table: EventTable
    place: str
    days: Mapping[date, int]


def load(
    desk: Desk,
    loads: Sequence[EventLoad],
    zone: ZoneInfo,
    *,
    append: bool,
    progress: Callable[[str, int, int], None] | None,
) -> list[Loaded]:
    """See the port. Everything is collected and read through before the first day is moved."""
    if not loads:
        return []
    first, *others = loads
    with desk.staged_for(first.table.name) as place:
        _collect(desk, first, place)
        loaded = load(desk, others, zone, append=append, progress=progress)
        staged = _Staged(first.table, place, _staged_days(desk, first.table.name, place, zone))
        _move(desk, staged, zone, append=append, progress=progress)
        return [Loaded(first.table, sum(staged.days.values()), tuple(staged.days)), *loaded]


def counts_by_day(
    desk: Desk, name: str, source: str, zone: ZoneInfo, *, within: Window | None = None, newest: str = ""
) -> dict[date, tuple[int, datetime | None]]:
    """Rows of each local day that has any, and with `newest` (a column) its latest moment.

    Counted by quarter of an hour, of which every zone's days are made: Python's zones decide, and not the server's.
    """
    latest = f", max(toDateTime64({newest}, 6, 'UTC')) AS newest" if newest else ""
    where = f" WHERE time >= {{start:{TIME}}} AND time < {{end:{TIME}}}" if within else ""
    bound = {"start": _text(within.start), "end": _text(within.end)} if within else {}
    text = (
        f"SELECT toUnixTimestamp(toStartOfFifteenMinutes(time)) AS quarter, count() AS rows{latest} "
        f"FROM {source}{where} GROUP BY quarter ORDER BY quarter"
    )
    found: dict[date, tuple[int, datetime | None]] = {}
    for row in desk.server.rows(text, bound, name=f"days_{name}"):
        day = local_day(datetime(1970, 1, 1) + timedelta(seconds=_int(row["quarter"])), zone)  # noqa: DTZ001 - naive UTC
        count, seen = found.get(day, (0, None))
        moment = row.get("newest")
        later = moment if isinstance(moment, datetime) and (seen is None or moment > seen) else seen
        found[day] = (count + _int(row["rows"]), later)
    return found


def _collect(desk: Desk, load: EventLoad, place: str) -> None:
    import pyarrow as pa

    name = place.rpartition(".")[2].strip("`")

    def send(batches: "list[pa.RecordBatch]") -> None:
        desk.server.insert(desk.layout.database, name, pa.Table.from_batches(batches), name=f"load_{load.table.name}")

    waiting: list[pa.RecordBatch] = []
    for batch in load.batches:
        if batch.num_rows:
            waiting.append(batch)
        if sum(b.num_rows for b in waiting) >= _AT_ONCE:
            send(waiting)
            waiting = []
    if waiting:
        send(waiting)


def _staged_days(desk: Desk, name: str, place: str, zone: ZoneInfo) -> dict[date, int]:
    return {day: rows for day, (rows, _) in sorted(counts_by_day(desk, name, place, zone).items())}


def _move(
    desk: Desk,
    staged: _Staged,
    zone: ZoneInfo,
    *,
    append: bool,
    progress: Callable[[str, int, int], None] | None,
) -> None:
    replaced = [] if append else [day_window(day, zone) for day in staged.days]
    dates = sorted({d for day in staged.days for d in _dates(day_window(day, zone))})
    target = f"{quoted(desk.layout.database)}.{quoted(staged.table.name)}"
    columns = ", ".join(quoted(c.name) for c in staged.table.columns)
    for kept in _kept(dates, replaced):
        desk.server.command(
            f"INSERT INTO {staged.place} ({columns}) SELECT {columns} FROM {target} "
            f"WHERE time >= {{start:{TIME}}} AND time < {{end:{TIME}}}",
            {"start": _text(kept.start), "end": _text(kept.end)},
            name=f"keep_{staged.table.name}",
        )
    # With `append` a day has more rows than the files brought; neighbours that were only kept are as they were.
    totals = _staged_days(desk, staged.table.name, staged.place, zone)
    moment = desk.now()
    changed = [
        {"table_name": staged.table.name, "event_date": day, "rows": totals[day], "loaded_at": moment}
        for day in staged.days
    ]
    desk.ledger(LOADED, changed)
    have = {
        row["day"]
        for row in desk.server.rows(
            f"SELECT DISTINCT toDate(time) AS day FROM {staged.place}", name=f"dates_{staged.table.name}"
        )
    }
    for done, day in enumerate(dates, start=1):
        exchange = f"REPLACE PARTITION '{day}' FROM {staged.place}" if day in have else f"DROP PARTITION '{day}'"
        desk.server.command(f"ALTER TABLE {target} {exchange}", name=f"load_{staged.table.name}")
        if progress:
            progress(staged.table.name, done, len(dates))
    # Computed in between, from half of the days: outdated as well.
    desk.ledger(LOADED, [{**row, "loaded_at": desk.now()} for row in changed])


def _dates(window: Window) -> Iterator[date]:
    """The UTC days that a window touches."""
    day = window.start.date()
    while datetime.combine(day, time()) < window.end:
        yield day
        day += timedelta(days=1)


def _kept(dates: Iterable[date], replaced: Sequence[Window]) -> Iterator[Window]:
    """What of those UTC days lies outside the replaced windows (in order), as few windows as that takes."""
    runs: list[Window] = []
    for day in dates:
        start = datetime.combine(day, time())
        end = start + timedelta(days=1)
        if runs and runs[-1].end == start:
            start = runs.pop().start
        runs.append(Window(start, end))
    for run in runs:
        at = run.start
        for window in replaced:
            if window.end <= at or window.start >= run.end:
                continue
            if window.start > at:
                yield Window(at, window.start)
            at = max(at, window.end)
        if at < run.end:
            yield Window(at, run.end)


def _text(moment: datetime) -> str:
    return moment.isoformat(sep=" ", timespec="microseconds")


def _int(value: object) -> int:
    return value if isinstance(value, int) else 0
