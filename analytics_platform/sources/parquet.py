"""Parquet files: batches of columns as the texts that `values` reads, so that both kinds of file obey one definition.

Belongs here: which Parquet types can stand for which column, and how they read as text. Does not: what a text means.
"""

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Final

from analytics_platform.metrics.events import EventTable, Kind
from analytics_platform.sources.headers import Layout, Row, lay_out
from analytics_platform.sources.problems import EventFileError

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

BATCH_ROWS: Final = 131_072


def suits(kind: Kind, type_: "pa.DataType") -> bool:
    """Can a Parquet column of this type hold such values at all?"""
    from pyarrow import types

    if types.is_dictionary(type_):
        return suits(kind, type_.value_type)
    if types.is_null(type_) or _is_text(type_) or types.is_integer(type_):
        return True
    if types.is_boolean(type_):
        return kind is Kind.BOOL
    if kind in (Kind.TEXT, Kind.LONG_TEXT):
        return False
    if types.is_floating(type_) or types.is_decimal(type_):
        return True
    return bool(kind is Kind.TIME and types.is_timestamp(type_))


def _is_text(type_: "pa.DataType") -> bool:
    from pyarrow import types

    asked = (types.is_string, types.is_large_string, types.is_string_view, types.is_binary, types.is_large_binary)
    return any(is_kind(type_) for is_kind in asked)


def as_text(values: "pa.Array", kind: Kind) -> "pa.Array":
    """Any array that suits the kind as strings; NaN becomes NULL. Times keep their digits down to the microsecond."""
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import types

    if types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if types.is_floating(values.type):
        values = values.cast(pa.float64())
        values = pc.if_else(pc.is_nan(values), None, values)
        return values.cast(pa.string()) if kind is Kind.FLOAT else _floats_as_text(values)
    if types.is_decimal(values.type):
        return pa.array([None if v is None else format(v, "f") for v in values.to_pylist()], pa.string())
    if types.is_timestamp(values.type):
        zone = "UTC" if values.type.tz else None
        values = values.cast(pa.timestamp(values.type.unit, zone))
        if values.type.unit == "ns":
            # Floored, as in text: what lies below the microsecond is dropped.
            values = pc.floor_temporal(values, unit="microsecond").cast(pa.timestamp("us", zone))
    return values.cast(pa.string())


def _floats_as_text(values: "pa.Array") -> "pa.Array":
    import pyarrow as pa

    try:
        return values.cast(pa.int64()).cast(pa.string())
    except pa.ArrowInvalid:  # a fraction, or beyond 64 bits
        # Arrow writes large numbers with an exponent, which no id and no time has; the shortest plain form is meant.
        texts = [None if v is None else format(Decimal(repr(v)), "f") for v in values.to_pylist()]
        return pa.array(texts, pa.string())


@dataclass(frozen=True)
class Piece:
    """One batch of rows: `columns` quickly, or `rows` one by one; `line` is the number of its first row."""

    texts: "dict[str, pa.Array]"
    line: int
    count: int
    done: int
    layout: Layout

    def columns(self) -> "dict[str, pa.Array]":
        """Texts by the table's column name."""
        return self.texts

    def rows(self) -> Iterator[Row]:
        """Every row; its record is the table's columns as text, separated by commas."""
        width = self.layout.width
        columns = {self.layout.places[name]: texts.to_pylist() for name, texts in self.texts.items()}
        for number in range(self.count):
            row = [columns[place][number] if place in columns else None for place in range(width)]
            yield Row(self.line + number, row, _as_csv([row[place] for place in self.layout.places.values()]))


def _as_csv(values: list[str | None]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(values)
    return line.getvalue()


class ParquetFile:
    """One Parquet file whose columns fit the table. Construction reads the footer and raises EventFileError."""

    place = "row"

    def __init__(self, path: Path, table: EventTable) -> None:
        self.path = path
        self.size = path.stat().st_size
        self._table = table
        with self._open() as file:
            schema = file.schema_arrow
        self.layout = lay_out(table, schema.names, path)
        for name, place in self.layout.places.items():
            kind = table.column(name).kind
            if not suits(kind, schema.field(place).type):
                raise EventFileError(
                    f"{path} has a column {schema.names[place]} of type {schema.field(place).type}, which cannot be "
                    f"read as {kind}; export it as {_WANTED[kind]}"
                )
        self._names = {name: schema.names[place] for name, place in self.layout.places.items()}

    def pieces(self, _chunk_bytes: int) -> Iterator[Piece]:
        """The rows, in order. EventFileError if the file is damaged."""
        row = 1
        with self._open() as file:
            total = file.metadata.num_rows
            for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=list(self._names.values())):
                texts = {
                    name: as_text(batch.column(original), self._table.column(name).kind)
                    for name, original in self._names.items()
                }
                done = self.size * (row - 1 + batch.num_rows) // total
                yield Piece(texts, row, batch.num_rows, done, self.layout)
                row += batch.num_rows

    @contextmanager
    def _open(self) -> "Iterator[pq.ParquetFile]":
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            with pq.ParquetFile(self.path) as file:
                yield file
        except (pa.ArrowException, OSError) as error:
            reason = str(error).split("\n", 1)[0].rstrip(".")
            raise EventFileError(
                f"{self.path} cannot be read as Parquet ({reason}); export or copy it again"
            ) from error


_WANTED: Final = {
    Kind.UINT64: "a whole number",
    Kind.UINT32: "a whole number",
    Kind.INT64: "a whole number",
    Kind.INT16: "a whole number",
    Kind.INT8: "a whole number",
    Kind.FLOAT: "a number",
    Kind.BOOL: "a boolean",
    Kind.TEXT: "text",
    Kind.LONG_TEXT: "text",
    Kind.TIME: "a timestamp",
}
