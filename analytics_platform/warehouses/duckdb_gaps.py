"""What a file of the embedded warehouse lacks of our tables and columns, and how it gets them.

Belongs here: the comparison, the DDL, how both are said. Does not: the tables' shapes (`duckdb_schema.py`), opening
files (`duckdb.py`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from analytics_platform.warehouses.base import Complaint
from analytics_platform.warehouses.duckdb_schema import COMPUTED, LOADED, Columns


class Connection(Protocol):
    """An open engine with the database in question."""

    def execute(self, query: str, parameters: object = ..., /) -> Any: ...


@dataclass(frozen=True)
class Gap:
    """A table that is not there, or (`column`) a column of one that is. `body`: its columns, or its type, as DDL."""

    table: str
    column: str | None
    body: str

    def __str__(self) -> str:
        return f"table {self.table}" if self.column is None else f"column {self.table}.{self.column}"


def gaps(con: Connection, database: str, wanted: Mapping[str, Columns]) -> list[Gap]:
    """What that attached database lacks."""
    text = "SELECT table_name, column_name FROM duckdb_columns() WHERE database_name = $name"
    have: dict[str, set[str]] = {}
    for table, column in con.execute(text, {"name": database}).fetchall():
        have.setdefault(table, set()).add(column)
    found: list[Gap] = []
    for table, columns in wanted.items():
        if table in have:
            found += [Gap(table, name, kind) for name, kind in columns if name not in have[table]]
        else:
            key = ", PRIMARY KEY (table_name, event_date)" if table in (COMPUTED, LOADED) else ""
            found.append(Gap(table, None, ", ".join(f'"{name}" {kind}' for name, kind in columns) + key))
    return found


def close(con: Connection, database: str, gap: Gap) -> str:
    """Create or add it; a few words on what was done."""
    if gap.column is None:
        con.execute(f'CREATE TABLE IF NOT EXISTS {database}."{gap.table}" ({gap.body})')
        return f"{gap} created"
    con.execute(f'ALTER TABLE {database}."{gap.table}" ADD COLUMN "{gap.column}" {gap.body}')
    return f"{gap} added"


def complaint(path: Path, found: Iterable[Gap] | None) -> Complaint:
    """What is wrong with that file; None for one that does not exist."""
    if found is None:
        return Complaint(f"{path} does not exist", "correct the folder, or load events into it first")
    lacks = ", ".join(map(str, found))
    return Complaint(f"{path} has no {lacks}", "`analytics-platform init` in its home adds what is new")
