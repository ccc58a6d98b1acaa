"""`copy`: events and results from one warehouse to another."""

from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import quote, unquote, urlsplit

import typer

from analytics_platform.cli.console import Bars, counted, err, out
from analytics_platform.cli.context import Context, Day, HomeOption, begin
from analytics_platform.cli.events import keep_start_date
from analytics_platform.metrics.events import EVENT_TABLES
from analytics_platform.redaction import register_secret

if TYPE_CHECKING:
    from analytics_platform.warehouses.base import Warehouse
    from analytics_platform.warehouses.copying import Copied, CopiedTable

_PARTS: dict[str, Literal["events", "results"]] = {"events": "events", "results": "results"}


def copy(
    from_date: Day,
    to_date: Day,
    source: Annotated[
        str | None,
        typer.Option("--from", metavar="URL", help="duckdb:///folder, clickhouse://... Default: the home's own files."),
    ] = None,
    target: Annotated[
        str | None, typer.Option("--to", metavar="URL", help="Default: the home's warehouse, WAREHOUSE_URL.")
    ] = None,
    only: Annotated[str | None, typer.Option(help="events or results.")] = None,
    tables: Annotated[list[str] | None, typer.Option("--tables", help="This table alone; repeat for more.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be copied.")] = False,
    home: HomeOption = None,
) -> None:
    """Copy days from one warehouse to another, and compare both sides afterwards. What is equal already is left alone.

    Example: `analytics-platform copy --to clickhouse://user:password@host:8123/analytics --from-date 2026-11-01
    --to-date 2026-11-20`
    """
    for url in (source, target):
        _keep_secret(url)
    first, last = from_date.date(), to_date.date()
    if first > last:
        raise typer.BadParameter(f"--from-date {first} is after --to-date {last}")
    if only is not None and only not in _PARTS:
        raise typer.BadParameter("--only is events or results")
    from analytics_platform.warehouses.copying import table_names

    chosen = [name.strip() for names in tables or () for name in names.split(",") if name.strip()]
    if unknown := [name for name in chosen if name not in table_names()]:
        raise typer.BadParameter(f"there is no table {unknown[0]!r}; there are {', '.join(table_names())}")
    context = begin(home)
    there, here = _warehouse(context, source or _files(context)), _warehouse(context, target)
    verb = "compare" if dry_run else "copy"
    from analytics_platform.warehouses import copying

    with Bars() as bars:
        done = copying.copy(
            there,
            here,
            first,
            last,
            context.settings.zone,
            only=_PARTS[only] if only else None,
            tables=chosen,
            dry_run=dry_run,
            progress=lambda table, days, total: bars.step(f"{verb} {table}", days, total),
        )
    if target is None and not dry_run:
        events = {table.name for table in EVENT_TABLES}
        keep_start_date(context, {t.name: (*t.copied, *t.equal) for t in done.tables if t.name in events})
    _say(done, there, here, dry_run=dry_run)


def _keep_secret(url: str | None) -> None:
    # An address that cannot be read is said to be so when it is parsed, in words that do not repeat it.
    with suppress(ValueError):
        if url and (password := urlsplit(url).password):
            register_secret(password)
            register_secret(unquote(password))


def _files(context: Context) -> str:
    return f"duckdb://{quote(str(context.home.path))}"


def _warehouse(context: Context, url: str | None) -> "Warehouse":
    from analytics_platform.defs.resources import warehouse_at

    settings = context.settings
    if url and url.startswith("duckdb:"):
        # Where ClickHouse has its events says nothing of files, which hold events of their own.
        settings = settings.model_copy(update={"events_mapping": {}, "events_database": None})
    return warehouse_at(context.home, settings, url)


def _say(done: "Copied", source: "Warehouse", target: "Warehouse", *, dry_run: bool) -> None:
    out.print(f"from {source.place}\nto {target.place}", markup=False)
    for table in done.tables:
        out.print(f"{table.name}: {_summary(table, dry_run=dry_run)}", markup=False)
    outdated = sorted({day for table in done.tables for day in table.outdated})
    if outdated:
        names = ", ".join(table.name for table in done.tables if table.outdated)
        err.print(
            f"{counted(len(outdated), 'day')} left out, outdated where they are ({names}): run analytics-platform "
            f"materialize --from {outdated[0]} --to {outdated[-1]} there, then copy again",
            markup=False,
        )
    for note in done.notes:
        err.print(note, markup=False)


def _summary(table: "CopiedTable", *, dry_run: bool) -> str:
    would = "to be copied" if dry_run else "copied"
    parts = [f"{counted(len(table.copied), 'day')} {would}, {counted(table.rows, 'row')}"] if table.copied else []
    parts += [f"{counted(len(table.equal), 'day')} the same already"] if table.equal else []
    return "; ".join(parts) or "nothing there"
