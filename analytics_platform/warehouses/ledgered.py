"""What every warehouse answers from its ledger of computed days, in the same statements.

Belongs here: asking. Does not: keeping the ledger, which is each engine's own.
"""

from collections.abc import Collection, Mapping
from datetime import date, datetime
from typing import Protocol

from analytics_platform.metrics import lineage
from analytics_platform.metrics.tables import ResultTable
from analytics_platform.queries import Query, compose
from analytics_platform.warehouses.base import Row


class Ledgered(Protocol):
    """The part of the port that is questions to the ledger. `basis`: the settings in force."""

    basis: str

    def rows(self, query: Query) -> list[Row]:
        """See the port."""
        ...

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
