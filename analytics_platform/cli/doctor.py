"""`doctor`: settings, connections and data, what is missing, and the remedy for each."""

import shutil
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from difflib import get_close_matches
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer

from analytics_platform.cli.console import counted, out
from analytics_platform.cli.context import Context, HomeOption, begin
from analytics_platform.cli.doctor_outside import outside
from analytics_platform.cli.finding import Finding
from analytics_platform.metrics.events import EVENT_TABLES, METRIC_TABLES
from analytics_platform.metrics.tables import APP_DAILY, FEED_DAILY
from analytics_platform.metrics.windows import days, local_day
from analytics_platform.queries import compose
from analytics_platform.settings import HOME_VARIABLE, Home, Settings
from analytics_platform.warehouses.base import WarehouseError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analytics_platform.channels.base import Recipient
    from analytics_platform.defs.office import Office

_SIGNS = {"ok": "[green]ok     [/green]", "note": "[yellow]note   [/yellow]", "problem": "[red]PROBLEM[/red]"}
_CLIENTS = {"duckdb": "duckdb", "clickhouse": "clickhouse-connect"}
_ENOUGH_DISK = 1 << 30


def doctor(home: HomeOption = None) -> None:
    """Check settings, warehouse, data and delivery; say what is missing and what to do. Exit code 1 on a problem.

    Example: `analytics-platform doctor`
    """
    context = begin(home)
    problems = 0
    looked_at = (_settings, _disk, _data, _delivery, _owners, outside)
    for finding in (finding for look in looked_at for finding in look(context)):
        out.print(_SIGNS[finding.state], end=" ")
        out.print(finding.what, markup=False)
        if finding.remedy:
            out.print(f"        -> {finding.remedy}", markup=False)
        problems += finding.state == "problem"
    if problems:
        raise typer.Exit(1)


def _settings(context: Context) -> Iterator[Finding]:
    from analytics_platform.defs.resources import engine_of

    python = ".".join(map(str, sys.version_info[:3]))
    versions = ", ".join(
        f"{name} {_version(name)}" for name in ("analytics-platform", "dagster", _CLIENTS[engine_of(context.settings)])
    )
    yield Finding("ok", f"Python {python}, {versions}")
    settings = context.settings
    yield Finding(
        "ok",
        f"settings: TIMEZONE {settings.timezone}, LOCALE {settings.locale}, START_DATE {settings.start_date}, "
        f"reports at {settings.report_time:%H:%M}",
    )
    for name, meant, place in _misspelt(context.home):
        yield Finding("note", f"{name} in {place} is no setting", f"write {meant}")
    if "timezone" not in settings.model_fields_set:
        yield Finding("note", "TIMEZONE is not set, days are cut in UTC", "set TIMEZONE, for example Europe/Moscow")


def _owners(context: Context) -> Iterator[Finding]:
    """The run ledger, the scheduled reports, and who is told of problems."""
    from analytics_platform.channels.base import ChannelError
    from analytics_platform.definitions import check_reports
    from analytics_platform.defs.resources import ledgers_of, mail_server
    from analytics_platform.reports import all_reports
    from analytics_platform.settings import SettingsError
    from analytics_platform.state.database import StateError

    settings = context.settings
    try:
        check_reports(settings, all_reports())
        problems = ledgers_of(context.home, settings).problems.open()
        scheduled = ", ".join(settings.reports) or "none"
        yield Finding("ok", f"run ledger opens; scheduled reports: {scheduled}")
        if problems:
            yield Finding("note", f"{counted(len(problems), 'open problem')}", "analytics-platform health")
        yield _alerts(context)
    except (SettingsError, StateError) as error:
        yield Finding("problem", str(error), "docs/settings.md")
    if not (settings.owners or settings.report_owners):
        remedy = "set OWNER_EMAILS or OWNER_TELEGRAM_CHAT_IDS (docs/scheduling.md)"
        yield Finding("note", "nobody is told when a report fails or is late", remedy)
        return
    wanted = {*settings.owners, *(who for owners in settings.report_owners.values() for who in owners)}
    yield Finding("ok", f"problems are told to {', '.join(sorted(wanted))}")
    mails = [who for who in wanted if "@" in who and not who.startswith("@")]
    if not mails:
        return
    if settings.smtp_host is None or settings.smtp_from is None:
        yield Finding("problem", f"{mails[0]} cannot be told: no mail server", "set SMTP_HOST and SMTP_FROM")
        return
    from analytics_platform.channels.email import EmailChannel

    try:
        said = EmailChannel(mail_server(settings, settings.smtp_host, settings.smtp_from)).check()
        yield Finding("ok", f"mail: {said}")
    except ChannelError as error:
        yield Finding("problem", f"mail: {error}", "docs/scheduling.md")


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "(not installed, run from its folder)"


def _disk(context: Context) -> Iterator[Finding]:
    path = context.home.path
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / ".doctor"
        probe.write_text("", "utf-8")
        probe.unlink()
    except OSError as error:
        yield Finding("problem", f"home {path} cannot be written: {error.strerror}", "choose another: --home DIR")
        return
    free = shutil.disk_usage(path).free
    state: Literal["ok", "note"] = "ok" if free > _ENOUGH_DISK else "note"
    yield Finding(state, f"home {path}, {free / (1 << 30):.1f} GiB free", "" if state == "ok" else "make room")


def _data(context: Context) -> Iterator[Finding]:
    try:
        warehouse = context.warehouse()
        yield Finding("ok", f"warehouse opens: {warehouse.place}")
        complaints = warehouse.check()
        for complaint in complaints:
            yield Finding("problem" if complaint.fatal else "note", complaint.what, complaint.remedy)
        if any(complaint.fatal for complaint in complaints):
            return
        for table in EVENT_TABLES:
            [row] = warehouse.rows(compose("event_span", table=table.name))
            last = row["last_time"]
            if not isinstance(last, datetime):
                if table.optional:
                    continue
                option = "--feed" if table.name.startswith("feed") else "--messages"
                remedy = f"analytics-platform load {option} FILE, or analytics-platform demo (docs/loading.md)"
                yield Finding("note", f"{table.name} is empty", remedy)
                continue
            day = local_day(last, context.settings.zone)
            yield Finding("ok", f"{table.name}: {row['rows']:,} rows, last event {last:%Y-%m-%d %H:%M} UTC")
            yesterday = context.today - timedelta(days=1)
            if day < yesterday:
                yield Finding("note", f"{table.name} ends on {day}, yesterday is {yesterday}", "load newer files")
        yield from _results(context)
    except WarehouseError as error:
        yield Finding("problem", str(error))


def _results(context: Context) -> Iterator[Finding]:
    first, last = context.settings.start_date, context.today - timedelta(days=1)
    warehouse = context.warehouse()
    if not any(warehouse.rows(compose("event_span", table=t.name))[0]["rows"] for t in METRIC_TABLES):
        return
    frames = (FEED_DAILY, APP_DAILY)
    computed = set.intersection(*(set(warehouse.computed_days(frame, first, last)) for frame in frames))
    changed = sorted(computed.difference(*(warehouse.current_days(frame, first, last) for frame in frames)))
    total = sum(1 for _ in days(first, last))
    yield Finding(
        "ok" if computed else "note",
        f"results: {len(computed)} of {total} days since {first} computed",
        "" if computed else f"analytics-platform materialize --from {first} --to {last}",
    )
    if changed:
        yield Finding(
            "note",
            f"{counted(len(changed), 'computed day')} older than what they come from "
            "(events loaded since, or TIMEZONE or GENDER_LABELS changed)",
            f"analytics-platform materialize --from {changed[0]} --to {changed[-1]}",
        )


def _delivery(context: Context) -> Iterator[Finding]:
    """Where reports go: the ways, who gets what, and what has not arrived."""
    from analytics_platform.channels.base import ChannelError

    settings: Settings = context.settings
    if settings.delivery_channel == "folder":
        yield Finding("ok", f"reports go to the folder {context.home.outbox} (DELIVERY_CHANNEL=folder)")
        return
    if settings.telegram_chat_ids and not settings.telegram_bot_token:
        yield Finding("problem", "TELEGRAM_CHAT_IDS is set, but no bot", "set TELEGRAM_BOT_TOKEN (docs/telegram.md)")
        return
    office = context.office()
    wanted: dict[str, Sequence[Recipient]] = {}
    for name in office.reports:
        try:
            wanted[name] = office.recipients(name)
        except ChannelError as error:
            # What does not go out by itself need not have anybody who gets it.
            if name in settings.reports:
                yield Finding("problem", f"{name}: {error}", "docs/delivery.md")
    everybody = {one.key: one for found in wanted.values() for one in found}
    scheduled = {name: found for name, found in wanted.items() if name in settings.reports or not settings.reports}
    folder = [name for name, found in scheduled.items() if any(one.channel == "folder" for one in found)]
    if folder:
        remedy = "analytics-platform subscribers add CHAT_OR_ADDRESS --all (docs/telegram.md)"
        yield Finding("ok", f"nobody subscribes to {', '.join(folder)}: into the folder {context.home.outbox}", remedy)
    ways = [way for way in ("telegram", "email") if any(one.channel == way for one in everybody.values())]
    if settings.telegram_bot_token and "telegram" not in ways:  # set up, and nobody subscribes yet
        ways.append("telegram")
    for way in ways:
        count = sum(one.channel == way for one in everybody.values())
        yield from _way(office, way, count)
    if "email" in ways and not settings.unsubscribe_url:
        remedy = "set UNSUBSCRIBE_URL (docs/delivery.md)"
        yield Finding("note", "mails to subscribers have no link that ends the subscription", remedy)
    paused = office.ledgers.subscribers.all(active=False)
    if paused:
        first = f"{paused[0]}: {paused[0].paused_reason}"
        remedy = f"analytics-platform subscribers resume {paused[0].id}"
        yield Finding("note", f"{counted(len(paused), 'paused subscriber')} ({first})", remedy)


def _way(office: "Office", way: str, count: int) -> Iterator[Finding]:
    from analytics_platform.channels.base import ChannelError

    try:
        channel = office.post.channel(way)
        said = (channel.check() if hasattr(channel, "check") else "works").rstrip(".")
        who = f"bot {said}" if way == "telegram" else said
        yield Finding("ok", f"{'Telegram' if way == 'telegram' else 'mail'}: {who}, {counted(count, 'recipient')}")
    except ChannelError as error:
        yield Finding("problem", f"{way}: {error}", "docs/telegram.md" if way == "telegram" else "docs/delivery.md")


def _alerts(context: Context) -> Finding:
    """How far metrics are judged, and how late events are taken to come."""
    from analytics_platform.alerts.lateness import Arrivals, lateness
    from analytics_platform.defs.resources import ledgers_of

    settings = context.settings
    if not settings.alerts:
        return Finding("ok", "alerts are off (ALERTS=false)")
    cursors, _ = ledgers_of(context.home, settings).incidents.standing()
    if not cursors:
        return Finding("ok", "alerts: nothing was judged yet; analytics-platform serve, or alerts run, does")
    minutes = settings.alert_lateness_minutes
    override = None if minutes is None else timedelta(minutes=minutes)
    said = [
        f"{source} to {context.local(one.judged_until)}, "
        f"{lateness(Arrivals.from_json(one.lateness), override) // timedelta(minutes=1)} min for late events"
        for source, one in sorted(cursors.items())
    ]
    return Finding("ok", f"alerts: judged {'; '.join(said)}")


def _misspelt(home: Home) -> list[tuple[str, str, Path]]:
    """(name, the setting it resembles, file) for lines of `.env` and the home's settings that set nothing."""
    known = [*(name.upper() for name in Settings.model_fields), HOME_VARIABLE]
    found = []
    for path in (Path(".env"), home.settings_file):
        lines = path.read_text("utf-8").splitlines() if path.is_file() else []
        for name in (line.partition("=")[0].strip().upper() for line in lines if not line.lstrip().startswith("#")):
            close = get_close_matches(name, known, n=1, cutoff=0.8)
            if close and name not in known:
                found.append((name, close[0], path))
    return found
