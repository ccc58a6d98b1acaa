"""Tables that belong together, and the steps that lead to them.

Belongs here: which schemas there are, how far a database has come, going on from there. Does not: the tables themselves
(`models.py`, `funnel_models.py`), the steps (`migrations/`, `funnel_migrations/`), seeing to it that one process at a
time takes them (`database.py`).
"""

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import Connection

# Alembic keeps the migration in progress in a global of its own.
_ONE_MIGRATION = threading.Lock()


@dataclass(frozen=True)
class Schema:
    """One set of tables. `what`: as messages call it. `migrations`: the folder of its steps. `kinds`: where it may be.

    `revision_table`: Alembic's own, which says how far a database has come; not by its usual name, because Dagster
    keeps one of that name in its database, which may be the same. `tables`: refused where they are there and that one
    is not: they are another program's. `personal`: rows are people's, whose addresses are masked in a database's words.
    """

    what: str
    migrations: Path
    revision_table: str
    kinds: tuple[str, ...] = ("sqlite", "postgresql")
    tables: tuple[str, ...] = ()
    personal: bool = False

    def revisions(self) -> list[str]:
        """Every schema this version knows, oldest first: the numbers that the migrations' files begin with."""
        return sorted(path.name[:4] for path in (self.migrations / "versions").glob("[0-9]*.py"))

    @property
    def newest(self) -> str:
        """The one that this version of the platform works with."""
        return self.revisions()[-1]

    def revision(self, con: "Connection") -> str | None:
        """The schema that the database has; None for an empty one, and for one whose first step was interrupted."""
        from sqlalchemy import column, inspect, select, table

        if not inspect(con).has_table(self.revision_table):
            return None
        return con.execute(select(column("version_num")).select_from(table(self.revision_table))).scalar()

    def foreign(self, con: "Connection") -> list[str]:
        """Tables in the way: of the names that are to be made, and not made by this package."""
        from sqlalchemy import inspect

        there = inspect(con)
        if not self.tables or there.has_table(self.revision_table):
            return []
        return [name for name in self.tables if there.has_table(name)]

    def migrate(self, con: "Connection") -> None:
        """Take the steps that are left, within the transaction of `con`."""
        from alembic import command
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(self.migrations).replace("%", "%%"))
        config.attributes["connection"] = con
        with _ONE_MIGRATION:
            command.upgrade(config, "head")


STATE = Schema("the state", Path(__file__).parent / "migrations", "state_revision")
FUNNELS = Schema(
    "the funnel ledger",
    Path(__file__).parent / "funnel_migrations",
    "funnel_revision",
    kinds=("sqlite", "postgresql", "mysql"),
    tables=("funnel_entries", "brevo_sync_outbox", "funnel_leases", "funnel_syncs"),
    personal=True,
)
