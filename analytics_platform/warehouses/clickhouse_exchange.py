"""Moves a computed day in and keeps the ledger of computed days true meanwhile, whoever else does so at the same time.

Belongs here: the order of the steps. Does not: computing the rows, the ledger's shape (`clickhouse_schema.py`).

A turn begins by entering in the ledger that the day is on its way, under a name of the turn, and ends by replacing that
entry, and only that one. Who finds another's entry there instead does not know whose rows came last, and takes another
turn. So an entry that names settings is always that of the rows which are there, wherever a process is killed.
"""

import random
import time
from datetime import date, datetime
from typing import TYPE_CHECKING, Protocol
from uuid import uuid4

from analytics_platform.warehouses.base import WarehouseBusyError, WarehouseError
from analytics_platform.warehouses.clickhouse_client import Server
from analytics_platform.warehouses.clickhouse_schema import COMPUTED, Layout
from analytics_platform.warehouses.clickhouse_text import TIME, quoted

if TYPE_CHECKING:
    from analytics_platform.metrics.tables import ResultTable

# Settings that nobody has: the day may be computed, and is not current.
_ON_ITS_WAY = "\x00on its way "
# A turn takes hundredths of a second.
_TURNS = 20
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


def exchange(desk: Desk, table: "ResultTable", day: date, staged: str, moment: datetime) -> int:
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
    for turn in range(_TURNS):
        time.sleep(random.uniform(0.0, 0.02 * turn))
        own = _ON_ITS_WAY + uuid4().hex
        _begin(desk, table.name, day, own)
        desk.server.command(f"ALTER TABLE {target} {change}", name=f"replace_{table.name}")
        if _end(desk, table.name, day, own, rows=rows, moment=moment):
            return rows
    raise WarehouseBusyError(
        f"{table.name} of {day} is being replaced by other processes again and again; wait for them"
    )


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
