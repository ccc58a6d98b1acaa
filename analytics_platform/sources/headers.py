"""Which column of a file is which column of the table.

Belongs here: names, spellings, what is missing or too much. Does not: the values below the header.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from analytics_platform.metrics.events import Column, EventTable
from analytics_platform.sources.problems import EventFileError
from analytics_platform.sources.values import BLANKS

NAMELESS = "(no name)"


@dataclass(frozen=True)
class Layout:
    """One file's columns: where each of the table's columns stands, what is ignored and what is not there."""

    width: int
    places: Mapping[str, int]
    ignored: tuple[str, ...]
    absent: tuple[str, ...]


@dataclass(frozen=True)
class Row:
    """One record: its texts in the order of the file, or in `defect` why it has none.

    `line` is the physical line on which it begins, or the row number, from 1; `record` is its original text.
    """

    line: int
    texts: Sequence[str | None]
    record: str
    defect: str = ""


def spellings(column: Column) -> tuple[str, ...]:
    """Every name accepted for a column, in lower case."""
    return (column.name, *column.aliases)


def plain(name: str) -> str:
    """A header's name as it is compared: without surrounding blanks, in lower case."""
    return name.strip(BLANKS).lower()


def recognised(table: EventTable, names: Sequence[str]) -> int:
    """How many of these names the table knows; tells the right delimiter from the wrong ones."""
    known = {spelling for column in table.columns for spelling in spellings(column)}
    return len(known.intersection(map(plain, names)))


def lay_out(table: EventTable, names: Sequence[str], file: Path) -> Layout:
    """Match a header with the table. EventFileError if a column is there twice, or a required one is not there."""
    found = [plain(name) for name in names]
    twice = sorted(name for name, count in Counter(found).items() if name and count > 1)
    if twice:
        raise EventFileError(f"{file} has the column {twice[0]} more than once; keep one of them")
    places: dict[str, int] = {}
    absent: list[str] = []
    for column in table.columns:
        present = [spelling for spelling in spellings(column) if spelling in found]
        if len(present) > 1:
            raise EventFileError(
                f"{file} has the columns {' and '.join(present)}, which both mean {column.name}; keep one of them"
            )
        if present:
            places[column.name] = found.index(present[0])
        elif column.required:
            also = f" (also accepted: {', '.join(column.aliases)})" if column.aliases else ""
            shown = ", ".join(name or NAMELESS for name in found)
            raise EventFileError(
                f"{file} has no column {column.name}{also}, which {table.name} needs; its first line names: {shown}"
            )
        else:
            absent.append(column.name)
    used = set(places.values())
    ignored = tuple(name or NAMELESS for place, name in enumerate(found) if place not in used)
    return Layout(len(found), places, ignored, tuple(absent))
