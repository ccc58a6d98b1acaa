"""A home with a spike and an outage, as one process looks at it, and warehouses that break.

Belongs here: what tests of looks and of telling share. Does not: fixtures (`conftest.py`).
"""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from analytics_platform.alerts.incident import Incident
from analytics_platform.channels.base import Recipient
from analytics_platform.defs.office import Office
from analytics_platform.defs.resources import ledgers_of
from analytics_platform.defs.telling import Teller, Told
from analytics_platform.defs.watching import Looked, Tower, look
from analytics_platform.queries import Query
from analytics_platform.reports import all_reports
from analytics_platform.settings import Home, Settings
from analytics_platform.state.owners import Owner
from analytics_platform.warehouses.base import Row, WarehouseError
from analytics_platform.warehouses.duckdb import DuckDBWarehouse

if TYPE_CHECKING:
    import pyarrow as pa

FIRST, DAYS = date(2026, 3, 2), 16
SPIKE = datetime(2026, 3, 15, 15, 0, tzinfo=UTC)
OUTAGE = datetime(2026, 3, 16, 12, 0, tzinfo=UTC)
QUARTER = timedelta(minutes=15)
# Shortly after a quarter of an hour has closed.
SOON = timedelta(minutes=3)


class Watched:
    """A copy of that home, and one process that looks."""

    def __init__(self, home: Home, settings: Settings) -> None:
        self.home = home
        self.settings = settings
        self.warehouse = DuckDBWarehouse(home.events, home.results, home.scratch)
        self.ledgers = ledgers_of(home, settings)
        self.moment = datetime(2026, 1, 1, tzinfo=UTC)
        folder = Recipient("folder", str(home.outbox))
        self.office = Office(home, settings, self.ledgers, all_reports(), [folder], clock=lambda: self.moment)
        self.tower = Tower.of(self.warehouse, settings, self.ledgers)

    def look(self, moment: datetime) -> Looked:
        self.moment = moment
        return look(self.tower, moment)

    def tell(self) -> Told:
        return Teller(self.office, self.warehouse, Owner("test", "here", 1)).tell(self.moment)

    def through(self, start: datetime, end: datetime, *, tell: bool = False, anew: bool = False) -> list[Told]:
        """A look after each quarter of an hour. `anew`: each by a process of its own."""
        told = []
        moment = start
        while moment <= end:
            if anew:
                self.tower = Tower.of(self.warehouse, self.settings, self.ledgers)
            self.look(moment + SOON)
            told += [self.tell()] if tell else []
            moment += QUARTER
        return told

    @property
    def incidents(self) -> list[Incident]:
        return self.ledgers.incidents.listing()


Make = Callable[..., Watched]


def plain(incidents: list[Incident]) -> list[tuple[object, ...]]:
    """What must not depend on how often or by whom it was looked."""
    return [
        (one.key, one.status, one.started, one.recovered_at, one.revision, one.loud_revision, len(one.members))
        for one in incidents
    ]


class Breaking(DuckDBWarehouse):
    """Cannot answer one query, as when a statement runs out of memory."""

    def __init__(self, name: str, home: Home) -> None:
        super().__init__(home.events, home.results, home.scratch)
        self._name = name

    def rows(self, query: Query) -> list[Row]:
        if query.name == self._name:
            raise WarehouseError("out of memory")
        return super().rows(query)


class Deaf(DuckDBWarehouse):
    """Cannot be read at all any more."""

    def rows(self, query: Query) -> list[Row]:
        raise WarehouseError(f"{query.name}: the disk is gone")

    def table(self, query: Query) -> "pa.Table":
        raise WarehouseError(f"{query.name}: the disk is gone")
