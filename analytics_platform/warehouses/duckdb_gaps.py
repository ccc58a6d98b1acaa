"""What a file of the embedded warehouse lacks of our tables and columns, how it gets them, and what is left alone.

Belongs here: the comparison, the DDL, how both are said. Does not: the tables' shapes (`duckdb_schema.py`), opening
files (`duckdb.py`).
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from analytics_platform.metrics.events import EVENT_TABLES, EventTable
from analytics_platform.queries import Query
from analytics_platform.warehouses.base import Complaint
from analytics_platform.warehouses.duckdb_schema import COMPUTED, EVENT_TYPES, LOADED, Columns


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


@dataclass(frozen=True)
class Found:
    """What a file lacks, and its optional event tables that are another program's, with why they are not ours."""

    gaps: list[Gap]
    left: Mapping[str, str]


def look(con: Connection, database: str, wanted: Mapping[str, Columns]) -> Found:
    """Compare that attached database with the tables it is to have."""
    text = "SELECT table_name, column_name, data_type FROM duckdb_columns() WHERE database_name = $name"
    have: dict[str, dict[str, str]] = {}
    for table, column, kind in con.execute(text, {"name": database}).fetchall():
        have.setdefault(table, {})[column] = kind
    optional = [t for t in EVENT_TABLES if t.optional and t.name in wanted and t.name in have]
    left = {t.name: why for t in optional if (why := _strange(t, have[t.name]))}
    found: list[Gap] = []
    for table, columns in wanted.items():
        if table in left:
            continue
        if table in have:
            found += [Gap(table, name, kind) for name, kind in columns if name not in have[table]]
        else:
            key = ", PRIMARY KEY (table_name, event_date)" if table in (COMPUTED, LOADED) else ""
            found.append(Gap(table, None, ", ".join(f'"{name}" {kind}' for name, kind in columns) + key))
    return Found(found, left)


def _strange(table: EventTable, have: Mapping[str, str]) -> str:
    """Why a table of that name is not ours, of whatever edition; empty when it is."""
    for column in table.columns:
        kind = EVENT_TYPES[column.kind]
        if column.name not in have and column.required:
            return f"it has no column {column.name}"
        if have.get(column.name, kind) != kind:
            return f"{column.name} is {have[column.name]}, {kind} is needed"
    return ""


def fitted(query: Query, left: Collection[str]) -> Query:
    """The statement with the tables that are left alone read as empty."""
    text = query.sql
    for table in EVENT_TABLES:
        if table.name in left:
            nothing = ", ".join(f"CAST(NULL AS {EVENT_TYPES[c.kind]}) AS {c.name}" for c in table.columns)
            text = re.sub(rf"\bevents\.{table.name}\b", f"(SELECT {nothing} WHERE false)", text)
    return query if text == query.sql else replace(query, sql=text)


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


def left_alone(path: Path, left: Mapping[str, str]) -> list[Complaint]:
    """What is said of tables of another program's in that file."""
    remedy = "rename it there, or name another folder in WAREHOUSE_URL, to load such events"
    return [
        Complaint(f"{name}: the table of {path} is not as we make it ({why}): it reads as empty", remedy, fatal=False)
        for name, why in left.items()
    ]
