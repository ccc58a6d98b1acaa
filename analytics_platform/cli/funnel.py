"""`funnel`: people of a MODX site enter e-mail funnels; what came of it; what Brevo has not taken.

Belongs here: printing and acting on a person's word. Does not: what a sync does (`defs/funnel_syncs.py`), figures
(`funnels/conversion.py`). No address is ever printed: people are told apart by a hash.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from analytics_platform.cli.console import Bars, JobError, counted, err, out, show_list, show_table
from analytics_platform.cli.context import Context, HomeOption, begin
from analytics_platform.cli.funnel_adopt import adopt
from analytics_platform.cli.funnel_site import generate
from analytics_platform.funnels.records import JobStatus

if TYPE_CHECKING:
    from analytics_platform.defs.funnel_syncs import Stage
    from analytics_platform.funnels.conversion import Conversions
    from analytics_platform.state.funnels import FunnelLedger

app = typer.Typer(help="E-mail funnels: from a MODX site to lists in Brevo, and what came of it.", no_args_is_help=True)
outbox = typer.Typer(help="What Brevo is to be told.", no_args_is_help=True)
app.add_typer(outbox, name="outbox")
app.command("generate")(generate)
app.command("adopt")(adopt)

_DIGITS = {"conversion_%": 2, "low_%": 2, "high_%": 2, "median_days": 1}


@app.command("sync")
def sync(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be done, whatever APP_DRY_RUN says.")
    ] = False,
    home: HomeOption = None,
) -> None:
    """People who took a test enter their funnel, purchases are followed, Brevo is told.

    While APP_DRY_RUN is true (the default) nothing is written: neither here nor in Brevo.

    Example: `analytics-platform funnel sync --dry-run`
    """
    context = begin(home)
    stages: list[Stage] = []
    place = ""
    dry = dry_run or context.settings.app_dry_run
    try:
        with Bars() as bars:
            bars.begin("funnels")
            from analytics_platform.defs.funnel_syncs import Syncing, site_of
            from analytics_platform.defs.funnels import at_the_terminal
            from analytics_platform.defs.resources import ledgers_of

            ledgers = ledgers_of(context.home, context.settings)
            tell = _progress(bars)
            syncing = Syncing(context.settings, ledgers, context.warehouse, tell)
            place = site_of(context.settings).place
            stages.extend(syncing.preview() if dry else at_the_terminal(context.home, syncing))
            tell("funnels", 1, 1)
    finally:
        # What was done is said, also where the part after it ended in an error.
        why = "--dry-run" if dry_run else "APP_DRY_RUN is true"
        if stages:
            out.print(f"site: {place}{f'; dry run ({why}): nothing was written' if dry else ''}", markup=False)
        for line in (line for stage in stages for line in stage.lines):
            out.print(line, markup=False, soft_wrap=True)
    if failed := [f"{stage.name}: {stage.failure}" for stage in stages if stage.failure]:
        raise JobError("\n".join(failed))
    if dry and not dry_run:
        err.print("to do it: APP_DRY_RUN=false (docs/funnels.md)", markup=False)


def _progress(bars: Bars) -> "Callable[[str, int, int], None]":
    counting: list[str] = []  # what goes on, its size unknown

    def tell(what: str, done: int, total: int) -> None:
        while counting and counting[-1] != what:
            bars.finish(counting.pop())
        if total:
            bars.step(what, done, total)
        elif not counting:
            bars.begin(what)
            counting.append(what)

    return tell


@app.command("conversions")
def conversions(
    from_date: Annotated[
        datetime,
        typer.Option("--from-date", formats=["%Y-%m-%d"], metavar="YYYY-MM-DD", help="Entries of this day and later."),
    ],
    to_date: Annotated[
        datetime | None,
        typer.Option(
            "--to-date", formats=["%Y-%m-%d"], metavar="YYYY-MM-DD", help="Entries before this day. Default: all."
        ),
    ] = None,
    by: Annotated[Literal["test", "week"] | None, typer.Option(help="A table by test, or by week of entry.")] = None,
    csv_file: Annotated[
        Path | None, typer.Option("--csv", help="Write a CSV file with all columns besides.", dir_okay=False)
    ] = None,
    home: HomeOption = None,
) -> None:
    """How many of those who entered a funnel bought since: days are local ones (TIMEZONE), of the entry.

    Whoever had bought before is not among the entries, but told beside them.

    Example: `analytics-platform funnel conversions --from-date 2026-11-01 --by week`
    """
    context = begin(home)
    first, end = from_date.date(), to_date.date() if to_date else None
    if end is not None and end <= first:
        raise typer.BadParameter(f"--to-date {end} is not after --from-date {first}")
    from analytics_platform.funnels.conversion import lines

    moment = datetime.now(UTC)

    def found(by: Literal["test", "week"] | None) -> "Conversions":
        return _found(context, first, end, by, moment)

    total = found(None)
    for line in lines(total):
        out.print(line, markup=False)
    if total.groups:
        out.print()
        show_table(_rows(total if by is None else found(by)), digits=_DIGITS)
        if open_ := sum(group.open for group in total.groups):
            window = context.settings.funnel_attribution_days
            who = "1 person" if open_ == 1 else f"{open_:,} people"
            err.print(f"{who} entered less than {window:g} days ago and may still buy", markup=False)
    if csv_file:
        from analytics_platform.funnels.spreadsheet import written
        from analytics_platform.language import Language

        parts = [total, found("week"), found("test")]
        try:
            csv_file.write_bytes(written(parts, Language(context.settings.locale), bom=context.settings.csv_bom))
        except OSError as error:
            raise JobError(f"{csv_file} cannot be written: {error.strerror}") from None
        err.print(f"all columns, by week and by test as well: {csv_file}", markup=False)


def _found(
    context: Context, first: date, end: date | None, by: Literal["test", "week"] | None, as_of: datetime
) -> "Conversions":
    """The figures of entries from the local day `first` on and before the day `end`."""
    from analytics_platform.funnels.conversion import Row, conversions
    from analytics_platform.metrics.windows import day_start

    ledger, zone = _ledger(context), context.settings.zone
    # East of Greenwich the calendar's first day begins before the calendar: from it on is all there is.
    start = day_start(first, zone).replace(tzinfo=UTC) if first > date.min else None
    stop = day_start(end, zone).replace(tzinfo=UTC) if end else None
    entries = ledger.rows(start, stop) if ledger.exists() else ()
    attribution = context.settings.funnel_plan.attribution
    rows = (Row.of(entry) for entry in entries)
    return conversions(rows, zone=zone, as_of=as_of, attribution=attribution, by=by)


def _rows(found: "Conversions") -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for group in found.groups:
        low, high = group.interval or (None, None)
        rows.append(
            {
                "funnel": group.funnel.value,
                **({"week": str(group.week)} if found.by == "week" else {}),
                **({"test": "" if group.test_id is None else str(group.test_id)} if found.by == "test" else {}),
                "entries": group.entries,
                "purchased": group.purchased,
                "conversion_%": _percent(group.conversion),
                "low_%": _percent(low),
                "high_%": _percent(high),
                "median_days": group.median_days,
                "open": group.open,
                "already_customers": group.customers,
            }
        )
    return rows


def _percent(share: float | None) -> float | None:
    return None if share is None else round(share * 100, 2)


def _ledger(context: Context) -> "FunnelLedger":
    from analytics_platform.defs.resources import ledgers_of

    return ledgers_of(context.home, context.settings).funnels


@outbox.command("list")
def list_outbox(
    status: Annotated[
        list[JobStatus] | None, typer.Option(help="Only these; again for more. Default: all that is not over.")
    ] = None,
    limit: Annotated[int, typer.Option(help="How many at most.", min=1)] = 30,
    home: HomeOption = None,
) -> None:
    """What Brevo is still to be told, what it refused and why; people as hashes.

    Example: `analytics-platform funnel outbox list --status failed`
    """
    context = begin(home)
    from analytics_platform.funnels.person import hashed

    ledger = _ledger(context)
    if not ledger.exists():
        out.print("no sync has written yet, so there is nothing to be told", markup=False)
        return
    wanted = status or [one for one in JobStatus if one not in (JobStatus.SUCCESS, JobStatus.DROPPED)]
    counts = ledger.counts()
    jobs = ledger.jobs(wanted, limit)
    out.print(", ".join(f"{counts.get(one, 0):,} {one}" for one in JobStatus), markup=False)
    show_list(
        [
            {
                "id": job.id,
                "person": hashed(job.email),
                "what": job.operation.value,
                "status": job.status.value,
                "retries": job.retries,
                "next try": context.local(job.next_attempt_at) if job.status is JobStatus.PENDING else "",
                "created": context.local(job.created_at),
                "last trouble": job.last_error,
            }
            for job in jobs
        ]
    )
    if len(jobs) == limit and limit < sum(counts.get(one, 0) for one in wanted):
        err.print("there are more: --limit shows them", markup=False)


_Id = Annotated[
    list[int] | None,
    typer.Argument(metavar="[ID]...", help="As `funnel outbox list` shows them.", min=1, max=2**63 - 1),
]


@outbox.command("retry")
def retry(
    ids: _Id = None,
    every: Annotated[bool, typer.Option("--all", help="All that failed.")] = False,
    home: HomeOption = None,
) -> None:
    """What failed, or is stuck in an import, is told once more by the next sync.

    Example: `analytics-platform funnel outbox retry --all`
    """
    context = begin(home)
    if bool(ids) == every:
        raise typer.BadParameter("name some ids, or --all")
    ledger = _ledger(context)
    number = ledger.retry(ids or None, datetime.now(UTC)) if ledger.exists() else 0
    _told(ids, number, "failed")
    when = "the next sync" if not context.settings.app_dry_run else "the next sync with APP_DRY_RUN=false"
    out.print(f"{counted(number, 'job')} handed to {when}", markup=False)
    if ids and not number:
        raise typer.Exit(1)


@outbox.command("drop")
def drop(ids: _Id = None, home: HomeOption = None) -> None:
    """What failed or waits is given up: Brevo is not told of it.

    Example: `analytics-platform funnel outbox drop 12`
    """
    context = begin(home)
    if not ids:
        raise typer.BadParameter("name the ids of jobs, as `funnel outbox list` shows them")
    ledger = _ledger(context)
    number = ledger.drop(ids, datetime.now(UTC)) if ledger.exists() else 0
    _told(ids, number, "failed or wait")
    out.print(f"{counted(number, 'job')} given up", markup=False)
    if not number:
        raise typer.Exit(1)


def _told(ids: list[int] | None, number: int, state: str) -> None:
    if ids and number < len(set(ids)):
        err.print(f"{len(set(ids)) - number} of the ids are not among those that {state}", markup=False)
