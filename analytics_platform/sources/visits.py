"""Visits of a site's pages in files, nested as its `events.json` is, or flat.

Belongs here: reading such files, which of two events with one id counts. Does not: the nested form (`visit_items`),
what a value means (`values`), flat files (`files`), visits kept in DynamoDB (`dynamodb`).

A nested file is read as a whole and takes about 8 MB of memory per MB of JSON: 264 MB for 93,000 events in 35 MB.
"""

import gzip
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, tzinfo
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from analytics_platform.metrics.events import PAGE_EVENTS, arrow_schema
from analytics_platform.sources.files import EventReader, LoadSummary, find_files
from analytics_platform.sources.headers import spellings
from analytics_platform.sources.problems import BadRow, BadRowError, EventFileError, Rejects
from analytics_platform.sources.values import BLANKS, UnfitError, Value, convert, parse
from analytics_platform.sources.visit_items import (
    FORM,
    Texts,
    UnfitFieldError,
    VisitEvent,
    alone,
    as_object,
    count_events,
    flat_items,
    item_texts,
    json_text,
    visit_events,
)

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["NESTED", "VisitReader", "flat_items", "visit_reader"]

NESTED: Final = (".json", ".json.gz")
PIECE_EVENTS: Final = 32_768
_ID = "request_id"

Progress = Callable[[int, int, int], None]


def visit_reader(
    paths: Sequence[Path],
    *,
    source_zone: tzinfo = UTC,
    on_error: Literal["stop", "skip"] = "stop",
    rejects: Path | None = None,
    progress: Progress | None = None,
) -> "EventReader | VisitReader":
    """The reader for these files: nested (`.json`, `.json.gz`, folders with any) or flat (CSV, Parquet) page events.

    EventFileError when both are named: an event that is in both would count twice.
    """
    nested = [path for path in paths if _is_nested(path)]
    flat = [path for path in paths if path not in nested]
    if nested and flat:
        raise EventFileError(
            f"{nested[0]} is nested JSON and {flat[0]} is not; load them one after the other, the second with --append"
        )
    if nested:
        return VisitReader(paths, source_zone=source_zone, on_error=on_error, rejects=rejects, progress=progress)
    return EventReader(
        PAGE_EVENTS, paths, source_zone=source_zone, on_error=on_error, rejects=rejects, progress=progress
    )


def _is_nested(path: Path) -> bool:
    if path.is_dir():
        return any(inside.name.lower().endswith(NESTED) for inside in path.rglob("*"))
    return path.name.lower().endswith(NESTED)


class VisitReader:
    """Reads nested files of visits, in the order given, as validated batches; the counterpart of `EventReader`.

    `source_zone` is where times without an offset were written. With `on_error="stop"` the first bad event raises; with
    `"skip"` bad events go to the file `rejects` (required then), each as a document of its own that can be put right
    and loaded again. `progress` is called with bytes done, bytes in all (as stored), and rows so far.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        *,
        source_zone: tzinfo = UTC,
        on_error: Literal["stop", "skip"] = "stop",
        rejects: Path | None = None,
        progress: Progress | None = None,
    ) -> None:
        if on_error == "skip" and rejects is None:
            raise ValueError("on_error='skip' needs a file for the rejected events")
        self.table = PAGE_EVENTS
        self.paths = tuple(paths)
        self.summary = LoadSummary(self.table.name)
        self._zone = source_zone
        self._rejects_path = rejects if on_error == "skip" else None
        self._progress = progress or (lambda _done, _total, _rows: None)
        self._sizes: dict[Path, int] = {}
        self._kept: dict[str, tuple[Texts, str]] = {}  # by request_id: the event, and where it is

    def check(self) -> LoadSummary:
        """Find all files and look at how they begin. Raises EventFileError.

        `batches` does this first; call it yourself to learn of a wrong file before anything else is begun.
        """
        files, others = find_files(self.paths, NESTED)
        self._sizes = {path: _looked_at(path) for path in files}
        self.summary = LoadSummary(self.table.name, files=len(files), skipped_files=tuple(others))
        return self.summary

    def batches(self) -> "Iterator[pa.RecordBatch]":
        """Validated events in the order of the files, of `arrow_schema(PAGE_EVENTS)`; times are UTC.

        An event that is there twice, wholly the same, counts once; two that share a `request_id` and differ make the
        second a bad one. Raises EventFileError, and BadRowError for a bad event unless those are skipped.
        """
        self.check()
        rejects = Rejects(self._rejects_path) if self._rejects_path else None
        return self._read(rejects)

    def _read(self, rejects: Rejects | None) -> "Iterator[pa.RecordBatch]":
        before, total = 0, sum(self._sizes.values())
        self._kept = {}
        try:
            for path, size in self._sizes.items():
                document = _document(path, size)
                events = visit_events(document, str(path), partial(self._ignore, path))
                count, taken = count_events(document), 0
                while piece := list(islice(events, PIECE_EVENTS)):
                    batch = self._batch(path, document, piece, rejects)
                    taken += len(piece)
                    self._count(batch)
                    if batch.num_rows:
                        yield batch
                    self._progress(before + size * taken // count, total, self.summary.rows)
                before += size
            self._progress(total, total, self.summary.rows)
            if rejects:
                rejects.keep()
        finally:
            self._kept = {}
            if rejects:
                rejects.drop()

    def _batch(
        self, path: Path, document: Mapping[str, object], events: Sequence[VisitEvent], rejects: Rejects | None
    ) -> "pa.RecordBatch":
        import pyarrow as pa

        def refuse(event: VisitEvent, error: UnfitFieldError) -> None:
            record = json_text(alone(document, event))
            row = BadRow(path, event.place, event.number, error.column, error.value, str(error), record)
            if not rejects:
                raise BadRowError(row)
            rejects.add(row)
            self.summary.rejected += 1

        rows: list[tuple[VisitEvent, Texts]] = []
        for event in events:
            try:
                texts = self._texts(path, event)
            except UnfitFieldError as error:
                refuse(event, error)
            else:
                if texts is not None:
                    rows.append((event, texts))
        schema = arrow_schema(self.table)
        arrays = self._quick([texts for _, texts in rows], schema)
        if arrays is None:
            values: list[list[Value]] = []
            for event, texts in rows:
                try:
                    values.append(self._values(texts))
                except UnfitFieldError as error:
                    refuse(event, error)
            columns = zip(*values, strict=True) if values else ([] for _ in schema)
            arrays = [pa.array(column, kind) for column, kind in zip(columns, schema.types, strict=True)]
        return pa.record_batch(arrays, schema=schema)

    def _texts(self, path: Path, event: VisitEvent) -> Texts | None:
        """The event's texts; None if it has been read before. Raises UnfitFieldError."""
        if not isinstance(event.item, dict):
            raise UnfitFieldError("", json_text(event.item), "is no object with fields")
        texts = item_texts(event.item)
        name = (texts[0] or "").strip(BLANKS)
        met = self._kept.setdefault(name, (texts, f"{path}, {event.place} {event.number}")) if name else None
        if met is None or met[0] is texts:
            return texts
        if met[0] == texts:
            return None
        raise UnfitFieldError(_ID, name, f"is also the {_ID} of another event ({met[1]})")

    def _quick(self, rows: Sequence[Texts], schema: "pa.Schema") -> "list[pa.Array] | None":
        """All columns at once; None if anything in them needs a closer look."""
        import pyarrow as pa

        arrays = []
        columns: Iterable[Sequence[str | None]] = zip(*rows, strict=True) if rows else ([] for _ in schema)
        for column, kind, texts in zip(self.table.columns, schema.types, columns, strict=True):
            converted = convert(column, pa.array(texts, pa.string()), kind, self._zone)
            if converted is None:
                return None
            arrays.append(converted)
        return arrays

    def _values(self, texts: Texts) -> list[Value]:
        values: list[Value] = []
        for column, text in zip(self.table.columns, texts, strict=True):
            try:
                values.append(parse(column, text, self._zone))
            except UnfitError as unfit:
                raise UnfitFieldError(spellings(column)[-1], text or "", str(unfit)) from None
        return values

    def _ignore(self, path: Path, name: str) -> None:
        files = self.summary.ignored_columns.get(name, ())
        if path not in files:
            self.summary.ignored_columns[name] = (*files, path)

    def _count(self, batch: "pa.RecordBatch") -> None:
        import pyarrow.compute as pc

        summary = self.summary
        summary.rows += batch.num_rows
        if batch.num_rows:
            span = pc.min_max(batch.column("time")).as_py()
            first, last = (moment.replace(tzinfo=UTC) for moment in (span["min"], span["max"]))
            summary.first_time = min(first, summary.first_time or first)
            summary.last_time = max(last, summary.last_time or last)


def _document(path: Path, size: int) -> dict[str, object]:
    data = _bytes(path)
    if path.stat().st_size != size:
        raise EventFileError(f"{path} changed while it was read; load it when its export is complete")
    try:
        document = json.loads(data, object_pairs_hook=_unique, parse_constant=_refused)
    except json.JSONDecodeError as error:
        raise EventFileError(
            f"{path} is not valid JSON (line {error.lineno}, column {error.colno}: {error.msg}); export it again"
        ) from error
    except UnicodeDecodeError as error:
        raise EventFileError(f"{path} is not UTF-8 (byte {error.start}); export it again as UTF-8") from error
    except RecursionError as error:
        raise EventFileError(f"{path} is nested too deeply; a file of visits is {FORM}") from error
    except ValueError as error:
        raise EventFileError(f"{path} cannot be read without loss ({error}); export it again") from error
    return as_object(document, str(path))


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    # Plain JSON reading keeps the last of two: a visitor that is there twice would lose events without a word.
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"one object has {twice!a} twice")
    return found


def _refused(word: str) -> object:
    raise ValueError(f"it says {word}, which is no number of JSON")


def _bytes(path: Path, most: int = -1) -> bytes:
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            if not packed:
                return raw.read(most)
            with gzip.GzipFile(fileobj=raw, mode="rb") as unpacked:
                return unpacked.read(most)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise EventFileError(f"{path} is damaged or cut short ({error}); copy or export it again") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise EventFileError(f"{path} cannot be read ({reason}); check the file and its permissions") from error


def _looked_at(path: Path) -> int:
    """The size of a file that begins as a document does."""
    start = _bytes(path, 1024)
    if not start:
        raise EventFileError(f"{path} is empty; export it again, or leave it out")
    # With a byte order mark, of UTF-8 or UTF-16; that nothing else follows is seen when it is read.
    if not start.lstrip(b"\xef\xbb\xbf\xff\xfe\x00 \t\r\n").startswith(b"{"):
        raise EventFileError(f"{path} does not begin with an object; a file of visits is {FORM}")
    return path.stat().st_size
