"""What the tables of the embedded warehouse look like in DuckDB's types.

Belongs here: columns and types by table. Does not: creating anything, the engine's client (`duckdb.py`).
"""

from collections.abc import Iterable

from analytics_platform.metrics.events import EVENT_TABLES, Kind
from analytics_platform.metrics.tables import ResultTable, Type

Columns = list[tuple[str, str]]

EVENT_TYPES = {
    Kind.UINT64: "UBIGINT",
    Kind.UINT32: "UINTEGER",
    Kind.INT64: "BIGINT",
    Kind.INT16: "SMALLINT",
    Kind.INT8: "TINYINT",
    Kind.FLOAT: "DOUBLE",
    Kind.BOOL: "BOOLEAN",
    Kind.TEXT: "VARCHAR",
    Kind.LONG_TEXT: "VARCHAR",
    Kind.TIME: "TIMESTAMP",
}
_NAMED_OTHERWISE = {Type.USER: "UINTEGER", Type.BASE: "BIGINT", Type.LONG_TEXT: "VARCHAR"}
_RESULT_TYPES = {t: _NAMED_OTHERWISE.get(t, t.value) for t in Type}

# One row per table and day written: tells an empty day from a missing one, and a day whose events changed since.
COMPUTED, LOADED = "computed_days", "loaded_days"
UTC_NOW = "make_timestamp(epoch_us(now()))"  # naive, as ledgers store moments


def event_tables() -> dict[str, Columns]:
    """Event tables and the ledger of loaded days."""
    tables = {t.name: [(c.name, EVENT_TYPES[c.kind]) for c in t.columns] for t in EVENT_TABLES}
    return {**tables, LOADED: _ledger("loaded_at")}


def result_tables(tables: Iterable[ResultTable]) -> dict[str, Columns]:
    """Result tables and the ledger of computed days; `basis` are the settings that a day was computed under."""
    described = {t.name: [(c, _RESULT_TYPES[k]) for c, k in t.columns] for t in tables}
    return {**described, COMPUTED: [*_ledger("computed_at"), ("basis", "VARCHAR")]}


def _ledger(moment: str) -> Columns:
    return [("table_name", "VARCHAR"), ("event_date", "DATE"), ("rows", "BIGINT"), (moment, "TIMESTAMP")]
