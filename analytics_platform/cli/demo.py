"""`demo`: from simulated events to a delivered report, in one command."""

import csv
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from analytics_platform.cadence import Period
from analytics_platform.cli.console import JobError, out, show_table
from analytics_platform.cli.context import Context, HomeOption, begin, run_days
from analytics_platform.cli.events import load_events, write_events
from analytics_platform.cli.reports import deliver_report
from analytics_platform.cli.scoreboard import show_scoreboard
from analytics_platform.cli.slices import check_days
from analytics_platform.metrics.dimensions import TOTAL
from analytics_platform.metrics.events import EVENT_TABLES, FEED_ACTIONS, MESSAGE_ACTIONS, PAGE_EVENTS, USER_EVENTS
from analytics_platform.metrics.slices import slices_between
from analytics_platform.queries import compose
from analytics_platform.reports import all_reports

_SHOWN = ("dimension", "dimension_value", "active_users", "feed_users", "views", "likes", "messages_sent", "ctr")
_SHORT = (TOTAL, "gender", "os", "source", "age_group")


def demo(
    days: Annotated[int, typer.Option(help="Days of events, ending yesterday.", min=9, max=400)] = 60,
    users: Annotated[int, typer.Option(help="Size of the population.", min=50)] = 14_000,
    seed: Annotated[int, typer.Option(help="The same seed gives the same events.", min=0)] = 1,
    home: HomeOption = None,
) -> None:
    """Generate events, load them, compute every day, deliver yesterday's reports to a folder, and say which of the
    planted incidents alerts would have told.

    Example: `analytics-platform demo --days 60 --home /tmp/demo`
    """
    from analytics_platform.channels.base import Recipient
    from analytics_platform.defs.schedules import METRICS_JOB

    context = begin(home)
    _refuse_real_events(context)
    events = context.home.path / "generated"
    out.print(write_events(context, events, days=days, users=users, seed=seed), markup=False)
    _mark(context).write_text(context.warehouse().place, "utf-8")
    sources = [(t, [events / t.name]) for t in (FEED_ACTIONS, MESSAGE_ACTIONS, USER_EVENTS)]
    sources.append((PAGE_EVENTS, [events / "visits.json"]))
    load_events(context, sources, ZoneInfo("UTC"), simulated=True)
    # Of the day when the events were made: midnight may pass meanwhile.
    first, last = context.today - timedelta(days=days), context.today - timedelta(days=1)
    context = begin(context.home.path)  # loading has set START_DATE
    check_days(context, first, last)
    run_days(context, METRICS_JOB, first, last, title=f"compute {days} days")
    out.print()
    # Into the folder even where Telegram is configured: simulated figures are nobody's news.
    for name in ("app_daily", "feed_daily"):
        folder = Recipient("folder", str(context.home.outbox), language=context.settings.locale)
        deliver_report(context, all_reports()[name], Period(last, last), office=context.office([folder]), again=True)
    rows = context.warehouse().rows(slices_between(last, last))
    shown = [r for name in _SHORT for r in rows if r["dimension"] == name]
    out.print()
    show_table([{n: r[n] for n in _SHOWN} for r in shown], title=f"metrics/daily_slices, {last} (of {len(rows)} rows)")
    show_scoreboard(context, first, last)
    where = "" if home is None else f" --home {context.home.path}"
    out.print(f"\nall slices  analytics-platform slices --from {last} --to {last}{where}", markup=False)
    campaign = _day_of("campaign", events / "truth.csv")
    if campaign:
        hint = f"analytics-platform report app --date {campaign} --dry-run{where}"
        out.print(f"a busy day  {hint}  (others: {events / 'truth.csv'})", markup=False)
    spike = _moment_of("spike", events / "truth.csv")
    if spike:
        out.print(f"an alert    analytics-platform alerts check --at {spike}{where}", markup=False)
    out.print(f"the UI      analytics-platform serve{where}, then open http://127.0.0.1:3000", markup=False)


def _moment_of(kind: str, truth: Path) -> str:
    """Half an hour into the last planted incident of that kind; empty when there is none."""
    with truth.open(encoding="utf-8", newline="") as stream:
        starts = [datetime.fromisoformat(row["start"]) for row in csv.DictReader(stream) if row["kind"] == kind]
    return f"{starts[-1] + timedelta(minutes=30):%Y-%m-%dT%H:%M}" if starts else ""


def _day_of(kind: str, truth: Path) -> str:
    """The first day of a planted incident of that kind; empty when there is none."""
    with truth.open(encoding="utf-8", newline="") as stream:
        days = [row["start"][:10] for row in csv.DictReader(stream) if row["kind"] == kind]
    return days[0] if days else ""


def _refuse_real_events(context: Context) -> None:
    """Never mix simulated events into somebody's own."""
    held = f"{context.home.path} holds events of yours; give the demo another home: --home DIR"
    if context.home.own_events.exists():
        raise JobError(held)
    warehouse = context.warehouse()
    tables = () if _simulated(context, warehouse.place) else EVENT_TABLES
    if any(warehouse.rows(compose("event_span", table=t.name))[0]["rows"] for t in tables):
        if context.settings.warehouse_url:
            held = f"{warehouse.place}: it holds events of yours; name another database in WAREHOUSE_URL"
        raise JobError(held)


def _simulated(context: Context, place: str) -> bool:
    """Whether the events there are of an earlier demo of this home.

    A warehouse of its own goes with the home; one that WAREHOUSE_URL names may be somebody else's next time.
    """
    mark = _mark(context)
    if context.settings.warehouse_url is None:
        return mark.parent.exists()
    return mark.exists() and mark.read_text("utf-8") == place


def _mark(context: Context) -> Path:
    """Names the warehouse that the demo's events went into."""
    return context.home.path / "generated" / "warehouse.txt"
