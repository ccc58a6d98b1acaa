"""What can be wrong with event files: the errors people read, and the file that keeps rejected rows.

Belongs here: wording, and the safe writing of rejects. Does not: deciding what is wrong (`values`, `delimited`).
"""

import csv
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

REJECT_COLUMNS = ("file", "line", "column", "value", "reason", "record")
_SHOWN = 60  # characters of a bad value that a message shows; the rejects file has all of it


class EventFileError(Exception):
    """A file or folder that cannot be loaded as it is; the text is one sentence naming it and the remedy."""


@dataclass(frozen=True)
class BadRow:
    """One rejected row.

    `line` is the physical line on which the record begins (text files) or the row number (Parquet), both from 1;
    `place` is the word for it. `column` is empty where the row as a whole is at fault; `value` is then its first line.
    `reason` completes the sentence that begins with the value.
    """

    file: Path
    place: str
    line: int
    column: str
    value: str
    reason: str
    record: str

    @property
    def sentence(self) -> str:
        """`feed.csv, line 7, column age: 'abc' is not a whole number from 0 to 9 or empty`."""
        shown = repr(self.value) if len(self.value) <= _SHOWN else repr(self.value[:_SHOWN]) + "..."
        column = f", column {self.column}" if self.column else ""
        return f"{self.file}, {self.place} {self.line}{column}: {shown} {self.reason}"


class BadRowError(EventFileError):
    """A row that does not fit its table. `expected` says what would have been right."""

    def __init__(self, row: BadRow) -> None:
        super().__init__(row.sentence)
        self.row = row

    @property
    def file(self) -> Path:
        """The file, as it was named."""
        return self.row.file

    @property
    def line(self) -> int:
        """Physical line (text) or row number (Parquet), from 1."""
        return self.row.line

    @property
    def column(self) -> str:
        """The table's name of the column; empty where the row as a whole is at fault."""
        return self.row.column

    @property
    def value(self) -> str:
        """The value as it is in the file."""
        return self.row.value

    @property
    def expected(self) -> str:
        """What is wrong with the value, such as `is not a whole number from 0 to 4294967295`."""
        return self.row.reason


class Rejects:
    """A CSV file of rejected rows (columns `REJECT_COLUMNS`), added to in one step by `keep` or not at all.

    Rows are gathered in a hidden file beside it. A file that already holds rejected rows is continued, so one name
    can serve several loads; the name is not touched before `keep`, and never created without a rejected row.
    """

    def __init__(self, path: Path) -> None:
        """EventFileError if `path` exists and is something else, or its folder does not exist."""
        self.path = path
        self._stream: IO[str] | None = None
        if not path.absolute().parent.is_dir():
            raise EventFileError(f"the folder of {path} does not exist; create it, or keep rejected rows elsewhere")
        if path.exists():
            try:
                with path.open(newline="", encoding="utf-8") as stream:
                    ours = next(csv.reader(stream), []) == list(REJECT_COLUMNS)
            except (OSError, UnicodeError, csv.Error):
                ours = False
            if not ours:
                raise EventFileError(f"{path} exists and does not hold rejected rows; choose another name for them")

    def add(self, row: BadRow) -> None:
        """Gather one row."""
        if self._stream is None:
            self._stream = self._begin()
        csv.writer(self._stream).writerow((row.file, row.line, row.column, row.value, row.reason, row.record))

    def keep(self) -> bool:
        """Put everything gathered in place; False if there was nothing."""
        if self._stream is None:
            return False
        stream, self._stream = self._stream, None
        with stream:
            stream.flush()
            os.fsync(stream.fileno())
        Path(stream.name).replace(self.path)
        return True

    def drop(self) -> None:
        """Forget everything gathered; harmless after `keep`."""
        if self._stream is not None:
            stream, self._stream = self._stream, None
            stream.close()
            Path(stream.name).unlink(missing_ok=True)

    def _begin(self) -> IO[str]:
        # An open file outlives this call on purpose: `keep` or `drop` ends it.
        stream: IO[str] = tempfile.NamedTemporaryFile(  # noqa: SIM115
            "w",
            newline="",
            encoding="utf-8",
            dir=self.path.absolute().parent,
            prefix=f".{self.path.name}.",
            delete=False,
        )
        if self.path.exists():
            with self.path.open(newline="", encoding="utf-8") as earlier:
                shutil.copyfileobj(earlier, stream)
        else:
            csv.writer(stream).writerow(REJECT_COLUMNS)
        return stream
