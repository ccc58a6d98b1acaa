"""`report`: build a report and deliver it.

Belongs here: a command per report there is, and what it prints. Does not: the ledger's verbs (`cli/ledger.py`).
"""

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from analytics_platform.cadence import Period, last_complete
from analytics_platform.cli.console import JobError, counted, err, out
from analytics_platform.cli.context import Context, HomeOption, begin, run_days
from analytics_platform.cli.slices import check_days
from analytics_platform.reports import all_reports
from analytics_platform.reports.base import Report

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analytics_platform.channels.base import Channel

app = typer.Typer(help="Build a report and deliver it.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Build a report and deliver it."""


def _verb(report: Report[Any]) -> Callable[..., None]:
    def verb(
        date: Annotated[
            dt.datetime | None,
            typer.Option(
                formats=["%Y-%m-%d"], metavar="YYYY-MM-DD", help="A day of the period. Default: the last complete one."
            ),
        ] = None,
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Into a folder, whatever is configured.")] = False,
        again: Annotated[bool, typer.Option("--again", help="Send it though it was delivered before.")] = False,
        folder: Annotated[
            Path | None,
            typer.Option("--out", help="Deliver into this folder too; alone in a dry run.", file_okay=False),
        ] = None,
        home: HomeOption = None,
    ) -> None:
        context = begin(home)
        period = _period(report, context, date.date() if date else None)
        deliver_report(context, report, period, dry_run=dry_run, again=again, folder=folder)

    verb.__doc__ = (
        f"{report.title}: build it and deliver it once. {report.about} Days it reads that are missing or changed are "
        f"computed first.\n\nExample: `analytics-platform report {report.verb} --date 2026-11-20 --dry-run`"
    )
    return verb


for _report in all_reports().values():
    app.command(_report.verb)(_verb(_report))
    if _report.name != _report.verb:  # by the name that ledger and settings know, too
        app.command(_report.name, hidden=True)(_verb(_report))


def _period(report: Report[Any], context: Context, day: dt.date | None) -> Period:
    from analytics_platform.defs.partitions import chosen_period

    period = chosen_period(report, day) if day else last_complete(report.cadence, context.today)
    if day and period.last >= context.today and period.first != period.last:
        raise JobError(
            f"{period}, the period of {report.name} with {day}, is not over yet: in {context.settings.timezone} it is "
            f"{context.today}"
        )
    check_days(context, period.first, period.last)
    return period


def deliver_report(
    context: Context,
    report: Report[Any],
    period: Period,
    *,
    dry_run: bool = False,
    again: bool = False,
    folder: Path | None = None,
    channels: "Sequence[Channel] | None" = None,
) -> None:
    """Bring the days it reads up to date, build the report, deliver it, and print what was said and where.

    Raises JobError when there is nothing to report, or another process is at it. What was delivered before is not sent
    again unless `again`; that is said.
    """
    from analytics_platform.artifacts import Artifacts
    from analytics_platform.defs.claims import AGAIN
    from analytics_platform.defs.partitions import key_of
    from analytics_platform.defs.resources import ledgers_of
    from analytics_platform.defs.schedules import METRICS_JOB, report_job
    from analytics_platform.delivery import deliver
    from analytics_platform.messages import Text
    from analytics_platform.state.runs import Status

    ledger = ledgers_of(context.home, context.settings).runs
    before = ledger.entry(report.name, period.last)
    if before and before.status in (Status.DELIVERED, Status.PRELIMINARY) and not (again or dry_run):
        moment = before.finished_at.astimezone(context.settings.zone) if before.finished_at else None
        when = f" on {moment:%Y-%m-%d at %H:%M}" if moment else ""
        out.print(f"{report.name} of {period} was delivered{when}; --again sends it once more", markup=False)
        return
    stale = _prepare(context, report, period)
    if stale:
        title = f"compute {counted(len(stale), 'day')}"
        run_days(context, METRICS_JOB, stale[0], stale[-1], title=title)
    channels = channels or _channels(context, dry_run=dry_run, folder=folder)
    artifacts = Artifacts(context.home.artifacts)
    key, place = key_of(report, period), f"{report.name}/{period.last}"
    if dry_run:
        # Not through the delivery asset: its receipt says who really got the report.
        without = f"deliveries/{report.name}"
        run_days(context, report_job(report), key, key, title=f"build {report.name}", without=without)
        deliver(artifacts.load_messages(report.name, period.last), channels, key=place)
    else:
        tags = {AGAIN: "yes"} if again else {}
        title = f"build and deliver {report.name}"
        run_days(context, report_job(report), key, key, title=title, channels=channels, tags=tags)
    for message in artifacts.load_messages(report.name, period.last):
        if isinstance(message, Text):
            out.print(message.plain, markup=False)
            out.print()
    for target in _places(context, channels, folder or (context.home.preview if dry_run else None), place):
        out.print(f"sent to {target}", markup=False)


def _prepare(context: Context, report: Report[Any], period: Period) -> "Sequence[dt.date]":
    """The days to be computed first. Says what the data lacks; raises JobError when there is none at all."""
    from analytics_platform.defs.claims import now
    from analytics_platform.defs.resources import ledgers_of
    from analytics_platform.defs.sight import HomeSight
    from analytics_platform.metrics.facts import event_totals

    warehouse = context.warehouse()
    sight = HomeSight(ledgers_of(context.home, context.settings).runs, warehouse, context.settings, now())
    totals = [warehouse.rows(event_totals(day, context.settings.zone))[0] for day in period.days]
    wanted = {"feed_actions": "feed_actions", "message_actions": "messages_sent"}
    if not any(row[wanted[source]] for row in totals for source in report.sources):
        kinds = " or ".join("feed" if source == "feed_actions" else "message" for source in report.sources)
        options = " ".join("--feed FILE" if s == "feed_actions" else "--messages FILE" for s in report.sources)
        raise JobError(f"{period} has no {kinds} events: load them first, analytics-platform load {options}")
    answer = sight.gate(report, period)
    if answer.missing:
        err.print(f"note: the data looks incomplete: {answer}", markup=False)
    return sight.outdated(report, period)


def _channels(context: Context, *, dry_run: bool, folder: Path | None) -> "Sequence[Channel]":
    from analytics_platform.channels.folder import FolderChannel
    from analytics_platform.defs.resources import configured_channels

    if dry_run:
        return [FolderChannel(folder or context.home.preview)]
    chosen = list(configured_channels(context.home, context.settings))
    if folder:
        chosen = [c for c in chosen if not isinstance(c, FolderChannel)]
        chosen.append(FolderChannel(folder))
    return chosen


def _places(context: Context, channels: "Sequence[Channel]", folder: Path | None, key: str) -> list[str]:
    return [
        str((folder or context.home.outbox) / key)
        if channel.name == "folder"
        else f"{channel.name} {', '.join(context.settings.telegram_chat_ids)}"
        for channel in channels
    ]
