"""Rows of any table, by the kinds of its columns: every kind with its limits, with NULL where it may be.

Belongs here: making rows. Does not: what they mean, assertions.
"""

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from typing import Any

import pyarrow as pa

from analytics_platform.metrics.events import EventTable, Kind, arrow_schema
from analytics_platform.metrics.tables import ResultTable, Type, result_schema

_TEXTS = ("é😀 |\t'`\\", "", "true", "x" * 300)
_EVENTS: dict[Kind, Sequence[Any]] = {
    Kind.UINT64: (2**64 - 1, 0, 2**63),
    Kind.UINT32: (2**32 - 1, 0, 7),
    Kind.INT64: (-(2**63), 2**63 - 1, None, 0),
    Kind.INT16: (-(2**15), 2**15 - 1, None),
    Kind.INT8: (-128, 127, None),
    Kind.FLOAT: (0.1 + 0.2, -1e300, None, 0.0, 2e-9, 1e12),
    Kind.BOOL: (True, None, False),
    Kind.TEXT: ("view", "like", "unknown"),
    Kind.LONG_TEXT: (*_TEXTS, None),
}
_RESULTS: dict[Type, Sequence[Any]] = {
    Type.USER: _EVENTS[Kind.UINT32],
    Type.SMALL: _EVENTS[Kind.INT16],
    Type.COUNT: (2**31 - 1, 0),
    Type.TOTAL: (10**12, 0, -5),
    Type.BASE: (10**12, None),
    Type.SHARE: (0.1 + 0.2, None, -1e12),
    Type.FLAG: _EVENTS[Kind.BOOL],
    Type.TEXT: _EVENTS[Kind.TEXT],
    Type.LONG_TEXT: _EVENTS[Kind.LONG_TEXT],
}


def events_of(table: EventTable, start: datetime, rows: int = 30) -> list[dict[str, Any]]:
    """Events a minute apart from `start` (naive UTC) on."""
    found = []
    for n in range(rows):
        moment = start + timedelta(minutes=n, microseconds=n)
        row: dict[str, Any] = {}
        for k, column in enumerate(table.columns):
            if column.kind is Kind.TIME:
                row[column.name] = moment if column.required or n % 3 else None
            else:
                known = [v for v in _EVENTS[column.kind] if v is not None] if column.required else _EVENTS[column.kind]
                row[column.name] = known[(n + k) % len(known)]
        found.append(row)
    return found


def batch_of(table: EventTable, start: datetime, rows: int = 30) -> pa.RecordBatch:
    """The same as the loader gives them."""
    return pa.RecordBatch.from_pylist(events_of(table, start, rows), schema=arrow_schema(table))


def results_of(table: ResultTable, day: date, rows: int = 30, **same: Any) -> pa.Table:
    """Rows of that day; columns named in `same` have that value in all of them."""
    start = datetime.combine(day, time())
    found = []
    for n in range(rows):
        row: dict[str, Any] = {}
        for k, (name, kind) in enumerate(table.columns):
            if kind is Type.DATE:
                row[name] = day
            elif kind is Type.TIME:
                row[name] = start + timedelta(minutes=n, microseconds=k)
            else:
                row[name] = _RESULTS[kind][(n + k) % len(_RESULTS[kind])]
        found.append({**row, **same})
    return pa.Table.from_pylist(found, schema=result_schema(table))
