"""Event files in, validated Arrow batches out: CSV (also gzipped), Parquet, and folders of them.

Belongs here: finding the files, the way of a batch through checks, what is told afterwards.
Does not: the formats (`delimited`, `parquet`), what a value means (`values`), where the rows go (`warehouses/`).
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Protocol

from analytics_platform.metrics.events import Column, EventTable, arrow_schema
from analytics_platform.sources.delimited import CHUNK_BYTES, DelimitedFile
from analytics_platform.sources.headers import Layout, Row
from analytics_platform.sources.parquet import ParquetFile
from analytics_platform.sources.problems import BadRow, BadRowError, EventFileError, Rejects
from analytics_platform.sources.values import UnfitError, Value, convert, parse

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["BadRow", "BadRowError", "EventFileError", "EventReader", "LoadSummary", "find_files"]

BATCH_ROWS: Final = 131_072
_PARQUET = (".parquet", ".pq")
_TEXT = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
_HIDDEN = (".", "_")
_ACTION, _TIME = ("action", "event_type"), "time"

# Each column, its place in the file (None: absent), and what its texts came to so far.
_Plan = list[tuple[Column, int | None, dict[str | None, Value | UnfitError]]]


@dataclass
class LoadSummary:
    """What became of the files of one table; complete once all batches have been taken.

    `rows` went through, `rejected` did not. `ignored_columns` and `absent_columns` name the files concerned by column;
    `skipped_files` lay in a folder and are no event files. `actions` counts rows by action or event type where the
    table has one. `first_time` and `last_time` are UTC; None without rows.
    """

    table: str
    files: int = 0
    rows: int = 0
    rejected: int = 0
    ignored_columns: dict[str, tuple[Path, ...]] = field(default_factory=dict)
    absent_columns: dict[str, tuple[Path, ...]] = field(default_factory=dict)
    actions: Counter[str] = field(default_factory=Counter)
    skipped_files: tuple[Path, ...] = ()
    first_time: datetime | None = None
    last_time: datetime | None = None


class _Piece(Protocol):
    @property
    def done(self) -> int: ...
    def columns(self) -> "Mapping[str, pa.Array] | None": ...
    def rows(self) -> Iterator[Row]: ...


class _File(Protocol):
    path: Path
    size: int
    layout: Layout

    @property
    def place(self) -> str: ...
    def pieces(self, chunk_bytes: int, /) -> Iterator[_Piece]: ...


def find_files(paths: Sequence[Path], endings: tuple[str, ...] = _TEXT + _PARQUET) -> tuple[list[Path], list[Path]]:
    """The event files behind `paths`, and what lay in folders beside them; in folders, names tell them by `endings`.

    Folders are searched to any depth, in the order of names; names that begin with a dot or an underscore are passed
    over silently. Raises EventFileError for a path that is not there, a folder without event files, a file met twice.
    """
    files: list[Path] = []
    others: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = _inside(path)
            wanted = [p for p in inside if p.name.lower().endswith(endings)]
            if not wanted:
                raise EventFileError(f"{path} holds no event files; they end in {', '.join(endings)}")
            files += wanted
            others += [p for p in inside if not p.name.lower().endswith(endings)]
        elif path.is_file():
            files.append(path)
        elif path.exists():
            raise EventFileError(f"{path} is neither a file nor a folder; save the events to a file first")
        else:
            raise EventFileError(f"{path} does not exist; check the path")
    seen: set[Path] = set()
    for path in files:
        if path.resolve() in seen:
            raise EventFileError(f"{path} is named twice, so its events would count twice; name it once")
        seen.add(path.resolve())
    return files, others


def _inside(folder: Path) -> list[Path]:
    def refuse(error: OSError) -> None:  # `rglob` would leave out a folder that it may not enter, without a word
        raise EventFileError(f"{error.filename} cannot be read ({error.strerror}); check its permissions") from error

    found: list[Path] = []
    for root, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(_HIDDEN)]
        found += [Path(root, name) for name in names if not name.startswith(_HIDDEN)]
    return sorted(path for path in found if path.is_file())


def _open(path: Path, table: EventTable) -> _File:
    try:
        with path.open("rb") as stream:
            magic = stream.read(4)
    except OSError as error:
        raise EventFileError(f"{path} cannot be read ({error.strerror}); check the file and its permissions") from error
    if not magic:
        raise EventFileError(f"{path} is empty; export it again, or leave it out")
    if magic == b"PAR1":
        return ParquetFile(path, table)
    if path.name.lower().endswith(_PARQUET):
        raise EventFileError(f"{path} is not a Parquet file in spite of its name; export it again, or rename it")
    return DelimitedFile(path, table)


class EventReader:
    """Reads the files of one event table, in the order given, as validated batches.

    `source_zone` is where times without a zone were written. With `on_error="stop"` the first bad row raises; with
    `"skip"` bad rows go to the file `rejects` (required then), which is written when the last batch has been taken.
    `progress` is called once a batch with bytes done, bytes in all (as stored, compressed or not), and rows so far.
    """

    def __init__(
        self,
        table: EventTable,
        paths: Sequence[Path],
        *,
        source_zone: tzinfo = UTC,
        on_error: Literal["stop", "skip"] = "stop",
        rejects: Path | None = None,
        progress: Callable[[int, int, int], None] | None = None,
        chunk_bytes: int = CHUNK_BYTES,
    ) -> None:
        if on_error == "skip" and rejects is None:
            raise ValueError("on_error='skip' needs a file for the rejected rows")
        self.table = table
        self.paths = tuple(paths)
        self.summary = LoadSummary(table.name)
        self._zone = source_zone
        self._rejects_path = rejects if on_error == "skip" else None
        self._progress = progress or (lambda _done, _total, _rows: None)
        self._chunk_bytes = chunk_bytes
        self._files: list[_File] = []

    def check(self) -> LoadSummary:
        """Find all files and check their headers, without reading rows. Raises EventFileError.

        `batches` does this first; call it yourself to learn of a wrong file before anything else is begun.
        """
        paths, others = find_files(self.paths)
        self._files = [_open(path, self.table) for path in paths]
        summary = LoadSummary(self.table.name, files=len(paths), skipped_files=tuple(others))
        for file in self._files:
            for name in file.layout.ignored:
                summary.ignored_columns[name] = (*summary.ignored_columns.get(name, ()), file.path)
            for name in file.layout.absent:
                summary.absent_columns[name] = (*summary.absent_columns.get(name, ()), file.path)
        self.summary = summary
        return summary

    def batches(self) -> "Iterator[pa.RecordBatch]":
        """Validated rows in the order of the files, at most 131,072 a batch, of `arrow_schema(table)`; times are UTC.

        All headers have been checked when this returns. Raises EventFileError, and BadRowError for a bad row unless
        those are skipped. A consumer that stops early leaves no file of rejected rows behind.
        """
        self.check()
        rejects = Rejects(self._rejects_path) if self._rejects_path else None
        return self._read(rejects)

    def _read(self, rejects: Rejects | None) -> "Iterator[pa.RecordBatch]":
        summary, total, before = self.summary, sum(file.size for file in self._files), 0
        try:
            for file in self._files:
                for piece in file.pieces(self._chunk_bytes):
                    batch = self._quick(piece)
                    if batch is None:
                        batch = self._careful(file, piece.rows(), rejects)
                    self._count(batch)
                    for start in range(0, batch.num_rows, BATCH_ROWS):
                        yield batch.slice(start, BATCH_ROWS)
                    self._progress(before + min(piece.done, file.size), total, summary.rows)
                before += file.size
                if not file.path.exists() or file.path.stat().st_size != file.size:
                    raise EventFileError(f"{file.path} changed while it was read; load it when its export is complete")
            self._progress(total, total, summary.rows)
            if rejects:
                rejects.keep()
        finally:
            if rejects:
                rejects.drop()

    def _quick(self, piece: _Piece) -> "pa.RecordBatch | None":
        """The whole batch at once; None if anything in it needs a closer look."""
        import pyarrow as pa

        texts = piece.columns()
        if texts is None:
            return None
        count = len(next(iter(texts.values())))
        schema = arrow_schema(self.table)
        arrays = []
        for column, kind in zip(self.table.columns, schema.types, strict=True):
            given = texts.get(column.name)
            converted = convert(column, pa.nulls(count, pa.string()) if given is None else given, kind, self._zone)
            if converted is None:
                return None
            arrays.append(converted)
        return pa.record_batch(arrays, schema=schema)

    def _careful(self, file: _File, rows: Iterator[Row], rejects: Rejects | None) -> "pa.RecordBatch":
        """Row by row, value by value. Raises BadRowError without `rejects`."""
        import pyarrow as pa

        plan: _Plan = [(column, file.layout.places.get(column.name), {}) for column in self.table.columns]
        columns: list[list[Value]] = [[] for _ in self.table.columns]
        for row in rows:
            values = self._values(file, row, plan)
            if not isinstance(values, BadRow):
                for gathered, value in zip(columns, values, strict=True):
                    gathered.append(value)
            elif rejects:
                rejects.add(values)
                self.summary.rejected += 1
            else:
                raise BadRowError(values)
        schema = arrow_schema(self.table)
        arrays = [pa.array(values, kind) for values, kind in zip(columns, schema.types, strict=True)]
        return pa.record_batch(arrays, schema=schema)

    def _values(self, file: _File, row: Row, plan: _Plan) -> list[Value] | BadRow:
        """One row's values, or what is wrong with it."""
        if row.defect:
            return BadRow(file.path, file.place, row.line, "", row.record.split("\n", 1)[0], row.defect, row.record)
        values: list[Value] = []
        for column, place, met in plan:
            text = None if place is None else row.texts[place]
            if text not in met:
                try:
                    met[text] = parse(column, text, self._zone)
                except UnfitError as unfit:
                    met[text] = unfit
            value = met[text]
            if isinstance(value, UnfitError):
                return BadRow(file.path, file.place, row.line, column.name, text or "", str(value), row.record)
            values.append(value)
        return values

    def _count(self, batch: "pa.RecordBatch") -> None:
        import pyarrow.compute as pc

        summary = self.summary
        summary.rows += batch.num_rows
        if not batch.num_rows:
            return
        for column, values in zip(self.table.columns, batch.columns, strict=True):
            if column.name in _ACTION:
                for entry in pc.value_counts(values).to_pylist():
                    summary.actions[entry["values"]] += entry["counts"]
            elif column.name == _TIME:
                span = pc.min_max(values).as_py()
                first, last = span["min"].replace(tzinfo=UTC), span["max"].replace(tzinfo=UTC)
                summary.first_time = min(first, summary.first_time or first)
                summary.last_time = max(last, summary.last_time or last)
