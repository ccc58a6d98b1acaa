"""How the command line speaks: results on standard output, progress and errors on standard error.

Belongs here: progress lines, tables, the one way a failure is said. Does not: any verb.
"""

import csv
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


class JobError(Exception):
    """The job could not be done (exit code 1). The message says why and what to do."""


class Bars:
    """A bar per piece of work on a terminal; elsewhere a line when it begins and a line when it is done.

    Also what Dagster's assets report to: see `defs.resources.Progress`.
    """

    def __init__(self) -> None:
        columns = (TextColumn("{task.description:<34}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
        # Asked once: while Dagster captures the output of a step, standard error is no terminal.
        self._live = err.is_terminal
        self._bar = Progress(*columns, console=err, disable=not self._live)
        self._tasks: dict[str, tuple[TaskID, float]] = {}
        self._done: set[str] = set()

    def __enter__(self) -> "Bars":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def begin(self, what: str) -> None:
        """A piece of work of unknown size."""
        if what not in self._tasks:
            self._tasks[what] = (self._bar.add_task(what, total=None), time.monotonic())
            if not self._live:
                err.print(f"{what} ...", markup=False)

    def step(self, what: str, done: int, total: int) -> None:
        """`done` of `total` (days, bytes) of `what` are finished."""
        self.begin(what)
        task, started = self._tasks[what]
        self._bar.update(task, completed=done, total=total)
        if done >= total and what not in self._done:
            self._done.add(what)
            if not self._live:
                err.print(f"{what}: done in {time.monotonic() - started:.1f} s", markup=False)

    def finish(self, what: str) -> None:
        """A piece of work of unknown size is done."""
        self.step(what, 1, 1)


def show_table(
    rows: Sequence[Mapping[str, object]], *, title: str | None = None, digits: Mapping[str, int] | None = None
) -> None:
    """Rows as an aligned table on a terminal, as tab-separated lines when piped. `digits`: decimals by column."""
    if not rows:
        return
    names = list(rows[0])
    if not out.is_terminal and title is None:
        print("\t".join(names))  # noqa: T201 - plain lines for other programs
        for row in rows:
            print("\t".join("" if row[n] is None else str(row[n]) for n in names))  # noqa: T201
        return
    width = out.width if out.is_terminal else 200
    for block in _blocks(rows, names, width):
        table = Table(title=title, title_justify="left", header_style="bold", box=box.SIMPLE_HEAD)
        for name in block:
            table.add_column(name, justify="right" if _numeric(rows, name) else "left", no_wrap=True)
        for row in rows:
            table.add_row(*(_cell(row[n], (digits or {}).get(n, 4)) for n in block))
        # Wide enough for the block whatever the terminal says: a figure is never cut to its first digits.
        Console(highlight=False, width=max(width, _width(rows, block))).print(table)
        title = None


def show_list(rows: Sequence[Mapping[str, object]]) -> None:
    """Rows that are mostly text, long ones folded: a table on a terminal, tab-separated lines when piped.

    On a terminal, columns that have nothing to say in any row are left out.
    """
    if not out.is_terminal or not rows:
        show_table(rows)
        return
    table = Table(header_style="bold", box=box.SIMPLE_HEAD)
    said = [name for name in rows[0] if any(row[name] not in ("", 0, None) for row in rows)]
    for name in said:
        table.add_column(name, justify="right" if _numeric(rows, name) else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(_cell(row[name])) for name in said))
    out.print(table)


def _width(rows: Sequence[Mapping[str, object]], names: Sequence[str]) -> int:
    return sum(max(len(name), *(len(_cell(row[name])) for row in rows)) + 3 for name in names) + 1


def _blocks(rows: Sequence[Mapping[str, object]], names: Sequence[str], width: int) -> list[list[str]]:
    """The columns in blocks that fit the width, each beginning with the text columns that name the row."""
    keys = [name for name in names if not _numeric(rows, name)]
    blocks: list[list[str]] = [list(keys)]
    for name in names:
        if name in keys:
            continue
        if len(blocks[-1]) > len(keys) and _width(rows, [*blocks[-1], name]) > width:
            blocks.append(list(keys))
        blocks[-1].append(name)
    return blocks


def counted(number: int, noun: str) -> str:
    """`1 file`, `2,000 files`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _numeric(rows: Sequence[Mapping[str, object]], name: str) -> bool:
    return all(isinstance(row[name], int | float) or row[name] is None for row in rows)


def _cell(value: object, digits: int = 4) -> str:
    if value is None:
        return "n/a"
    if isinstance(value, float):
        return f"{value:,.{digits}f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def write_csv(target: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """A CSV file with the columns of the first row, whole or not at all. Raises JobError when it cannot be written."""
    draft = target.with_name(f".{target.name}.new")
    try:
        with draft.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        draft.replace(target)
    except OSError as error:
        raise JobError(f"{target} cannot be written: {error.strerror}") from None
