"""How events get into our own tables in ClickHouse: collected in a table beside, then moved in as whole UTC days.

Belongs here: the steps of a load. Does not: the connection, the ledger's shape (`clickhouse_schema.py`), tables that
other programs write: they are only read.

A local day is cut out of the UTC days that it touches; what they hold besides is kept, unless somebody else writes it
meanwhile: then nothing is moved. The ledger says that days are new before the first is moved, and again after the last:
what was computed from the days before, or from half of them, is known to be outdated.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Protocol
from zoneinfo import ZoneInfo

from analytics_platform.metrics.events import EventTable
from analytics_platform.metrics.windows import EPOCH, Window, day_window, local_day
from analytics_platform.queries import Query
from analytics_platform.warehouses.base import EventLoad, Loaded, Row, WarehouseBusyError, WarehouseError
from analytics_platform.warehouses.clickhouse_client import Server
from analytics_platform.warehouses.clickhouse_schema import LOADED, Layout
from analytics_platform.warehouses.clickhouse_text import TIME, quoted, unquoted

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    import pyarrow as pa

# Rows sent at a time: each insert makes a part for every day in it.
_AT_ONCE = 1_000_000
# Partitions moved by one statement, whose text has a limit.
_CHANGES = 500
_FIRST = date(1970, 1, 1)
_WITHIN = f"time >= {{start:{TIME}}} AND time < {{end:{TIME}}}"


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
        found = _staged_days(desk, first.table.name, place, zone)
        if early := [day for day in found if day < _FIRST]:
            raise WarehouseError(
                f"{first.table.name} has events of {early[0]} ({zone}), and ClickHouse knows no day before {_FIRST}: "
                "such times are zeros as a rule; leave those rows out"
            )
        loaded = load(desk, others, zone, append=append, progress=progress)
        staged = _Staged(first.table, place, found)
        _move(desk, staged, zone, append=append, progress=progress)
        return [Loaded(first.table, sum(staged.days.values()), tuple(staged.days)), *loaded]


def counts_by_day(
    desk: Desk, name: str, source: str, zone: ZoneInfo, *, within: Window | None = None, newest: str = ""
) -> dict[date, tuple[int, datetime | None]]:
    """Rows of each local day that has any, and with `newest` (a column) its latest moment.

    Counted by quarter of an hour, of which every zone's days are made: Python's zones decide, and not the server's.
    """
    latest = f", max(toDateTime64({newest}, 6, 'UTC')) AS newest" if newest else ""
    where = f" WHERE {_WITHIN}" if within else ""
    text = (
        f"SELECT toUnixTimestamp(toStartOfFifteenMinutes(time)) AS quarter, count() AS rows{latest} "
        f"FROM {source}{where} GROUP BY quarter ORDER BY quarter"
    )
    found: dict[date, tuple[int, datetime | None]] = {}
    for row in desk.server.rows(text, _bound(within) if within else {}, name=f"days_{name}"):
        day = local_day(EPOCH + timedelta(seconds=_int(row["quarter"])), zone)
        count, seen = found.get(day, (0, None))
        moment = row.get("newest")
        later = moment if isinstance(moment, datetime) and (seen is None or moment > seen) else seen
        found[day] = (count + _int(row["rows"]), later)
    return found


def _collect(desk: Desk, load: EventLoad, place: str) -> None:
    import pyarrow as pa

    def send(batches: "list[pa.RecordBatch]") -> None:
        rows = pa.Table.from_batches(batches)
        desk.server.insert(desk.layout.database, unquoted(place), rows, name=f"load_{load.table.name}")

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
    name = staged.table.name
    dates = sorted({d for day in staged.days for d in _dates(day_window(day, zone))})
    target = f"{quoted(desk.layout.database)}.{quoted(name)}"
    kept = [] if append else list(_kept(dates, [day_window(day, zone) for day in staged.days]))
    found = _versions(desk, name, kept)
    columns = ", ".join(quoted(c.name) for c in staged.table.columns)
    for window in kept:
        desk.server.command(
            f"INSERT INTO {staged.place} ({columns}) SELECT {columns} FROM {target} WHERE {_WITHIN}",
            _bound(window),
            name=f"keep_{name}",
        )
    rows = desk.server.rows(f"SELECT DISTINCT toDate(time) AS day FROM {staged.place}", name=f"dates_{name}")
    have = {row["day"] for row in rows}
    changes = [f"{'ATTACH' if append else 'REPLACE'} PARTITION '{d}' FROM {staged.place}" for d in dates if d in have]
    changes += [f"DROP PARTITION '{d}'" for d in dates if d not in have and not append]
    _enter(desk, name, staged.days)
    if _versions(desk, name, kept) != found:
        raise WarehouseBusyError(f"another process loads {name} of the same days (UTC): load again when it is done")
    for done in range(0, len(changes), _CHANGES):
        # In one statement: nobody is killed between two halves of a local day.
        some = ", ".join(changes[done : done + _CHANGES])
        desk.server.command(f"ALTER TABLE {target} {some}", name=f"load_{name}")
        if progress:
            progress(name, min(done + _CHANGES, len(changes)), len(changes))
    # Computed in between, from half of the days: outdated as well.
    _enter(desk, name, _stored_days(desk, name, dates, zone) if append else staged.days, only=staged.days)


def _enter(desk: Desk, name: str, rows: Mapping[date, int], *, only: Iterable[date] | None = None) -> None:
    moment = desk.now()
    days = rows if only is None else only
    changed = [{"table_name": name, "event_date": day, "rows": rows.get(day, 0), "loaded_at": moment} for day in days]
    desk.ledger(LOADED, changed)


def _stored_days(desk: Desk, name: str, dates: Iterable[date], zone: ZoneInfo) -> dict[date, int]:
    """Rows of the local days in those UTC days, as they are stored."""
    target = f"{quoted(desk.layout.database)}.{quoted(name)}"
    found: dict[date, int] = {}
    for window in _kept(dates, ()):
        for day, (rows, _) in counts_by_day(desk, name, target, zone, within=window).items():
            found[day] = found.get(day, 0) + rows
    return found


def _versions(desk: Desk, name: str, windows: Iterable[Window]) -> list[dict[str, object]]:
    """What tells whether somebody has written into these UTC days: it grows with each write, and not with merges."""
    days = sorted({str(day) for window in windows for day in _dates(window)})
    if not days:
        return []
    return desk.server.rows(
        "SELECT partition, sum(rows) AS rows, max(max_block_number) AS block FROM system.parts WHERE active AND "
        "database = {database:String} AND table = {table:String} AND partition IN {days:Array(String)} "
        "GROUP BY partition ORDER BY partition",
        {"database": desk.layout.database, "table": name, "days": days},
        name=f"versions_{name}",
    )


def _dates(window: Window) -> Iterator[date]:
    """The UTC days that a window touches. A partition has no date before the first, and there are no events."""
    day = max(window.start.date(), _FIRST)
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


def _bound(window: Window) -> dict[str, object]:
    return {"start": _text(window.start), "end": _text(window.end)}


def _text(moment: datetime) -> str:
    return moment.isoformat(sep=" ", timespec="microseconds")


def _int(value: object) -> int:
    return value if isinstance(value, int) else 0
