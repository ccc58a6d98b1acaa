"""The embedded warehouse: events and results in two DuckDB files.

Belongs here: everything that is DuckDB's: files, locks, DDL, types. Does not: metrics, parsing of event files.

DuckDB lets one process write a file or many read it, never both. So a file is open only while a statement needs it:
results are computed in memory first and then written in a transaction of milliseconds. Whoever meets a lock waits with
growing, jittered pauses; a gate (a lock file beside the database) keeps a stream of readers from starving a writer.
Threads of one process take turns.
"""

import re
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4
from zoneinfo import ZoneInfo

import duckdb
from filelock import FileLock
from filelock import Timeout as GateTimeout
from tenacity import RetryError, Retrying, retry_if_exception, stop_after_delay, wait_random_exponential

from analytics_platform.metrics.events import EventTable
from analytics_platform.metrics.tables import STANDARD_TABLES, ResultTable
from analytics_platform.metrics.windows import Window
from analytics_platform.queries import Query
from analytics_platform.warehouses import duckdb_gaps, duckdb_load, duckdb_read, parts
from analytics_platform.warehouses.base import Complaint, EventLoad, Loaded, Row, WarehouseBusyError, WarehouseError
from analytics_platform.warehouses.duckdb_schema import COMPUTED, LOADED, UTC_NOW, Columns, event_tables, result_tables
from analytics_platform.warehouses.ledgered import Ledgered

if TYPE_CHECKING:
    import pyarrow as pa

# One for the process, not one a warehouse: POSIX drops all locks of a process on a file when it closes any descriptor
# of it, so with two warehouses reading the same file, the first to finish would expose the other to writers.
_TURN = threading.RLock()

# Events of a table and day. Two threads cost up to a third more CPU than one; on a day of a million events, which takes
# one thread 0.1 to 0.25 s, they save at most a quarter of the time.
_EVENTS_FOR_ONE_THREAD = 5_000_000

_OWN_SETTINGS = {
    # A day is written to its place at once. Left to the closing of the file, it is written to the log before.
    "wal_autocheckpoint": "1KB",
    # Met with a file of another program's, the engine would fetch an extension for it from the network.
    "autoinstall_known_extensions": "false",
    "threads": "1",  # see _EVENTS_FOR_ONE_THREAD
}

# Trying these on each column of each day finds nothing to win: the file of results is as small without them. (Bit
# packing would be a third of the CPU of writing a day, but a file without it is three times as large.)
_FOR_RESULTS = "SET disabled_compression_methods = 'rle,roaring'"
_FOR_EVENTS = "SET disabled_compression_methods = ''"


@dataclass
class DuckDBWarehouse(Ledgered):
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
        self._left: dict[str, str] = {}  # see duckdb_gaps.Found
        self._sized = "threads" in self.config

    # ---------------------------------------------------------------- port

    @property
    def engine(self) -> str:
        """See the port."""
        return "duckdb"

    @property
    def place(self) -> str:
        """See the port."""
        # As files: the same one under two names is one place.
        return f"{self.events.resolve()} and {self.results.resolve()}"

    def prepare(self) -> Sequence[str]:
        """See the port. Reads first, so that a prepared warehouse is never opened for writing."""
        done: list[str] = []
        with self._turn():
            if self._prepared:
                return ()
            for folder in (self.events.parent, self.results.parent, self.scratch):
                try:
                    folder.mkdir(parents=True, exist_ok=True)
                except OSError as error:
                    raise WarehouseError(f"the folder {folder} cannot be created: {error.strerror}") from error
            for name, columns in self._wanted().items():
                found = self._look(name, columns)
                if found is None or found.gaps:
                    with self._open(write=name) as con:
                        found = duckdb_gaps.look(con, name, columns)
                        done += [duckdb_gaps.close(con, name, gap) for gap in found.gaps]
                self._left.update(found.left)
            self._prepared = True
        return done

    def check(self) -> Sequence[Complaint]:
        """See the port: whether the files are there, with every table and column."""
        complaints: list[Complaint] = []
        for name, columns in self._wanted().items():
            with self._turn():
                found = self._look(name, columns)
            if found is None or found.gaps:
                complaints.append(duckdb_gaps.complaint(self._paths[name], found.gaps if found else None))
            complaints += duckdb_gaps.left_alone(self._paths[name], found.left) if found else ()
        return complaints

    def rows(self, query: Query) -> list[Row]:
        """See the port."""
        self.prepare()
        query = duckdb_gaps.fitted(query, self._left)
        with self._reading(query.sql) as con:
            cursor = _run(con, query)
            names = [c[0] for c in cursor.description or ()]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def table(self, query: Query) -> "pa.Table":
        """See the port."""
        self.prepare()
        query = duckdb_gaps.fitted(query, self._left)
        with self._reading(query.sql) as con:
            try:
                # Not `execute`, which keeps a copy of all rows.
                return con.sql(query.sql, params=dict(query.params)).to_arrow_table()
            except duckdb.Error as error:
                raise WarehouseError(f"query {query.name} failed: {error}") from error

    def replace_day(self, table: ResultTable, day: date, query: Query, *, also: Query | None = None) -> int:
        """See the port. The heavy part runs on read-only files; the write lock lasts for DELETE and INSERT only."""
        self.prepare()
        query = duckdb_gaps.fitted(query, self._left)
        columns = ", ".join(f'"{name}"' for name, _ in table.columns)
        staged = f"staged_{uuid4().hex}"
        with self._turn():
            try:
                with self._open() as con:
                    # The moment of reading, not of writing: events loaded in between make the day outdated.
                    [(moment,)] = con.execute(f"SELECT {UTC_NOW}").fetchall()
                    made = _run(con, Query(query.name, f"CREATE TEMP TABLE {staged} AS {query.sql}", query.params))
                    [(written,)] = made.fetchall()
                    if also:
                        _run(con, Query(also.name, f"CREATE TEMP TABLE {staged}_also AS {also.sql}", also.params))
                with self._open(write="results") as con, _transaction(con):
                    con.execute(f'DELETE FROM results."{table.name}" WHERE event_date = $day', {"day": day})
                    for rows in (staged, f"{staged}_also") if also else (staged,):
                        # Explicit columns on both sides: a table that grew a column keeps its old order.
                        con.execute(f'INSERT INTO results."{table.name}" ({columns}) SELECT {columns} FROM {rows}')
                    # OR REPLACE would do both in twice the time.
                    entry = {"table": table.name, "day": day}
                    con.execute(
                        f"DELETE FROM results.{COMPUTED} WHERE table_name = $table AND event_date = $day", entry
                    )
                    con.execute(
                        f"INSERT INTO results.{COMPUTED} VALUES ($table, $day, $rows, $moment, $basis)",
                        {**entry, "rows": written, "moment": moment, "basis": self.basis},
                    )
            finally:
                if self._engine is not None:
                    for rows in (staged, f"{staged}_also"):
                        self._engine.execute(f"DROP TABLE IF EXISTS {rows}")
        return int(written)

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
        for load in loads:
            if why := self._left.get(load.table.name):
                [said] = duckdb_gaps.left_alone(self.events, {load.table.name: why})
                raise WarehouseError(f"{said.what} -> {said.remedy}")
        with self._turn(), _said("loading events"):
            con = self._connection()
            if "threads" not in self.config:
                con.execute("RESET threads")
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
                if "threads" not in self.config:
                    con.execute("SET threads = 1")
                    self._sized = False

    def note_changes(self, first: date, last: date, zone: ZoneInfo) -> Collection[date]:  # noqa: ARG002
        """See the port: nothing, always."""
        # `load` keeps the ledger in the transaction that writes the events, and no other program writes this file.
        return ()

    def event_batches(self, table: EventTable, window: Window) -> "Iterator[pa.RecordBatch]":
        """See the port. The events as of one moment, the first batch's; no file stays open between batches."""
        self.prepare()
        if table.name in self._left:
            return
        held = f"held_{uuid4().hex}"
        with _said(f"reading {self.events}"):
            with self._reading("events") as con:
                # A cursor is a connection of its own to the same engine: other threads go on using the first.
                own = con.cursor()
                try:
                    duckdb_read.hold(own, held, table, window)
                except BaseException:
                    own.execute(f"DETACH DATABASE IF EXISTS {held}")
                    raise
            try:
                yield from duckdb_read.held_batches(own, held, table)
            finally:
                own.execute(f"DETACH {held}")
                own.close()

    def stored_rows(self, table: ResultTable, day: date) -> "pa.Table":
        """See the port."""
        self.prepare()
        with self._reading("results") as con:
            return duckdb_read.stored_rows(con, table, day)

    def store_day(self, table: ResultTable, day: date, rows: "pa.Table") -> int:
        """See the port."""
        return self.store_part(table, day, {}, rows)

    def store_part(self, table: ResultTable, day: date, part: parts.Part, rows: "pa.Table") -> int:
        """See the port. A part of no columns is the day."""
        of = parts.naive(table, part)
        parts.refuse_others(table, day, of, rows)
        self.prepare()
        with self._open(write="results") as con, duckdb_read.incoming(con, rows), _transaction(con):
            duckdb_read.store(con, table, day, of, self.basis)
        return int(rows.num_rows)

    # ------------------------------------------------------- files and locks

    def _connection(self) -> duckdb.DuckDBPyConnection:
        if self._engine is None:
            self.scratch.mkdir(parents=True, exist_ok=True)
            own = {**_OWN_SETTINGS, "temp_directory": str(self.scratch / "spill")}
            self._engine = duckdb.connect(":memory:", config={**own, **self.config})
        return self._engine

    def _reading(self, text: str) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """The file that the text names, read-only; both, if it names both or neither."""
        # Opening a file costs as much as a small question to it. A first question looks how large the events are.
        named = [name for name in self._paths if re.search(rf"\b{name}\b", text, re.IGNORECASE)]
        alone = len(named) == 1 and (self._sized or named == ["events"])
        return self._opened(named, write=False) if alone else self._open()

    @contextmanager
    def _open(self, write: str | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
        """Both files read-only, or the one named by `write` for writing; closed again whatever happens."""
        with self._opened([write] if write else list(self._paths), write=write is not None) as con:
            yield con

    @contextmanager
    def _opened(self, names: Sequence[str], *, write: bool) -> Iterator[duckdb.DuckDBPyConnection]:
        verb = "writing" if write else "reading"
        with self._turn(), _said(f"{verb} {self._paths[names[-1]].parent}"):
            con = self._connection()
            attached: list[str] = []
            try:
                for name in names:
                    self._attach(con, name, self._paths[name], read_only=not write)
                    attached.append(name)
                if not (write or self._sized) and "events" in names:
                    # All of the answer: what is not fetched to its end keeps the connection from streaming.
                    [(largest,)] = con.execute(f"SELECT max(rows) FROM events.{LOADED}").fetchall()
                    if (largest or 0) > _EVENTS_FOR_ONE_THREAD:
                        con.execute("RESET threads")
                    self._sized = True
                elif write:
                    con.execute(_FOR_RESULTS if "results" in names else _FOR_EVENTS)
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

    @property
    def _paths(self) -> dict[str, Path]:
        return {"events": self.events, "results": self.results}

    def _wanted(self) -> dict[str, dict[str, Columns]]:
        return {"events": event_tables(), "results": result_tables(self.result_tables)}

    def _look(self, name: str, columns: dict[str, Columns]) -> duckdb_gaps.Found | None:
        """What the file lacks and has; None when there is no file."""
        if not self._paths[name].exists():
            return None
        con = self._connection()
        self._attach(con, name, self._paths[name], read_only=True)
        try:
            return duckdb_gaps.look(con, name, columns)
        finally:
            con.execute(f"DETACH {name}")


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
