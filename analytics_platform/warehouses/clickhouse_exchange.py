"""Moves a computed day in and keeps the ledger of computed days true meanwhile, whoever else does so at the same time.

Belongs here: the order of the steps. Does not: computing the rows, the ledger's shape (`clickhouse_schema.py`).

A turn begins by entering in the ledger that the day is on its way, under a name of the turn, and ends by replacing that
entry, and only that one. Who finds another's entry there instead does not know whose rows came last, and takes another
turn. So an entry that names settings is always that of the rows which are there, wherever a process is killed.

A part of a day that has no rows yet is added to it; who replaces one that has some takes the other rows along. Neither
may go by what somebody else has changed since it was read: rows would be there twice, or come back. So who begins a
turn first drops the tables in which others collect such a day, and waits until a move that has begun is over (SYNC): of
what they have read until then, nothing is moved in any more. Who finds the table gone takes another turn and reads
again. That is what makes it right; what makes it quick is that whoever finds such a table waits a while before a turn
of its own, unless it is so old that its process is gone.
"""

import random
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import date, datetime
from typing import TYPE_CHECKING, Protocol
from uuid import uuid4

from analytics_platform.metrics.tables import METRIC_RESULTS, ResultTable
from analytics_platform.warehouses.base import WarehouseBusyError, WarehouseError
from analytics_platform.warehouses.clickhouse_client import Server
from analytics_platform.warehouses.clickhouse_schema import COMPUTED, Layout, being_computed
from analytics_platform.warehouses.clickhouse_text import TIME, quoted, unquoted
from analytics_platform.warehouses.parts import Part

if TYPE_CHECKING:
    import pyarrow as pa

# Settings that nobody has: the day may be computed, and is not current.
_ON_ITS_WAY = "\x00on its way "
# A turn takes hundredths of a second.
_TURNS = 20
# Nobody replaces parts of their days.
_WHOLE_DAYS = tuple(table.name for table in METRIC_RESULTS)
_OF_DAY = "table_name = {table:String} AND event_date = {day:Date}"
_COLUMNS = "table_name, event_date, rows, computed_at, basis, version"


class Desk(Protocol):
    """What an exchange needs of the warehouse."""

    @property
    def server(self) -> Server:
        """The connection."""
        ...

    @property
    def layout(self) -> Layout:
        """Where our tables are."""
        ...

    @property
    def basis(self) -> str:
        """The settings that the rows were computed under."""
        ...

    @property
    def patience_seconds(self) -> float:
        """How long another process may take for a part of a day."""
        ...

    def staged_for(self, name: str, what: str = "") -> AbstractContextManager[str]:
        """A table beside the one of that name, gone at the end."""
        ...


def exchange(desk: Desk, table: ResultTable, day: date, staged: str, moment: datetime) -> int:
    """Replace that day by the rows of the table `staged`, computed as of `moment` (naive UTC). Their number.

    Raises WarehouseError for rows of another day, WarehouseBusyError when others replace the day again and again.
    """
    text = f"SELECT count() AS rows, countIf(event_date <> {{day:Date}}) AS strange FROM {staged}"
    [counted] = desk.server.rows(text, {"day": day}, name=f"count_{table.name}")
    rows, strange = counted["rows"], counted["strange"]
    if not isinstance(rows, int) or strange:
        raise WarehouseError(f"{table.name} of {day}: {strange} of {rows} rows are of another day")
    # An empty source is refused: it might be a mistake. Here it is a day without events.
    change = f"REPLACE PARTITION '{day}' FROM {staged}" if rows else f"DROP PARTITION '{day}'"
    target = f"{quoted(desk.layout.database)}.{quoted(table.name)}"
    for own in _turns(table, day):
        _begin(desk, table.name, day, own)
        if table.name not in _WHOLE_DAYS:
            _drop_collected(desk, table.name, day)
        desk.server.command(f"ALTER TABLE {target} {change}", name=f"replace_{table.name}")
        if _end(desk, table.name, day, own, rows=rows, moment=moment):
            break
    return rows


def exchange_part(desk: Desk, table: ResultTable, day: date, part: Part, *, rows: "pa.Table", moment: datetime) -> int:
    """Replace that part of the day by `rows`, which are of it, computed as of `moment` (naive UTC). Their number.

    Raises WarehouseBusyError when others replace the day again and again.
    """
    for own in _turns(table, day):
        _let_others_end(desk, table.name, day)
        with desk.staged_for(table.name, _part_of(day)) as staged:
            _begin(desk, table.name, day, own)
            _drop_collected(desk, table.name, day, but=unquoted(staged))
            try:
                total = _replace_part(desk, table.name, day, part, rows=rows, staged=staged)
            except WarehouseError:
                if unquoted(staged) in _collected(desk, table.name, day):
                    raise
                continue  # somebody has begun a turn since, and dropped it
            if _end(desk, table.name, day, own, rows=total, moment=moment):
                break
    return int(rows.num_rows)


def _turns(table: ResultTable, day: date) -> Iterator[str]:
    """Names of turns, with growing pauses. Raises WarehouseBusyError after the last."""
    for turn in range(_TURNS):
        time.sleep(random.uniform(0.0, 0.02 * turn))
        yield _ON_ITS_WAY + uuid4().hex
    raise WarehouseBusyError(
        f"{table.name} of {day} is being replaced by other processes again and again; wait for them"
    )


def _replace_part(desk: Desk, name: str, day: date, part: Part, *, rows: "pa.Table", staged: str) -> int:
    """One turn's moving in; the day's number of rows."""
    target = f"{quoted(desk.layout.database)}.{quoted(name)}"
    bound = {"day": day, **{column: at.isoformat(sep=" ", timespec="microseconds") for column, at in part.items()}}
    of_part = " AND ".join(f"{quoted(column)} = {{{column}:{TIME}}}" for column in part)
    if rows.num_rows:
        desk.server.insert(desk.layout.database, unquoted(staged), rows, name=f"store_{name}")
    # A window that is stored for the first time, as nearly all are: the rows that stay need not be written again.
    total, there = _stored(desk, name, of_part, bound)
    if not there:
        if rows.num_rows:
            change = f"ATTACH PARTITION '{day}' FROM {staged}"
            desk.server.command(f"ALTER TABLE {target} {change}", name=f"attach_{name}")
            # A replicated table leaves out what it has had before, also when that is gone since.
            total, there = _stored(desk, name, of_part, bound)
        if there == rows.num_rows:
            return total
    others = f"event_date = {{day:Date}} AND NOT ifNull({of_part}, 0)"
    text = f"INSERT INTO {staged} SELECT * FROM {target} WHERE {others}"
    desk.server.command(text, bound, name=f"keep_{name}")
    [counted] = desk.server.rows(f"SELECT count() AS rows FROM {staged}", name=f"count_{name}")
    total = _number(counted["rows"])
    if total:
        change = f"REPLACE PARTITION '{day}' FROM {staged}"
        desk.server.command(f"ALTER TABLE {target} {change}", name=f"replace_{name}")
    else:
        # Dropping the partition would take along what somebody has stored since the others were read.
        text = f"ALTER TABLE {target} DELETE IN PARTITION '{day}' WHERE {of_part} SETTINGS mutations_sync = 2"
        desk.server.command(text, bound, name=f"replace_{name}")
    return total


def _stored(desk: Desk, name: str, of_part: str, bound: Mapping[str, object]) -> tuple[int, int]:
    """The number of rows of the day, and of those of the part."""
    target = f"{quoted(desk.layout.database)}.{quoted(name)}"
    there = f"coalesce(countIf({of_part}), 0)"  # NULL of no rows, under our session's settings
    text = f"SELECT count() AS every, {there} AS there FROM {target} WHERE event_date = {{day:Date}}"
    [found] = desk.server.rows(text, bound, name=f"stored_{name}")
    return _number(found["every"]), _number(found["there"])


def _number(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError(f"a number of rows is no {value!r}")
    return value


def _part_of(day: date) -> str:
    return f"part of {day}"


def _collected(desk: Desk, name: str, day: date) -> dict[str, int]:
    """The tables in which somebody collects a part of the day and what stays of it, and their age in seconds."""
    rows = desk.server.rows(
        "SELECT name, dateDiff('second', metadata_modification_time, now()) AS age FROM system.tables "
        "WHERE database = {database:String} AND startsWith(comment, {comment:String})",
        {"database": desk.layout.database, "comment": being_computed(name, _part_of(day))},
        name=f"collected_{name}",
    )
    return {str(row["name"]): age for row in rows if isinstance(age := row["age"], int)}


def _let_others_end(desk: Desk, name: str, day: date) -> None:
    enough = time.monotonic() + 3 * desk.patience_seconds  # they may be many, one after the other
    while (
        any(age < desk.patience_seconds for age in _collected(desk, name, day).values()) and time.monotonic() < enough
    ):
        time.sleep(random.uniform(0.02, 0.1))


def _drop_collected(desk: Desk, name: str, day: date, but: str = "") -> None:
    for staged in _collected(desk, name, day):
        if staged != but:
            place = f"{quoted(desk.layout.database)}.{quoted(staged)}"
            desk.server.command(f"DROP TABLE IF EXISTS {place} SYNC", name=f"drop_{name}")


def _begin(desk: Desk, name: str, day: date, own: str) -> None:
    # A day that was never computed is not so now: a negative number of rows is hidden from every statement. The newest
    # entry counts, also when the server's clock was put back.
    ledger = f"{quoted(desk.layout.database)}.{quoted(COMPUTED)}"
    text = (
        f"INSERT INTO {ledger} ({_COLUMNS}) SELECT {{table:String}}, {{day:Date}}, coalesce(max(rows), -1), "
        "coalesce(max(computed_at), now64(6)), {own:String}, "
        f"greatest(toUnixTimestamp64Micro(now64(6)), coalesce(max(version), 0) + 2) FROM {ledger} FINAL WHERE {_OF_DAY}"
    )
    desk.server.command(text, {"table": name, "day": day, "own": own}, name=f"begin_{name}")


def _end(desk: Desk, name: str, day: date, own: str, *, rows: int, moment: datetime) -> bool:
    """Enter the day as computed, unless somebody has begun a turn since; whether it was entered."""
    ledger = f"{quoted(desk.layout.database)}.{quoted(COMPUTED)}"
    bound = {"table": name, "day": day, "moment": moment.isoformat(sep=" ", timespec="microseconds")}
    # One more than the turn's own version, so that the entry of a turn begun since stays the newest.
    text = (
        f"INSERT INTO {ledger} ({_COLUMNS}) SELECT table_name, event_date, {{rows:Int64}}, {{moment:{TIME}}}, "
        f"{{basis:String}}, version + 1 FROM {ledger} FINAL WHERE {_OF_DAY} AND basis = {{own:String}}"
    )
    desk.server.command(text, {**bound, "rows": rows, "basis": desk.basis, "own": own}, name=f"end_{name}")
    text = (
        f"SELECT count() AS entries FROM {ledger} "
        f"WHERE {_OF_DAY} AND computed_at = {{moment:{TIME}}} AND basis = {{basis:String}}"
    )
    [found] = desk.server.rows(text, {**bound, "basis": desk.basis}, name=f"ended_{name}")
    return bool(found["entries"])
