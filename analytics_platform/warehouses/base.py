"""The warehouse port: run a query, replace a day of results, load events, hand them on to another warehouse.

Belongs here: the port and its errors. Does not: any engine's client or SQL.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Protocol
from zoneinfo import ZoneInfo

from analytics_platform.metrics.events import EventTable
from analytics_platform.metrics.tables import ResultTable
from analytics_platform.metrics.windows import Window
from analytics_platform.queries import Query

if TYPE_CHECKING:
    import pyarrow as pa

Row = dict[str, object]

# On whose behalf statements run, as a server's log of queries shows it: `<run>/<asset>`, or the verb.
origin: ContextVar[str] = ContextVar("origin", default="analytics-platform")


class WarehouseError(Exception):
    """The warehouse cannot do it. The message says in one sentence what and what to do; it holds no secret."""


class WarehouseBusyError(WarehouseError):
    """Only waiting helps: another process keeps the file open, or the server does not answer."""


@dataclass(frozen=True)
class Complaint:
    """What is not as the platform needs it, and the remedy; not `fatal`: it works, and something reads `unknown`."""

    what: str
    remedy: str
    fatal: bool = True


@dataclass(frozen=True)
class EventLoad:
    """Validated events of one table, in batches with the schema of `events.arrow_schema`."""

    table: EventTable
    batches: "Iterable[pa.RecordBatch]"


@dataclass(frozen=True)
class Loaded:
    """What a load wrote into one table."""

    table: EventTable
    rows: int
    days: tuple[date, ...]


class Warehouse(Protocol):
    """Where events and results live. Safe to use from several processes and threads at once."""

    @property
    def engine(self) -> str:
        """`duckdb` or `clickhouse`."""
        ...

    @property
    def place(self) -> str:
        """Where it is, in words that hold no secret: files, or a server and its databases."""
        ...

    def prepare(self) -> Sequence[str]:
        """Create what is missing: files, tables, columns of metrics new in the catalogue. Idempotent.

        Returns what was done, a few words each; nothing the second time.
        """
        ...

    def check(self) -> Sequence[Complaint]:
        """What is wrong with the events or the rights to them; empty when nothing is. Changes nothing."""
        ...

    def rows(self, query: Query) -> list[Row]:
        """The rows of a query whose answer is small."""
        ...

    def table(self, query: Query) -> "pa.Table":
        """The answer of a query that gives many rows of plain columns; moments as naive microseconds, UTC."""
        ...

    def computed_days(self, table: ResultTable, first: date, last: date) -> Collection[date]:
        """The days of first..last (both included) that were written to that table, empty days included."""
        ...

    def current_days(self, table: ResultTable, first: date, last: date) -> Collection[date]:
        """The computed days of first..last whose events have not been loaded again since, nor what they come from
        computed again (`metrics.tables.lineage`).
        """
        ...

    def computed_at(self, table: ResultTable, first: date, last: date) -> Mapping[date, datetime]:
        """The computed days of first..last (both included) and the moment (naive UTC) as of which each was computed."""
        ...

    def replace_day(self, table: ResultTable, day: date, query: Query, *, also: Query | None = None) -> int:
        """Replace that day's rows by the query's in one transaction; readers see the old rows or the new.

        `also` gives rows of other days to add to the table; it reads what is stored before the day is replaced. A
        warehouse without transactions adds them first: by their nature they do no harm alone. Returns the number of
        rows written for the day.
        """
        ...

    def load(
        self,
        loads: Sequence[EventLoad],
        zone: ZoneInfo,
        *,
        append: bool = False,
        progress: Callable[[str, int, int], None] | None = None,
    ) -> list[Loaded]:
        """Write events, all tables in one transaction, each local day sorted by time.

        A day that occurs in the batches replaces the stored day of that table, or is added to it (`append`).
        An error in the batches propagates and nothing is written. `progress` gets (table, days done, days).
        """
        ...

    def note_changes(self, first: date, last: date, zone: ZoneInfo) -> Collection[date]:
        """Look at the events of the local days first..last (both included) and enter in the ledger of loaded days those
        that are not as they were when last looked at. Returns them.

        Events that come through `load` are entered by it; this finds those that other programs write.
        """
        ...

    def event_batches(self, table: EventTable, window: Window) -> "Iterator[pa.RecordBatch]":
        """The events of a half-open UTC window, with the schema of `events.arrow_schema`, in bounded memory."""
        ...

    def stored_rows(self, table: ResultTable, day: date) -> "pa.Table":
        """The rows of that day, with the columns of the table in order; DATE as date32, TIME as naive microseconds."""
        ...

    def store_day(self, table: ResultTable, day: date, rows: "pa.Table") -> int:
        """Replace that day by rows that another warehouse computed, as `replace_day` does. Returns their number."""
        ...

    def store_part(self, table: ResultTable, day: date, part: Mapping[str, datetime], rows: "pa.Table") -> int:
        """Replace, of that day, the rows whose columns are as `part` says; the day's other rows stay.

        All of `rows` are of that day and part. Readers see the part as it was or as it is; two that store parts of one
        day at once lose nothing of each other's. Returns the number of rows written.
        """
        ...
