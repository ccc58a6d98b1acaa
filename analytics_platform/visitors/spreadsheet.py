"""Tables as CSV that spreadsheets of the reader's language open, and that no cell can run anything in.

Belongs here: delimiters, cells, what makes a text safe to open. Does not: which columns (`reporting.py`), naming files.
"""

import csv
import io
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from analytics_platform.language import Language

if TYPE_CHECKING:
    import pyarrow as pa

# What makes a spreadsheet take a text for a formula, and their full-width twins.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
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


def _cells(column: "pa.Array", zone: ZoneInfo) -> list[object]:
    # Each value is written once: window, moment of making, agents and paths are the same in most rows.
    encoded = column.dictionary_encode()
    written = [_cell(value, zone) for value in encoded.dictionary.to_pylist()]
    return [None if at is None else written[at] for at in encoded.indices.to_pylist()]


def _cell(value: object, zone: ZoneInfo) -> object:
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULA) else value
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC).astimezone(zone).isoformat(timespec="microseconds")
    if isinstance(value, bool):
        return "true" if value else "false"
    return value
