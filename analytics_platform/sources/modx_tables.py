"""The site's tables as they are: columns, types, charsets, engines, and what of it cannot be worked with.

Belongs here: reading `information_schema`. Does not: rows (`modx.py`), rights, clock, counts (`modx_check.py`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from analytics_platform.sources.modx_client import Session, SiteError
from analytics_platform.sources.modx_names import STATUS, TABLES, Names
from analytics_platform.sources.modx_times import INTEGERS, Kind, kind_of

TIMES: Final = ("simpletest_users.Datep", "cert_payment.datetime_payment")
TEXTS: Final = ("simpletest_users.Email", "cert_users.email")
_TEXT_TYPES: Final = frozenset({"char", "varchar", "tinytext", "text", "mediumtext", "longtext"})
_COLUMNS: Final = (
    "SELECT table_name, column_name, data_type, COALESCE(collation_name, '') FROM information_schema.columns "
    "WHERE table_schema = :database AND table_name IN :names"
)
_ENGINES: Final = (
    "SELECT table_name, COALESCE(engine, '') FROM information_schema.tables WHERE table_schema = :database"
)
_INDEXES: Final = (
    "SELECT table_name, column_name FROM information_schema.statistics "
    "WHERE table_schema = :database AND table_name IN :names AND seq_in_index = 1"
)


@dataclass(frozen=True)
class SiteFinding:
    """What was found of one thing, and what to do. `ok`; `note`: works, but know it; `problem`: nothing can be read."""

    state: Literal["ok", "note", "problem"]
    what: str
    remedy: str = ""


@dataclass(frozen=True)
class Column:
    """`data_type` in small letters, such as `varchar`; `collation` is empty where there is none."""

    data_type: str
    collation: str


@dataclass(frozen=True)
class Tables:
    """What there is of the tables that are read, by our names. `engines`: by table, those that exist (a view has an
    empty one); `columns` and `indexed` (columns that an index begins with): by `table.column`; `others`: the names of
    all tables of the database.
    """

    names: Names
    database: str
    engines: Mapping[str, str]
    columns: Mapping[str, Column]
    indexed: frozenset[str]
    others: tuple[str, ...]

    def time(self, ours: str) -> Kind:
        """How a column holds a time. Raises SiteError where it holds none."""
        kind = kind_of(self.columns[ours].data_type)
        if kind is None:
            raise SiteError(f"{self._said(ours)} holds no time; name another column in MODX_MAPPING")
        return kind

    def problems(self, *, with_status: bool) -> list[SiteFinding]:
        """What is missing or of a type that cannot be worked with."""
        return [
            finding
            for table, columns in TABLES.items()
            for finding in self._of_table(table, [c for c in columns if with_status or f"{table}.{c}" != STATUS])
            if finding.state == "problem"
        ]

    def of_table(self, table: str, *, with_status: bool) -> list[SiteFinding]:
        """A finding for the table as a whole, or one for each thing that is wrong with it."""
        return self._of_table(table, [c for c in TABLES[table] if with_status or f"{table}.{c}" != STATUS])

    def _of_table(self, table: str, columns: list[str]) -> list[SiteFinding]:
        theirs = self.names.table(table)
        if table not in self.engines:
            ends = table.partition("_")[2]
            similar = sorted(other for other in self.others if other.lower().endswith(ends.lower()))[:5]
            there = f" (there is {', '.join(similar)})" if similar else ""
            prefixed = "MODX_PREFIX or " if table.startswith("cert_") else ""
            return [
                SiteFinding(
                    "problem",
                    f"table {theirs} is not in database {self.database}, or the account may not read it{there}",
                    f"name it in {prefixed}MODX_MAPPING ({table}=its name), or grant SELECT on it",
                )
            ]
        wrong = [finding for name in columns if (finding := self._of_column(f"{table}.{name}")) is not None]
        named = ", ".join(f"{self.names.column(f'{table}.{name}')}" for name in columns)
        return wrong or [SiteFinding("ok", f"table {theirs} has {named}")]

    def _of_column(self, ours: str) -> SiteFinding | None:
        column = self.columns.get(ours)
        if column is None:
            remedy = f"name it in MODX_MAPPING ({ours}=its name)"
            if ours == STATUS:
                remedy += ", or empty MODX_TEST_STATUSES"
            table = self.names.table(ours.partition(".")[0])
            what = f"column {self.names.column(ours)} is not in table {table}, or the account may not read it"
            return SiteFinding("problem", what, remedy)
        if ours in TIMES:
            wanted = "" if kind_of(column.data_type) else "DATETIME, TIMESTAMP, DATE or an integer"
        elif ours in TEXTS:
            wanted = "" if column.data_type in _TEXT_TYPES else "text"
        elif ours in (STATUS, "cert_test.type", "cert_payment.id_status"):
            wanted = ""
        else:
            # Ids of text would be compared as texts, whose collations may not go together.
            wanted = "" if column.data_type in INTEGERS else "an integer"
        if not wanted:
            return None
        return SiteFinding("problem", f"{self._said(ours)} is not {wanted}", f"name another in MODX_MAPPING ({ours}=)")

    def _said(self, ours: str) -> str:
        table = self.names.table(ours.partition(".")[0])
        return f"column {table}.{self.names.column(ours)} ({self.columns[ours].data_type})"


def read_tables(session: Session, names: Names) -> Tables:
    """What the database says of the tables. Raises SiteError."""
    # A server that keeps names in small letters shows them so.
    ours = {names.table(table).lower(): table for table in TABLES}
    both = sorted({form for table in TABLES for form in (names.table(table), names.table(table).lower())})
    database = session.client.database
    engines = [(str(table), str(engine)) for table, engine in session.ask(_ENGINES, database=database)]
    there: dict[tuple[str, str], Column] = {
        (str(table).lower(), str(column).lower()): Column(str(kind).lower(), str(collation))
        for table, column, kind, collation in session.ask(_COLUMNS, database=database, names=both)
    }
    begun = {
        (str(table).lower(), str(column).lower())
        for table, column in session.ask(_INDEXES, database=database, names=both)
    }
    keys = {
        f"{table}.{column}": (names.table(table).lower(), names.column(f"{table}.{column}").lower())
        for table, columns in TABLES.items()
        for column in columns
    }
    return Tables(
        names,
        database,
        {ours[table.lower()]: engine for table, engine in engines if table.lower() in ours},
        {key: there[place] for key, place in keys.items() if place in there},
        frozenset(key for key, place in keys.items() if place in begun),
        tuple(table for table, _ in engines),
    )
