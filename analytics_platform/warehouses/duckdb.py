"""The embedded warehouse: events and results in two DuckDB files.

Belongs here: everything that is DuckDB's: files, locks, DDL, types. Does not: metrics, parsing of event files.

DuckDB lets one process write a file or many read it, never both. So a file is open only while a statement needs it:
results are computed in memory first and then written in a transaction of milliseconds. Whoever meets a lock waits with
growing, jittered pauses; a gate (a lock file beside the database) keeps a stream of readers from starving a writer.
Threads of one process take turns.
"""

import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from uuid import uuid4
from zoneinfo import ZoneInfo

import duckdb
from filelock import FileLock
from filelock import Timeout as GateTimeout
from tenacity import RetryError, Retrying, retry_if_exception, stop_after_delay, wait_random_exponential

from analytics_platform.metrics import lineage
from analytics_platform.metrics.tables import STANDARD_TABLES, ResultTable
from analytics_platform.queries import Query, compose
from analytics_platform.warehouses import duckdb_load
from analytics_platform.warehouses.base import EventLoad, Loaded, Row, WarehouseBusyError, WarehouseError
from analytics_platform.warehouses.duckdb_schema import COMPUTED, LOADED, UTC_NOW, event_tables, result_tables

# One for the process, not one a warehouse: POSIX drops all locks of a process on a file when it closes any descriptor
# of it, so with two warehouses reading the same file, the first to finish would expose the other to writers.
_TURN = threading.RLock()


@dataclass
class DuckDBWarehouse:
    """Events in `events`, results in `results`. `config` are DuckDB's own settings (memory_limit, threads, ...).

    `basis` names the settings that results depend on (time zone, labels): days computed under another are not current.
    """

    events: Path
    results: Path
    scratch: Path
    config: dict[str, str] = field(default_factory=dict)
    lock_timeout_seconds: float = 120.0
    basis: str = ""
    result_tables: tuple[ResultTable, ...] = STANDARD_TABLES

    def __post_init__(self) -> None:
        self._engine: duckdb.DuckDBPyConnection | None = None
        self._prepared = False

    # ---------------------------------------------------------------- port

    def prepare(self) -> None:
        """See the port. Reads first, so that a prepared warehouse is never opened for writing."""
        with self._turn():
            if self._prepared:
                return
            for folder in (self.events.parent, self.results.parent, self.scratch):
                try:
                    folder.mkdir(parents=True, exist_ok=True)
                except OSError as error:
                    raise WarehouseError(f"the folder {folder} cannot be created: {error.strerror}") from error
            wanted = {"events": event_tables(), "results": result_tables(self.result_tables)}
            for name, columns in wanted.items():
                if self._missing(name, columns):
                    with self._open(write=name) as con:
                        for table, column, kind in self._missing_in(con, name, columns):
                            if column is None:
                                body = ", ".join(f'"{c}" {t}' for c, t in columns[table])
                                con.execute(f'CREATE TABLE IF NOT EXISTS {name}."{table}" ({body}{kind})')
                            else:
                                con.execute(f'ALTER TABLE {name}."{table}" ADD COLUMN "{column}" {kind}')
            self._prepared = True

    def rows(self, query: Query) -> list[Row]:
        """See the port."""
        self.prepare()
        with self._open() as con:
            cursor = _run(con, query)
            names = [c[0] for c in cursor.description or ()]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def computed_days(self, table: ResultTable, first: date, last: date) -> Collection[date]:
        """See the port."""
        return self._days(compose("computed_days", {"table_name": table.name, "first_day": first, "last_day": last}))

    def computed_at(self, table: ResultTable, first: date, last: date) -> Mapping[date, datetime]:
        """See the port."""
        rows = self.rows(compose("computed_at", {"table_name": table.name, "first_day": first, "last_day": last}))
        return {
            day: moment
            for row in rows
            if isinstance(day := row["event_date"], date) and isinstance(moment := row["computed_at"], datetime)
        }

    def current_days(self, table: ResultTable, first: date, last: date) -> Collection[date]:
        """See the port."""
        return self._days(lineage.current_days(table.name, first, last, self.basis))

    def _days(self, query: Query) -> Collection[date]:
        return {day for row in self.rows(query) if isinstance(day := row["event_date"], date)}

    def replace_day(self, table: ResultTable, day: date, query: Query, *, also: Query | None = None) -> int:
        """See the port. The heavy part runs on read-only files; the write lock lasts for DELETE and INSERT only."""
        self.prepare()
        columns = ", ".join(f'"{name}"' for name, _ in table.columns)
        staged = f"staged_{uuid4().hex}"
        with self._turn():
            try:
                with self._open() as con:
                    # The moment of reading, not of writing: events loaded in between make the day outdated.
                    [moment] = con.execute(f"SELECT {UTC_NOW}").fetchone() or (None,)
                    _run(con, Query(query.name, f"CREATE TEMP TABLE {staged} AS {query.sql}", query.params))
                    if also:
                        _run(con, Query(also.name, f"CREATE TEMP TABLE {staged}_also AS {also.sql}", also.params))
                with self._open(write="results") as con, _transaction(con):
                    con.execute(f'DELETE FROM results."{table.name}" WHERE event_date = $day', {"day": day})
                    for rows in (staged, f"{staged}_also") if also else (staged,):
                        # Explicit columns on both sides: a table that grew a column keeps its old order.
                        con.execute(f'INSERT INTO results."{table.name}" ({columns}) SELECT {columns} FROM {rows}')
                    counted = con.execute(f"SELECT count(*) FROM {staged}").fetchone()
                    written = int(counted[0]) if counted else 0
                    con.execute(
                        f"INSERT OR REPLACE INTO results.{COMPUTED} VALUES ($table, $day, $rows, $moment, $basis)",
                        {"table": table.name, "day": day, "rows": written, "moment": moment, "basis": self.basis},
                    )
            finally:
                if self._engine is not None:
                    for rows in (staged, f"{staged}_also"):
                        self._engine.execute(f"DROP TABLE IF EXISTS {rows}")
        return written

    def load(
        self,
        loads: Sequence[EventLoad],
        zone: ZoneInfo,
        *,
        append: bool = False,
        progress: Callable[[str, int, int], None] | None = None,
    ) -> list[Loaded]:
        """See the port. Batches go to a scratch file first, so memory stays bounded and the lock short."""
        self.prepare()
        with self._turn(), _said("loading events"):
            con = self._connection()
            # In memory, spilling to the scratch folder beyond memory_limit: a file would be written twice, log and all.
            con.execute("ATTACH ':memory:' AS staging")
            try:
                for events in loads:
                    duckdb_load.stage(con, events)
                counted = [(events.table, duckdb_load.staged_days(con, events.table, zone)) for events in loads]
                with self._open(write="events"):
                    if append:
                        for table, rows in counted:
                            duckdb_load.stage_stored(con, table, rows, zone)
                    with _transaction(con):
                        return [duckdb_load.store(con, table, rows, zone, progress) for table, rows in counted]
            finally:
                con.execute("DETACH staging")

    # ------------------------------------------------------- files and locks

    def _connection(self) -> duckdb.DuckDBPyConnection:
        if self._engine is None:
            self.scratch.mkdir(parents=True, exist_ok=True)
            own = {
                "temp_directory": str(self.scratch / "spill"),
                # Met with a file of another program's, the engine would fetch an extension for it from the network.
                "autoinstall_known_extensions": "false",
            }
            self._engine = duckdb.connect(":memory:", config={**own, **self.config})
        return self._engine

    @contextmanager
    def _open(self, write: str | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
        """Both files read-only, or the one named by `write` for writing; closed again whatever happens."""
        paths = {"events": self.events, "results": self.results}
        with self._turn(), _said(f"{'reading' if write is None else 'writing'} {paths[write or 'results'].parent}"):
            con = self._connection()
            attached: list[str] = []
            try:
                for name, path in paths.items():
                    if write in (None, name):
                        self._attach(con, name, path, read_only=write is None)
                        attached.append(name)
                yield con
            finally:
                for name in attached:
                    con.execute(f"DETACH {name}")

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """This thread's turn; an inner call is part of the outer one's."""
        if not _TURN.acquire(timeout=self.lock_timeout_seconds):
            raise WarehouseBusyError(
                f"{self.results} was in use by another thread for {self.lock_timeout_seconds:g} s; "
                "wait for its work to end or raise LOCK_TIMEOUT_SECONDS"
            )
        try:
            yield
        finally:
            _TURN.release()

    def _attach(self, con: duckdb.DuckDBPyConnection, name: str, path: Path, *, read_only: bool) -> None:
        mode = "TYPE duckdb, READ_ONLY" if read_only else "TYPE duckdb"
        deadline = time.monotonic() + self.lock_timeout_seconds
        try:
            # A writer waits inside the gate, so readers that come later queue behind it.
            with FileLock(f"{path}.gate", timeout=self.lock_timeout_seconds, poll_interval=0.005):
                for attempt in Retrying(
                    retry=retry_if_exception(_is_lock_conflict),
                    wait=wait_random_exponential(multiplier=0.005, max=0.5),
                    stop=stop_after_delay(max(0.0, deadline - time.monotonic())),
                ):
                    with attempt:
                        con.execute(f"ATTACH {_quoted(path)} AS {name} ({mode})")
        except (GateTimeout, RetryError):
            raise WarehouseBusyError(
                f"{path} was kept open by another process for {self.lock_timeout_seconds:g} s; "
                "close that program (a DuckDB console?) or raise LOCK_TIMEOUT_SECONDS"
            ) from None
        except (duckdb.Error, OSError) as error:
            raise WarehouseError(f"{path} cannot be opened as a DuckDB database: {error}") from error

    # -------------------------------------------------------------- schemas

    def _missing(self, name: str, columns: dict[str, list[tuple[str, str]]]) -> bool:
        path = self.events if name == "events" else self.results
        if not path.exists():
            return True
        con = self._connection()
        self._attach(con, name, path, read_only=True)
        try:
            return bool(self._missing_in(con, name, columns))
        finally:
            con.execute(f"DETACH {name}")

    def _missing_in(
        self, con: duckdb.DuckDBPyConnection, name: str, columns: dict[str, list[tuple[str, str]]]
    ) -> list[tuple[str, str | None, str]]:
        """(table, None, table constraints) for a missing table, (table, column, type) for a missing column."""
        found = con.execute(
            "SELECT table_name, column_name FROM duckdb_columns() WHERE database_name = $name", {"name": name}
        ).fetchall()
        have: dict[str, set[str]] = {}
        for table, column in found:
            have.setdefault(table, set()).add(column)
        gaps: list[tuple[str, str | None, str]] = []
        for table, wanted in columns.items():
            if table not in have:
                keyed = table in (COMPUTED, LOADED)
                gaps.append((table, None, ", PRIMARY KEY (table_name, event_date)" if keyed else ""))
            else:
                gaps += [(table, c, t) for c, t in wanted if c not in have[table]]
        return gaps


def _run(con: duckdb.DuckDBPyConnection, query: Query) -> duckdb.DuckDBPyConnection:
    try:
        return con.execute(query.sql, dict(query.params))
    except duckdb.Error as error:
        raise WarehouseError(f"query {query.name} failed: {error}") from error


@contextmanager
def _said(what: str) -> Iterator[None]:
    """The engine's own errors (a full disk, no memory left) as one sentence; everything else as it is."""
    try:
        yield
    except duckdb.Error as error:
        raise WarehouseError(f"{what} failed: {error}") from error


@contextmanager
def _transaction(con: duckdb.DuckDBPyConnection) -> Iterator[None]:
    con.execute("BEGIN")
    try:
        yield
    except BaseException:
        con.execute("ROLLBACK")
        raise
    con.execute("COMMIT")


def _is_lock_conflict(error: BaseException) -> bool:
    # Another process holds the file (IOException), or another connection of this one does (ResourceInUse).
    text = str(error)
    return isinstance(error, duckdb.Error) and ("Could not set lock" in text or "Unique file handle conflict" in text)


def _quoted(path: Path) -> str:
    # ATTACH takes no bound parameter.
    return "'" + str(path).replace("'", "''") + "'"
