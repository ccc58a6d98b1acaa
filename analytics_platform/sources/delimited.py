"""Comma, semicolon or tab separated text, plain or gzipped: bytes to chunks of whole records, chunks to columns.

Belongs here: quotes, line ends, encodings, line numbers. Does not: what a value means (`values`).

A chunk that is tidy is parsed by Arrow; `records` is the definition of what the text says and reads all others.
"""

import gzip
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, cast

from analytics_platform.metrics.events import EventTable
from analytics_platform.sources.headers import Layout, Row, lay_out, recognised
from analytics_platform.sources.problems import EventFileError
from analytics_platform.sources.values import BLANKS, DISTINCT

if TYPE_CHECKING:
    import pyarrow as pa

# About 100,000 rows of usual width: enough for Arrow to be fast, little enough to hold several at once.
CHUNK_BYTES: Final = 8 << 20
# A quote that is never closed would otherwise swallow the rest of the file.
RECORD_BYTES: Final = 1 << 20
DELIMITERS: Final = (b",", b";", b"\t")

_BOM = b"\xef\xbb\xbf"
_GZIP = b"\x1f\x8b"
_FOREIGN = {
    b"\xff\xfe": "is UTF-16 text; save it as UTF-8",
    b"\xfe\xff": "is UTF-16 text; save it as UTF-8",
    b"PK\x03\x04": "is a zip archive or a spreadsheet; unpack it, or export it as CSV",
    b"\x28\xb5\x2f\xfd": "is compressed with zstd; unpack it, or compress it with gzip",
    b"BZh": "is compressed with bzip2; unpack it, or compress it with gzip",
    b"\xfd7zXZ": "is compressed with xz; unpack it, or compress it with gzip",
}
_RETURN = "has a carriage return inside the line"
_UNCLOSED = "has a quotation mark that is never closed"
# Possessive: taking back a doubled quote would make a field that goes on in the next chunk look closed.
_QUOTED = re.compile(rb'"([^"]*+(?:""[^"]*+)*+)"')
_PLAIN = {delimiter: re.compile(rb"[^\n" + delimiter + rb"]*") for delimiter in DELIMITERS}


class TooLongError(EventFileError):
    """A physical line longer than `RECORD_BYTES`; `line` is its number."""


@dataclass(frozen=True)
class Record:
    """One record's fields as they are in the file, unquoted, or in `defect` why it has none.

    `line` is the number of its first physical line; `end` is where the next record begins. A defective record ends
    with its first line, so that a quote that is never closed costs one line.
    """

    line: int
    fields: tuple[bytes, ...]
    raw: bytes
    end: int
    defect: str = ""


def records(data: bytes, delimiter: bytes, line: int, *, final: bool) -> Iterator[Record]:
    """The records of `data`, of which the first begins on physical line `line`; blank lines are passed over.

    Stops before a record that is not complete, unless `final` says that nothing follows. Raises TooLongError.
    """
    blanks = BLANKS.encode().replace(delimiter, b"")
    start = 0
    while start < len(data):
        stop = data.find(b"\n", start, start + RECORD_BYTES)
        if stop < 0:
            if len(data) - start >= RECORD_BYTES:
                raise TooLongError(f"line {line} is longer than {RECORD_BYTES >> 20} MiB")
            if not final:
                return
            stop = len(data)
        if data.find(b'"', start, stop) < 0:
            first = data[start:stop].removesuffix(b"\r")
            fields, end = first.split(delimiter), min(stop + 1, len(data))
            defect = _RETURN if b"\r" in first else ""
        else:
            fields, end, defect = _fields(data, delimiter, start)
        unfinished = end == len(data) and not data.endswith(b"\n") if not defect else end < 0 and defect == _UNCLOSED
        if unfinished and not final and len(data) - start < RECORD_BYTES:
            return  # a quoted field goes on, or may go on, in the next chunk
        if defect:
            fields, end = [], min(stop + 1, len(data))
        raw = data[start:end].removesuffix(b"\n").removesuffix(b"\r")
        if defect or raw.strip(blanks):
            yield Record(line, tuple(fields), raw, end, defect)
        line += data.count(b"\n", start, end)
        start = end


def _fields(data: bytes, delimiter: bytes, start: int) -> tuple[list[bytes], int, str]:
    """The fields of a record with quotation marks, its end (-1: none found), and what is wrong with it."""
    fields: list[bytes] = []
    limit = min(start + RECORD_BYTES, len(data))
    at = start
    while True:
        quoted = data.startswith(b'"', at)
        match = (_QUOTED if quoted else _PLAIN[delimiter]).match(data, at, limit)
        if match is None:
            return fields, -1, _UNCLOSED
        at = match.end()
        field = match[1].replace(b'""', b'"') if quoted else match[0]
        last = at == len(data) or (at + 1 == len(data) and data.endswith(b"\r"))
        ended = last or data.startswith((b"\n", b"\r\n"), at)
        if not quoted and (at == len(data) or data.startswith(b"\n", at)):
            field = field.removesuffix(b"\r")
        if not quoted and b"\r" in field:
            return fields, -1, _RETURN
        if at >= limit and not last:
            return fields, -1, _UNCLOSED
        fields.append(field)
        if ended:
            newline = data.find(b"\n", at, at + 2)
            return fields, len(data) if newline < 0 else newline + 1, ""
        if not data.startswith(delimiter, at):
            return fields, -1, "has text after a closing quotation mark"
        at += 1


def tidy_end(data: bytes, delimiter: bytes, *, final: bool) -> int | None:
    """Where the last whole record of `data` ends (0: nowhere), if Arrow and `records` read it alike; None if not sure.

    Every quotation mark has to open a field at its beginning, close it at its end, or be one of a doubled pair; then a
    newline with an even number of them before it ends a record.
    """
    import numpy as np

    size = len(data)
    octets = np.frombuffer(data, dtype=np.uint8)
    newlines = np.flatnonzero(octets == 10)
    quotes = np.flatnonzero(octets == 34)
    if quotes.size:
        newlines = newlines[np.searchsorted(quotes, newlines) % 2 == 0]
    end = size if final else int(newlines[-1]) + 1 if newlines.size else 0
    lengths = np.diff(newlines, prepend=-1, append=end - 1)
    if (end == 0 and size >= RECORD_BYTES) or size - end >= RECORD_BYTES or lengths.max() >= RECORD_BYTES:
        return None
    quotes = quotes[: np.searchsorted(quotes, end)]
    returns = data.count(b"\r", 0, end)
    if quotes.size % 2 or (returns and returns != data.count(b"\r\n", 0, end)):
        return None
    if quotes.size:
        edge = np.array([10], dtype=np.uint8)
        padded = np.concatenate((edge, octets[:end], edge))  # both ends count as line ends; places move by one
        before, after = padded[quotes], padded[quotes + 2]
        doubled = np.zeros(quotes.size + 1, dtype=bool)  # at an even place: closes and opens again at once
        doubled[2:-1:2] = np.diff(quotes)[1::2] == 1
        opens = np.isin(before, [10, delimiter[0]])[0::2] | doubled[:-1:2]
        closes = np.isin(after, [10, 13, delimiter[0]])[1::2] | doubled[2::2]
        if not (opens.all() and closes.all()):
            return None
    return end


@dataclass(frozen=True)
class Piece:
    """One chunk of whole records: `columns` quickly, or `rows` one by one with their lines.

    A tidy chunk's data ends with its last record. Any other goes on to what has been read (`final`: the end of the
    file), so that `rows` judges with the same knowledge that found the chunk's end.
    """

    data: bytes
    line: int
    tidy: bool
    final: bool
    done: int
    delimiter: bytes
    layout: Layout
    table: EventTable

    def columns(self) -> "dict[str, pa.Array] | None":
        """Texts by the table's column name; None if some record is not as it should be, or may not be."""
        import pyarrow as pa
        from pyarrow import csv

        if not self.tidy:
            return None
        names = [str(place) for place in range(self.layout.width)]
        repeating = pa.dictionary(pa.int32(), pa.string())
        types = {
            str(place): pa.string() if self.table.column(name).kind in DISTINCT else repeating
            for name, place in self.layout.places.items()
        }
        try:
            read = csv.read_csv(
                pa.BufferReader(self.data),
                # One block: only then is a quoted newline safe wherever it stands.
                read_options=csv.ReadOptions(column_names=names, block_size=len(self.data) + 1),
                parse_options=csv.ParseOptions(delimiter=self.delimiter.decode(), newlines_in_values=True),
                convert_options=csv.ConvertOptions(column_types=types, include_columns=list(types), check_utf8=False),
            )
        except pa.ArrowInvalid:
            return None  # too many or too few fields somewhere
        return {name: _joined(read.column(str(place))) for name, place in self.layout.places.items()}

    def rows(self) -> Iterator[Row]:
        """Every record, with its defect if it has one."""
        for record in records(self.data, self.delimiter, self.line, final=self.final):
            defect = record.defect
            if not defect and len(record.fields) != self.layout.width:
                defect = f"has {len(record.fields)} fields, the header has {self.layout.width}"
            yield Row(record.line, [field.decode() for field in record.fields], record.raw.decode(), defect)


def _joined(column: "pa.ChunkedArray") -> "pa.Array":
    import pyarrow as pa

    joined = column.combine_chunks()
    return joined.combine_chunks() if isinstance(joined, pa.ChunkedArray) else joined


class DelimitedFile:
    """One text file whose header fits the table. Construction reads the header and raises EventFileError."""

    place = "line"

    def __init__(self, path: Path, table: EventTable) -> None:
        self.path = path
        self.table = table
        self.size = path.stat().st_size
        with self._open() as (stream, _):
            head = stream.read(RECORD_BYTES)
        for magic, verdict in _FOREIGN.items():
            if head.startswith(magic):
                raise EventFileError(f"{path} {verdict}")
        self._skipped = len(_BOM) if head.startswith(_BOM) else 0
        body = head[self._skipped :]
        if b"\0" in body.split(b"\n", 1)[0]:
            raise EventFileError(f"{path} is not UTF-8 text; export it as CSV in UTF-8, or as Parquet")
        if not body.strip(BLANKS.encode()):
            raise EventFileError(f"{path} is empty; it needs a first line with the names of its columns")
        header, self.delimiter = self._header(body, final=len(head) < RECORD_BYTES)
        self._skipped += header.end
        self._first_line = 1 + body.count(b"\n", 0, header.end)
        self.layout = lay_out(table, [field.decode() for field in header.fields], path)

    def _header(self, body: bytes, *, final: bool) -> tuple[Record, bytes]:
        """The first record, read with the delimiter that makes the most of it."""
        candidates: list[tuple[int, int, Record, bytes]] = []
        for delimiter in DELIMITERS:
            record = self._first(body, delimiter, final=final)
            if not record.defect:
                self._decoded(record.raw, record.line)
                names = [field.decode() for field in record.fields]
                candidates.append((recognised(self.table, names), len(names), record, delimiter))
        if not candidates:
            remedy = "save it with LF or CRLF as line ends" if record.defect == _RETURN else "correct it"
            raise EventFileError(f"{self.path} has a first line that {record.defect}; {remedy}")
        _, _, best, delimiter = max(candidates, key=lambda candidate: candidate[:2])
        return best, delimiter

    def _first(self, body: bytes, delimiter: bytes, *, final: bool) -> Record:
        try:
            record = next(records(body, delimiter, 1, final=final), None)
        except TooLongError as error:
            raise EventFileError(f"{self.path}, {error}; is it a CSV file?") from None
        if record is None:
            raise EventFileError(f"{self.path} has no end of its first line; is it a CSV file?")
        return record

    def pieces(self, chunk_bytes: int) -> Iterator[Piece]:
        """The records below the header, in order. EventFileError if the file is damaged or not UTF-8."""
        line, carry = self._first_line, b""
        with self._open() as (stream, raw):
            stream.seek(self._skipped)
            final = False
            while not final:
                block = stream.read(chunk_bytes)
                final = not block
                data = carry + block
                if not data:
                    return
                end = tidy_end(data, self.delimiter, final=final)
                tidy = end is not None
                if end is None:
                    end = self._end(data, line, final=final)
                chunk, carry = data[:end], data[end:]
                if chunk:
                    self._decoded(chunk, line)
                    whole = (chunk, line, True, True) if tidy else (data, line, False, final)
                    yield Piece(*whole, raw.tell(), self.delimiter, self.layout, self.table)
                    line += chunk.count(b"\n")

    def _end(self, data: bytes, line: int, *, final: bool) -> int:
        end = 0
        try:
            for record in records(data, self.delimiter, line, final=final):
                end = record.end
        except TooLongError as error:
            raise EventFileError(f"{self.path}, {error}; is it a CSV file?") from None
        return len(data) if final else end

    def _decoded(self, data: bytes, line: int) -> None:
        if data.isascii():
            return
        try:
            data.decode()
        except UnicodeDecodeError as error:
            at = line + data.count(b"\n", 0, error.start)
            raise EventFileError(
                f"{self.path}, line {at} is not UTF-8 text; export the file as UTF-8, or convert it with iconv"
            ) from None

    @contextmanager
    def _open(self) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
        """The text's bytes, and the file below them, which knows how far reading has come."""
        try:
            with self.path.open("rb") as raw:
                zipped = raw.read(2) == _GZIP
                raw.seek(0)
                if zipped:
                    with gzip.GzipFile(fileobj=raw, mode="rb") as stream:
                        yield cast(IO[bytes], stream), raw
                else:
                    yield raw, raw
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise EventFileError(f"{self.path} is damaged or cut short ({error}); copy or export it again") from error
        except OSError as error:
            reason = error.strerror or str(error)
            raise EventFileError(
                f"{self.path} cannot be read ({reason}); check the file and its permissions"
            ) from error
