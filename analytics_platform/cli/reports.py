"""`report`: build a report and deliver it."""

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from analytics_platform.cli.console import JobError, counted, out
from analytics_platform.cli.context import Context, HomeOption, begin, run_days
from analytics_platform.cli.slices import check_days
from analytics_platform.metrics.facts import event_totals
from analytics_platform.metrics.tables import FEED_DAILY
from analytics_platform.metrics.windows import days

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analytics_platform.channels.base import Channel

app = typer.Typer(help="Build a report and deliver it.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Build a report and deliver it."""


@app.command("feed")
def feed(
    date: Annotated[
        dt.datetime | None,
        typer.Option(formats=["%Y-%m-%d"], metavar="YYYY-MM-DD", help="Report day. Default: the last complete day."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Into a folder, whatever is configured.")] = False,
    folder: Annotated[
        Path | None, typer.Option("--out", help="Deliver into this folder too; alone in a dry run.", file_okay=False)
    ] = None,
    home: HomeOption = None,
) -> None:
    """Build the daily feed report and deliver it. Days it compares that are missing or changed are computed first.

    Example: `analytics-platform report feed --date 2026-11-20 --dry-run --out reports/`
    """
    context = begin(home)
    day = date.date() if date else context.today - dt.timedelta(days=1)
    check_days(context, day, day)
    deliver_feed_report(context, day, dry_run=dry_run, folder=folder)


def deliver_feed_report(
    context: Context,
    day: dt.date,
    *,
    dry_run: bool = False,
    folder: Path | None = None,
    channels: "Sequence[Channel] | None" = None,
) -> None:
    """Bring the compared days up to date, build the report of `day`, deliver it, and print what was said and where."""
    from analytics_platform.artifacts import Artifacts
    from analytics_platform.defs.schedules import METRICS_JOB, REPORT_JOB
    from analytics_platform.delivery import deliver
    from analytics_platform.messages import Text
    from analytics_platform.reports.feed_daily import NAME

    first = max(day - dt.timedelta(days=7), context.settings.start_date)
    [events] = context.warehouse().rows(event_totals(day, context.settings.zone))
    if not events["feed_actions"]:
        raise JobError(f"{day} has no feed events: load them first, analytics-platform load --feed FILE")
    current = context.warehouse().current_days(FEED_DAILY, first, day)
    stale = [d for d in days(first, day) if d not in current]
    if stale:
        run_days(context, METRICS_JOB, stale[0], stale[-1], title=f"compute {counted(len(stale), 'day')}")
    channels = channels or _channels(context, dry_run=dry_run, folder=folder)
    artifacts = Artifacts(context.home.artifacts)
    if dry_run:
        # Not through the delivery asset: its receipt says who really got the report.
        run_days(context, REPORT_JOB, day, day, title="build the report", without=f"deliveries/{NAME}")
        deliver(artifacts.load_messages(NAME, day), channels, key=f"{NAME}/{day}")
    else:
        run_days(context, REPORT_JOB, day, day, title="build and deliver the report", channels=channels)
    for message in artifacts.load_messages(NAME, day):
        if isinstance(message, Text):
            out.print(message.plain, markup=False)
            out.print()
    out.print(f"chart   {artifacts.folder(NAME, day) / 'chart.png'}", markup=False)
    out.print(f"pdf     {artifacts.folder(NAME, day) / 'chart.pdf'}", markup=False)
    for place in _places(context, channels, folder, f"{NAME}/{day}"):
        out.print(f"sent to {place}", markup=False)


def _channels(context: Context, *, dry_run: bool, folder: Path | None) -> "Sequence[Channel]":
    from analytics_platform.channels.folder import FolderChannel
    from analytics_platform.defs.resources import configured_channels

    if dry_run:
        return [FolderChannel(folder or context.home.outbox)]
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
