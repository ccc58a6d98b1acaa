"""Arrow tables as CSV.

Belongs here: how their cells are written. Does not: CSV itself (`analytics_platform/spreadsheet.py`), which columns
(`reporting.py`), naming files.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from analytics_platform.language import Language
from analytics_platform.spreadsheet import csv_of, harmless

if TYPE_CHECKING:
    import pyarrow as pa

_ROWS = 10_000  # held as Python values at a time


def written(table: "pa.Table", zone: ZoneInfo, language: Language, *, bom: bool) -> bytes:
    """All rows in their order as CSV under the names of the columns; NULL is an empty cell.

    Times (naive UTC in the table) are ISO with the offset of `zone`, flags `true` and `false`.
    """
    return csv_of(table.column_names, _rows(table, zone), language, bom=bom)


def _rows(table: "pa.Table", zone: ZoneInfo) -> Iterator[tuple[object, ...]]:
    for batch in table.to_batches(_ROWS):
        yield from zip(*(_cells(column, zone) for column in batch.columns), strict=True)


def _cells(column: "pa.Array", zone: ZoneInfo) -> list[object]:
    # Each value is written once: window, moment of making, agents and paths are the same in most rows.
    encoded = column.dictionary_encode()
    written = [_cell(value, zone) for value in encoded.dictionary.to_pylist()]
    return [None if at is None else written[at] for at in encoded.indices.to_pylist()]


def _cell(value: object, zone: ZoneInfo) -> object:
    if isinstance(value, str):
        return harmless(value)
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC).astimezone(zone).isoformat(timespec="microseconds")
    if isinstance(value, bool):
        return "true" if value else "false"
    return value
