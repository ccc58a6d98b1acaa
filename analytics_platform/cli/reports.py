"""`report`: build a report and deliver it.

Belongs here: a command per report there is, and what it prints. Does not: the ledger's verbs (`cli/ledger.py`).
"""

import datetime as dt
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from analytics_platform.cadence import Period, last_complete
from analytics_platform.cli.console import JobError, counted, err, out
from analytics_platform.cli.context import Context, HomeOption, begin, run_days
from analytics_platform.cli.slices import check_days
from analytics_platform.messages import Message, Text
from analytics_platform.reports import all_reports
from analytics_platform.reports.base import Report

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analytics_platform.defs.office import Office
    from analytics_platform.state.parts import Part

# More recipients than these are counted, not named.
_SHOWN = 10

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
    office: "Office | None" = None,
) -> None:
    """Bring the days it reads up to date, build the report, deliver it, and print what was said and to whom.

    Raises JobError when there is nothing to report, another process is at it, or something has not arrived. What was
    delivered before is not sent again unless `again`; that is said.
    """
    from analytics_platform.artifacts import Artifacts
    from analytics_platform.defs.claims import AGAIN
    from analytics_platform.defs.deliveries import DUE_JOB
    from analytics_platform.defs.partitions import key_of
    from analytics_platform.defs.reports import built
    from analytics_platform.defs.schedules import METRICS_JOB, report_job
    from analytics_platform.state.runs import Status

    office = office or _office(context, report, folder)
    runs = office.ledgers.runs
    before = runs.entry(report.name, period.last)
    if before and before.status in (Status.DELIVERED, Status.PRELIMINARY, Status.SENDING) and not (again or dry_run):
        when = f" on {context.local(before.finished_at).replace(' ', ' at ')}" if before.finished_at else ""
        if before.status is Status.SENDING and before.delivery:
            out.print(f"{report.name} of {period} was handed over{when}; what is left is sent now", markup=False)
            config = {"topic": report.name, "period": before.delivery}
            title = f"go on with {report.name}"
            with _advised(office, report, period):
                run_days(
                    context, DUE_JOB, None, None, title=title, office=office, run_config=_op("send_what_is_due", config)
                )
            _print_receipts(office, report, period)
        else:
            out.print(f"{report.name} of {period} was delivered{when}; --again sends it once more", markup=False)
            with _advised(office, report, period):
                _complain(office, report, period)
        return
    stale = _prepare(context, report, period)
    if stale:
        title = f"compute {counted(len(stale), 'day')}"
        run_days(context, METRICS_JOB, stale[0], stale[-1], title=title)
    key = key_of(report, period)
    if dry_run:
        # Not through the delivery asset: its receipt says who really got the report.
        without = f"deliveries/{report.name}"
        run_days(context, report_job(report), key, key, title=f"build {report.name}", without=without)
    else:
        _older_first(context, office, report)
        tags = {AGAIN: "yes"} if again else {}
        title = f"build and deliver {report.name}"
        with _advised(office, report, period):
            run_days(context, report_job(report), key, key, title=title, office=office, tags=tags)
    messages = built(report, period, Artifacts(context.home.artifacts))
    for message in next(iter(messages.values())):
        if isinstance(message, Text):
            out.print(message.plain, markup=False)
            out.print()
    if dry_run:
        _write(folder or context.home.preview, report, period, messages)
        return
    _print_receipts(office, report, period)


def _write(folder: Path, report: Report[Any], period: Period, messages: Mapping[str, "Sequence[Message]"]) -> None:
    """Every language into a folder of its own. Raises JobError when it cannot be written."""
    from analytics_platform.channels.folder import write

    for code, spoken in messages.items():
        name = f"{report.name}/{period.last}" + (f" {code}" if len(messages) > 1 else "")
        try:
            write(folder.resolve() / name, spoken, title=name)
        except OSError as error:
            raise JobError(f"the folder {folder / name} cannot be written: {error.strerror or error}") from None
        out.print(f"written to {folder / name}", markup=False)


@contextmanager
def _advised(office: "Office", report: Report[Any], period: Period) -> Iterator[None]:
    """A failure of the delivery also says what it waits for: a person's word, or an earlier delivery."""
    from analytics_platform.defs.claims import now
    from analytics_platform.delivery import Delivered

    try:
        yield
    except JobError as error:
        name, parts = _delivery(office, report, period)
        lines = [str(error)]
        if not all(part.unfinished for part in Delivered(tuple(parts)).trouble):
            again = f"analytics-platform deliveries resend {report.name} {shlex.quote(name)}"
            lines.append(f"What failed or is held is sent again with: {again}")
        waiting = {part.recipient for part in parts if part.unfinished}
        if waiting & office.ledgers.deliveries.behind(report.name, name, now()):
            which = f"analytics-platform deliveries list --report {report.name} --troubled"
            lines.append(f"What has not been tried waits for an earlier delivery to the same recipient: {which}")
        raise JobError("\n".join(lines)) from None


def _complain(office: "Office", report: Report[Any], period: Period) -> None:
    """Raise JobError when a delivery that is over has not arrived everywhere for certain."""
    from analytics_platform.delivery import Delivered

    done = Delivered(tuple(_delivery(office, report, period)[1]))
    if done.trouble:
        raise JobError(done.summary())


def _delivery(office: "Office", report: Report[Any], period: Period) -> "tuple[str, Sequence[Part]]":
    """What the delivery of the period is called in the ledger, and its parts; none before it was handed over."""
    entry = office.ledgers.runs.entry(report.name, period.last)
    if entry is None:
        return "", ()
    name = entry.delivery or entry.key
    return name, office.ledgers.deliveries.parts(report.name, name)


def _older_first(context: Context, office: "Office", report: Report[Any]) -> None:
    """What is left of older deliveries of the report goes first: its recipients would wait for it otherwise."""
    from analytics_platform.defs.claims import now
    from analytics_platform.defs.deliveries import DUE_JOB, left_of

    for period in left_of(office, report.name, now()):
        config = {"topic": report.name, "period": period}
        title = f"go on with {report.name} {period}"
        try:
            run_days(
                context, DUE_JOB, None, None, title=title, office=office, run_config=_op("send_what_is_due", config)
            )
        except JobError as error:
            err.print(f"note: {error}", markup=False)


def _op(name: str, config: Mapping[str, str]) -> dict[str, Any]:
    return {"ops": {name: {"config": dict(config)}}}


def _print_receipts(office: "Office", report: Report[Any], period: Period) -> None:
    """To whom it went and to whom not: a line a recipient, or how many there were."""
    from analytics_platform.delivery import name
    from analytics_platform.state.parts import State

    delivery, parts = _delivery(office, report, period)
    sent: dict[str, list[str]] = {}
    left: dict[str, str] = {}
    for part in parts:
        whole = part.channel == "folder"
        target = str(Path(part.address) / part.topic / delivery.partition(" #")[0]) if whole else name(part)
        if part.state is State.SENT:
            sent.setdefault(target, []).extend([] if whole else [part.part])
        else:
            left.setdefault(target, part.error)
    more = f"analytics-platform deliveries show {report.name} {shlex.quote(delivery)}"
    if len(sent) > _SHOWN:
        out.print(f"sent to {len(sent)} recipients; {more}", markup=False)
    else:
        for target, what in sent.items():
            out.print(f"sent to {target}{': ' if what else ''}{', '.join(what)}", markup=False)
    if len(left) > _SHOWN:
        err.print(f"note: {len(left)} recipients did not get all of it; {more}", markup=False)
    else:
        for target, why in left.items():
            err.print(
                f"note: {target} {'did not get all of it' if target in sent else 'did not get it'}, {why}", markup=False
            )


def _office(context: Context, report: Report[Any], folder: Path | None) -> "Office":
    """The home's, and a folder besides when one is asked for."""
    from analytics_platform.channels.base import NobodyError, Recipient

    office = context.office()
    if folder is None:
        return office
    try:
        others = [one for one in office.recipients(report.name) if one.channel != "folder"]
    except NobodyError as error:
        err.print(f"note: {error}", markup=False)
        others = []
    place = Recipient("folder", str(folder.resolve()), language=context.settings.locale, zone=context.settings.zone)
    return context.office([*others, place])


def _prepare(context: Context, report: Report[Any], period: Period) -> "Sequence[dt.date]":
    """The days to be computed first. Says what the data lacks; raises JobError when there is none at all."""
    from analytics_platform.defs.claims import now
    from analytics_platform.defs.resources import ledgers_of
    from analytics_platform.defs.sight import HomeSight
    from analytics_platform.metrics.facts import event_totals

    warehouse = context.warehouse()
    sight = HomeSight(ledgers_of(context.home, context.settings), warehouse, context.settings, now())
    days = period.days if report.sources else ()
    totals = [warehouse.rows(event_totals(day, context.settings.zone))[0] for day in days]
    wanted = {"feed_actions": "feed_actions", "message_actions": "messages_sent"}
    if report.sources and not any(row[wanted[source]] for row in totals for source in report.sources):
        kinds = " or ".join("feed" if source == "feed_actions" else "message" for source in report.sources)
        options = " ".join("--feed FILE" if s == "feed_actions" else "--messages FILE" for s in report.sources)
        raise JobError(f"{period} has no {kinds} events: load them first, analytics-platform load {options}")
    answer = sight.gate(report, period)
    if answer.missing:
        err.print(f"note: the data looks incomplete: {answer}", markup=False)
    return sight.outdated(report, period)
