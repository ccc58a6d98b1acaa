"""Tables as CSV that spreadsheets of the reader's language open, and that no cell can run anything in.

Belongs here: delimiters, cells, what makes a text safe to open. Does not: which columns (`reporting.py`), naming files.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from analytics_platform.language import Language

if TYPE_CHECKING:
    import pyarrow as pa

# What makes a spreadsheet take a text for a formula, and their full-width twins.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_FLAGS = {True: "true", False: "false", None: None}
_ROWS = 10_000  # held as Python values at a time


def csv_of(table: "pa.Table", zone: ZoneInfo, language: Language, *, bom: bool) -> bytes:
    """All rows in their order as CSV (RFC 4180, UTF-8) under the names of the columns; NULL is an empty cell.

    Times (naive UTC in the table) are ISO with the offset of `zone`, flags `true` and `false`. The delimiter is that of
    the language's spreadsheets: `,`, or `;` where the comma is the decimal mark. A text that a spreadsheet would run as
    a formula begins with an apostrophe.
    """
    content = io.BytesIO()
    # Encoded as it is written: as text the table would be held at up to four bytes a letter.
    stream = io.TextIOWrapper(content, encoding="utf-8-sig" if bom else "utf-8", newline="")
    comma = "," in language.compact(0.5)
    writer = csv.writer(stream, delimiter=";" if comma else ",", lineterminator="\r\n")
    writer.writerow(table.column_names)
    writer.writerows(_rows(table, zone))
    stream.flush()
    return content.getvalue()


def _rows(table: "pa.Table", zone: ZoneInfo) -> Iterator[tuple[object, ...]]:
    for batch in table.to_batches(_ROWS):
        yield from zip(*(_cells(column, zone) for column in batch.columns), strict=True)


def _cells(column: "pa.Array", zone: ZoneInfo) -> Sequence[object]:
    import pyarrow as pa

    values: list[Any] = column.to_pylist()
    if pa.types.is_timestamp(column.type):
        # Most columns of times have one value in all rows.
        known = {value: _time(value, zone) for value in set(values)}
        return [known[value] for value in values]
    if pa.types.is_boolean(column.type):
        return [_FLAGS[value] for value in values]
    if pa.types.is_string(column.type):
        return [f"'{value}" if value and value.startswith(_FORMULA) else value for value in values]
    return values


def _time(value: datetime | None, zone: ZoneInfo) -> str | None:
    return value.replace(tzinfo=UTC).astimezone(zone).isoformat(timespec="microseconds") if value else None
