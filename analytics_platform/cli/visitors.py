"""`visitors`: who opened which pages in a window of time."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from analytics_platform.cli.console import JobError, counted, err, out, show_table
from analytics_platform.cli.context import Context, HomeOption, begin, run_days
from analytics_platform.language import Language

if TYPE_CHECKING:
    from analytics_platform.visitors.window import VisitWindow

_SHOWN = 15
_COLUMNS = {
    "visitor": "visitor",
    "first_seen": "first_seen",
    "last_seen": "last_seen",
    "entry": "entry_page",
    "exit": "exit_page",
    "events": "n_interactions",
    "pages": "distinct_pages",
}


def visitors(
    last_minutes: Annotated[
        int | None, typer.Option("--last-minutes", metavar="N", help="The last N minutes up to now.", min=1)
    ] = None,
    start: Annotated[
        str | None,
        typer.Option("--from", metavar="MOMENT", help="First moment, such as 2026-11-19 or 2026-11-19T10:00+09:00."),
    ] = None,
    end: Annotated[str | None, typer.Option("--to", metavar="MOMENT", help="Last moment, not included.")] = None,
    deliver: Annotated[bool, typer.Option("--deliver", help="Send it to whoever subscribes to visitors.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Send it though it was sent before.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The visitor reports as JSON, times in UTC.")] = False,
    csv_file: Annotated[
        Path | None, typer.Option("--csv", help="Write a CSV file with all columns instead.", dir_okay=False)
    ] = None,
    limit: Annotated[int, typer.Option(help="How many visitors to show; 0: all.", min=0)] = _SHOWN,
    home: HomeOption = None,
) -> None:
    """Report the visitors of a window, and store the report: it replaces the one of the same window.

    Moments without an offset are wall clocks in TIMEZONE. Events come from page_events, or from DynamoDB
    (VISITS_SOURCE).

    Example: `analytics-platform visitors --from 2026-11-19 --to 2026-11-21`
    """
    context = begin(home)
    if as_json and csv_file:
        raise typer.BadParameter("--json and --csv are two forms: choose one")
    if (last_minutes is None) == (start is None and end is None):
        raise typer.BadParameter("give --last-minutes N, or --from A and --to B")
    if (start is None) != (end is None):
        raise typer.BadParameter("give both --from A and --to B")
    window = _window(context, last_minutes, start, end)
    from analytics_platform.defs.visitor_times import JOB
    from analytics_platform.defs.visitors import config_of, rounds

    config = config_of(window, deliver=deliver or again, again=again)
    if window.end > datetime.now(UTC):
        err.print(f"the window ends at {context.local(window.end)}, which is still to come: later events are not in it")
    before = rounds(context.office(), window) if deliver or again else []
    run_days(context, JOB, None, None, title=f"visitors {window.key}", run_config=config)
    if deliver or again:
        _say_delivered(context, window, len(before))
    _show(context, window, as_json=as_json, csv_file=csv_file, limit=limit)


def _say_delivered(context: Context, window: "VisitWindow", before: int) -> None:
    """On standard error: to whom it went, or that it was sent before."""
    from analytics_platform.defs.visitors import rounds

    now = rounds(context.office(), window)
    if len(now) == before:
        sent = max((part.sent_at for part in now[-1].parts if part.sent_at), default=None) if now else None
        err.print(f"sent before, {context.local(sent)}; --again sends it once more", markup=False)
        return
    recipients = sorted({str(part.recipient[0]) + " " + part.recipient[1] for part in now[-1].parts})
    err.print(f"sent to {', '.join(recipients)}", markup=False)


def _window(context: Context, minutes: int | None, start: str | None, end: str | None) -> "VisitWindow":
    from analytics_platform.visitors.window import between, last_minutes

    try:
        if minutes is not None:
            return last_minutes(minutes, datetime.now(UTC))
        return between(start or "", end or "", context.settings.zone)
    except ValueError as error:
        raise JobError(str(error)) from None


def _show(context: Context, window: "VisitWindow", *, as_json: bool, csv_file: Path | None, limit: int) -> None:
    from analytics_platform.artifacts import Artifacts
    from analytics_platform.defs.visitors import left_out, newest_event
    from analytics_platform.visitors.reporting import report_from_store, visitors_csv

    warehouse, settings = context.warehouse(), context.settings
    if said := left_out(Artifacts(context.home.artifacts), window):
        err.print(said, markup=False)
    report = report_from_store(warehouse.table, window, settings.zone)
    rows: list[dict[str, Any]] = report.visitors.to_pylist()
    for row in rows:
        row["pages"] = json.loads(row["pages"])
    if csv_file:
        try:
            csv_file.write_bytes(visitors_csv(report, Language(settings.locale), bom=settings.csv_bom))
        except OSError as error:
            raise JobError(f"{csv_file} cannot be written: {error.strerror}") from None
        out.print(f"{counted(len(rows), 'visitor')} in {csv_file}", markup=False)
        return
    if as_json:
        print(json.dumps(rows, ensure_ascii=False, indent=2, default=_iso))  # noqa: T201 - for other programs
    said = f"{context.local(window.start)} to {context.local(window.end)} {context.settings.timezone}"
    if not rows:
        newest = newest_event(warehouse, context.settings)
        known = f"; the newest event known is of {context.local(newest)}" if newest else ""
        # An empty list is what programs want; who reads along is told, too.
        (err if as_json else out).print(f"visitors from {said}: none{known}", markup=False)
    if as_json or not rows:
        return
    rows.sort(key=lambda row: (-row["n_interactions"], row["visitor"]))
    shown = rows[: limit or None]
    show_table([{name: _local(context, row[column]) for name, column in _COLUMNS.items()} for row in shown])
    if len(rows) > len(shown):
        err.print(f"{len(rows) - len(shown)} more: --limit 0 shows all", markup=False)
    events = counted(report.events.num_rows, "event")
    out.print(f"{counted(len(rows), 'visitor')}, {events} from {said}", markup=False)


def _local(context: Context, value: object) -> object:
    if isinstance(value, datetime):
        return f"{value.replace(tzinfo=UTC).astimezone(context.settings.zone):%Y-%m-%d %H:%M:%S}"
    return value


def _iso(value: object) -> str:
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC).isoformat()
    return str(value)
