"""How the command line speaks: results on standard output, progress and errors on standard error.

Belongs here: progress lines, tables, the one way a failure is said. Does not: any verb.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


class JobError(Exception):
    """The job could not be done (exit code 1). The message says why and what to do."""


@contextmanager
def stage(title: str, unit: str = "") -> Iterator[Callable[[int, int], None]]:
    """A piece of work with a bar on a terminal and a line when it is done. The value is called with (done, total)."""
    started = time.monotonic()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bar:
        task = bar.add_task(title, total=None)
        if not err.is_terminal:
            err.print(f"{title} ...", markup=False)
        yield lambda done, total: bar.update(task, completed=done, total=total)
    err.print(f"[green]done[/green]  {title} [dim]({time.monotonic() - started:.1f} s)[/dim]")


class Steps:
    """A bar per asset while Dagster works through its days; see `defs.resources.Progress`."""

    def __init__(self) -> None:
        columns = (TextColumn("{task.description:<24}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._bar = Progress(*columns, console=err, disable=not err.is_terminal)
        self._tasks: dict[str, tuple[TaskID, float]] = {}

    def __enter__(self) -> "Steps":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def step(self, what: str, done: int, total: int) -> None:
        """`done` of `total` days of the asset `what` are finished."""
        if what not in self._tasks:
            self._tasks[what] = (self._bar.add_task(what, total=total), time.monotonic())
        task, started = self._tasks[what]
        self._bar.update(task, completed=done, total=total)
        if done == total and not err.is_terminal:
            err.print(f"{what}: {total} days ({time.monotonic() - started:.1f} s)", markup=False)


def show_table(rows: Sequence[Mapping[str, object]], *, title: str | None = None) -> None:
    """Rows as an aligned table on a terminal, as tab-separated lines when piped."""
    if not rows:
        return
    names = list(rows[0])
    if not out.is_terminal and title is None:
        print("\t".join(names))  # noqa: T201 - plain lines for other programs
        for row in rows:
            print("\t".join("" if row[n] is None else str(row[n]) for n in names))  # noqa: T201
        return
    table = Table(title=title, title_justify="left", header_style="bold", box=box.SIMPLE_HEAD)
    for name in names:
        table.add_column(name, justify="right" if _numeric(rows, name) else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(_cell(row[n]) for n in names))
    # A table is never broken to fit a pipe: whoever reads it can scroll.
    Console(highlight=False, width=max(out.width, 200) if not out.is_terminal else None).print(table)


def counted(number: int, noun: str) -> str:
    """`1 file`, `2,000 files`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _numeric(rows: Sequence[Mapping[str, object]], name: str) -> bool:
    return all(isinstance(row[name], int | float) or row[name] is None for row in rows)


def _cell(value: object) -> str:
    if value is None:
        return "n/a"
    if isinstance(value, float):
        return f"{value:.4f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
