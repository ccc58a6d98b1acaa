"""The warehouse port: run a query, replace a day of results, load events.

Belongs here: the port and its errors. Does not: any engine's client or SQL.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Protocol
from zoneinfo import ZoneInfo

from analytics_platform.metrics.events import EventTable
from analytics_platform.metrics.tables import ResultTable
from analytics_platform.queries import Query

if TYPE_CHECKING:
    import pyarrow as pa

Row = dict[str, object]


class WarehouseError(Exception):
    """The warehouse cannot do it. The message says in one sentence what and what to do; it holds no secret."""


class WarehouseBusyError(WarehouseError):
    """Another process kept the warehouse open for longer than LOCK_TIMEOUT_SECONDS."""


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

    def prepare(self) -> None:
        """Create what is missing: files, tables, columns of metrics new in the catalogue. Idempotent."""
        ...

    def rows(self, query: Query) -> list[Row]:
        """The rows of a query whose answer is small."""
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
