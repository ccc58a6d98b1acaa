"""`generate` and `load`: events into files, and files into the warehouse."""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal
from zoneinfo import ZoneInfo

import typer

from analytics_platform.cli.console import Bars, JobError, counted, err, out
from analytics_platform.cli.context import Context, HomeOption, begin
from analytics_platform.metrics.events import (
    FEED_ACTIONS,
    MESSAGE_ACTIONS,
    METRIC_TABLES,
    PAGE_EVENTS,
    USER_EVENTS,
    EventTable,
)
from analytics_platform.settings import remember
from analytics_platform.warehouses.base import EventLoad, Loaded

if TYPE_CHECKING:
    from analytics_platform.sources.files import EventReader, LoadSummary
    from analytics_platform.sources.visits import VisitReader


def generate(
    folder: Annotated[Path, typer.Option("--out", help="Folder for the files.", file_okay=False)],
    days: Annotated[int, typer.Option(help="How many days, ending yesterday.", min=1, max=400)] = 60,
    users: Annotated[int, typer.Option(help="Size of the population; about a seventh is active on a day.")] = 14_000,
    seed: Annotated[int, typer.Option(help="The same seed gives the same events.", min=0)] = 1,
    home: HomeOption = None,
) -> None:
    """Write simulated events with planted incidents, trends and their truth: Parquet files, visits of a site as JSON.

    Example: `analytics-platform generate --days 60 --users 14000 --seed 1 --out events/`
    """
    context = begin(home)
    written = write_events(context, folder, days=days, users=users, seed=seed)
    out.print(written, markup=False)


def write_events(context: Context, folder: Path, *, days: int, users: int, seed: int) -> str:
    """Simulate the `days` before today in the configured zone; a sentence on what was written."""
    from analytics_platform.simulate.generator import NotOurFolderError, write
    from analytics_platform.simulate.scenario import Scenario

    first = context.today - timedelta(days=days)
    try:
        scenario = Scenario(first_day=first, days=days, users=users, seed=seed, zone=context.settings.zone)
        with Bars() as bars:
            done = write(scenario, folder, lambda k, n, _rows: bars.step(f"generate {days} days of events", k, n))
    except (NotOurFolderError, ValueError) as error:
        raise JobError(str(error)) from None
    except OSError as error:
        raise JobError(f"{folder} cannot be written: {error.strerror}") from None
    return (
        f"{done.feed_rows:,} feed events and {done.message_rows:,} messages, {first} to "
        f"{context.today - timedelta(days=1)}, in {folder}; planted incidents in {done.truth}\n"
        f"{counted(done.video_rows, 'video event')} and {counted(done.visits, 'page event')}; "
        f"planted trends in {done.trends}"
    )


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise typer.BadParameter(f"{name!r} is not an IANA time zone such as Europe/Moscow") from None


def load(
    feed: Annotated[list[Path] | None, typer.Option(help="Feed events: files or folders; repeat for more.")] = None,
    messages: Annotated[list[Path] | None, typer.Option(help="Messages: files or folders; repeat for more.")] = None,
    videos: Annotated[list[Path] | None, typer.Option(help="Video events: files or folders; repeat for more.")] = None,
    visits: Annotated[
        list[Path] | None, typer.Option(help="Page visits: nested .json (also gzipped), or flat files as the others.")
    ] = None,
    append: Annotated[bool, typer.Option("--append", help="Add to the days instead of replacing them.")] = False,
    on_error: Annotated[str, typer.Option(help="stop: a bad row loads nothing; skip: load the others.")] = "stop",
    rejects: Annotated[
        Path | None, typer.Option(help="Where skipped rows go. Default: rejected_TABLE.csv in the home.")
    ] = None,
    source_timezone: Annotated[str, typer.Option(help="Zone of times without an offset.")] = "UTC",
    home: HomeOption = None,
) -> None:
    """Load event files (CSV, gzipped CSV, Parquet, folders of them) into the warehouse.

    Every local day found in the files replaces that day of its table, all in one transaction.

    Example: `analytics-platform load --feed feed.csv.gz --messages messages/ --source-timezone Europe/Moscow`

    Example: `analytics-platform load --videos user_events/ --visits events.json`
    """
    if not feed and not messages and not videos and not visits:
        raise typer.BadParameter("name at least one file: --feed, --messages, --videos or --visits FILE")
    if on_error not in ("stop", "skip"):
        raise typer.BadParameter("--on-error is stop or skip")
    zone = _zone(source_timezone)
    context = begin(home)
    if (context.home.path / "generated").exists() and not context.home.own_events.exists():
        raise JobError(f"{context.home.path} holds the demo's simulated events; give yours another home: --home DIR")
    named = ((FEED_ACTIONS, feed), (MESSAGE_ACTIONS, messages), (USER_EVENTS, videos), (PAGE_EVENTS, visits))
    chosen = [(table, paths) for table, paths in named if paths]
    load_events(
        context, chosen, zone, append=append, on_error="skip" if on_error == "skip" else "stop", rejects=rejects
    )


def load_events(
    context: Context,
    chosen: list[tuple[EventTable, list[Path]]],
    source_zone: ZoneInfo,
    *,
    append: bool = False,
    on_error: Literal["stop", "skip"] = "stop",
    rejects: Path | None = None,
    simulated: bool = False,
) -> list[Loaded]:
    """Load the files of each table, keep START_DATE and the observations true, and say what became of the files.

    Events that are not `simulated` mark the home as somebody's own, which the demo then leaves alone.
    """
    from analytics_platform.defs.running import record_observations

    warehouse = context.warehouse()
    readers: list[EventReader | VisitReader] = []
    bars = Bars()
    for table, paths in chosen:
        target = rejects if rejects and len(chosen) == 1 else _rejects_file(context, table, rejects)
        readers.append(_reader(table, paths, source_zone, on_error, target, bars))
        readers[-1].check()
    with bars:
        loaded = warehouse.load(
            [EventLoad(r.table, r.batches()) for r in readers],
            context.settings.zone,
            append=append,
            progress=lambda table, done, total: bars.step(f"write {table}", done, total),
        )
    # Before anything is printed: a reader of the output that goes away must not leave this undone.
    if not simulated:
        context.home.own_events.touch()
    keep_start_date(context, {result.table.name: result.days for result in loaded})
    record_observations(context.home, context.settings, warehouse)
    for reader, result in zip(readers, loaded, strict=True):
        summary = reader.summary
        span = f", {result.days[0]} to {result.days[-1]}" if result.days else ""
        loaded_from = f"{counted(result.rows, 'row')} from {counted(summary.files, 'file')}{span}"
        out.print(f"{summary.table}: {loaded_from}", markup=False)
        _tell_actions(context, reader.table, summary)
        for name, files in sorted(summary.ignored_columns.items()):
            out.print(f"  column {name} is ignored ({_files(files)})", markup=False)
        for name, files in sorted(summary.absent_columns.items()):
            out.print(f"  column {name} is absent, its values are unknown ({_files(files)})", markup=False)
        for path in summary.skipped_files:
            out.print(f"  {path} is no event file and was left out", markup=False)
        if summary.rejected:
            where = rejects if rejects and len(chosen) == 1 else _rejects_file(context, reader.table, rejects)
            err.print(f"  {counted(summary.rejected, 'row')} rejected: see {where}", markup=False)
    return loaded


def _reader(
    table: EventTable,
    paths: list[Path],
    source_zone: ZoneInfo,
    on_error: Literal["stop", "skip"],
    rejects: Path,
    bars: Bars,
) -> "EventReader | VisitReader":
    from analytics_platform.sources.files import EventReader
    from analytics_platform.sources.visits import visit_reader

    progress = partial(_read, bars, table)
    if table is PAGE_EVENTS:
        return visit_reader(paths, source_zone=source_zone, on_error=on_error, rejects=rejects, progress=progress)
    return EventReader(table, paths, source_zone=source_zone, on_error=on_error, rejects=rejects, progress=progress)


def _tell_actions(context: Context, table: EventTable, summary: "LoadSummary") -> None:
    if not summary.actions:
        return
    out.print(f"  {'event types' if table is USER_EVENTS else 'actions'}: {_numbers(summary.actions)}", markup=False)
    # They are stored all the same: rankings count them, and score nothing for them.
    weights = context.settings.ranking_plan.weights
    unknown = Counter({name: n for name, n in summary.actions.items() if name not in weights})
    if table is USER_EVENTS and unknown:
        err.print(f"  event types without a weight: {_numbers(unknown)}", markup=False)


def _numbers(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {n:,}" for name, n in counts.most_common(10))


def _read(bars: Bars, table: EventTable, done: int, total: int, _rows: int) -> None:
    bars.step(f"read {table.name}", done, total)


def _rejects_file(context: Context, table: EventTable, rejects: Path | None) -> Path:
    name = f"rejected_{table.name}.csv"
    return rejects.with_name(f"{rejects.stem}_{table.name}{rejects.suffix}") if rejects else context.home.path / name


def _files(paths: tuple[Path, ...]) -> str:
    return str(paths[0]) if len(paths) == 1 else f"{len(paths)} files, first {paths[0]}"


def keep_start_date(context: Context, days: Mapping[str, Iterable[date]]) -> None:
    """Daily partitions begin with the first day of events (`days`: by table), unless START_DATE is earlier by choice.

    Visitor reports have no partitions, and rankings of days before the first metric begin none for all metrics.
    """
    chosen = "start_date" in context.settings.model_fields_set
    beginning = {t.name for t in METRIC_TABLES} | (set() if chosen else {USER_EVENTS.name})
    # A misdated event from the future begins no partitions.
    known = (day for name, found in days.items() if name in beginning for day in found)
    first = min((day for day in known if day < context.today), default=None)
    settings = context.settings
    if first and ("start_date" not in settings.model_fields_set or first < settings.start_date):
        remember(context.home, "START_DATE", first.isoformat())
        from analytics_platform.settings import load_settings

        now = load_settings(context.home).start_date
        if now > first:
            err.print(f"START_DATE is {now} in the environment or .env, so days from {first} cannot be materialised")
