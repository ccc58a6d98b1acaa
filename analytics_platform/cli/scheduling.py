"""`schedule`: what is due now, looked at or done in one pass. `health`: whether all of it works.

Belongs here: the verbs. Does not: deciding (`agenda.py`), the daemon's sensor (`defs/availability.py`).
"""

import json
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from analytics_platform.cli.console import JobError, err, out, show_list
from analytics_platform.cli.context import Context, HomeOption, begin, run_days
from analytics_platform.reports import all_reports

if TYPE_CHECKING:
    from analytics_platform.agenda import Decision
    from analytics_platform.defs.office import Office

# Rounds of a pass: each does at least one thing; a backlog takes two a period.
_ROUNDS = 100


def schedule(
    test: Annotated[bool, typer.Option("--test", help="Only say what would happen.")] = False,
    at: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M", "%Y-%m-%d"],
            metavar="'YYYY-MM-DD HH:MM'",
            help="As if it were then, in TIMEZONE; with --test.",
        ),
    ] = None,
    home: HomeOption = None,
) -> None:
    """One pass over all scheduled reports: those that are due and whose data is there are computed and delivered.

    The daemon does this every minute; without it, let cron call this. With --test nothing is generated or stored.

    Example: `analytics-platform schedule --test --at '2026-11-21 11:00'`
    """
    if at and not test:
        raise typer.BadParameter("--at goes with --test")
    context = begin(home)
    _check(context)
    if test:
        moment = at.replace(tzinfo=context.settings.zone) if at else None
        rows = [_shown(context, decision) for decision in _decisions(context, moment)]
        for row in rows:
            out.print(f"{row.pop('report')}", style="bold", markup=False)
            for name, value in row.items():
                out.print(f"  {name:<12}{value}", markup=False)
        if not rows:
            out.print("no report is scheduled: name some in REPORTS", markup=False)
        return
    _pass(context)


def _check(context: Context) -> None:
    """Raise SettingsError when REPORTS or REPORT_OWNERS names a report that there is not."""
    from analytics_platform.definitions import check_reports

    check_reports(context.settings, all_reports())


def _decisions(context: Context, moment: datetime | None) -> "list[Decision]":
    from analytics_platform.agenda import decide
    from analytics_platform.defs.claims import now
    from analytics_platform.defs.resources import ledgers_of
    from analytics_platform.defs.sight import HomeSight, rules_of

    moment = moment or now()
    ledgers = ledgers_of(context.home, context.settings)
    sight = HomeSight(ledgers, context.warehouse(), context.settings, moment)
    rules = rules_of(context.settings)
    return [decide(all_reports()[name], sight, rules, moment) for name in context.settings.reports]


def _shown(context: Context, decision: "Decision") -> dict[str, Any]:
    from analytics_platform.defs.resources import ledgers_of
    from analytics_platform.state.runs import Status

    runs = ledgers_of(context.home, context.settings).runs
    done = runs.entries(decision.report, statuses=(Status.DELIVERED, Status.PRELIMINARY), limit=1)
    due_at = decision.due_at.astimezone(context.settings.zone)
    return {
        "report": decision.report,
        "last period": f"{done[0].period} ({done[0].status.value})" if done else "none delivered yet",
        "next run": f"{'due since ' if decision.due else ''}{due_at:%Y-%m-%d %H:%M}, for {decision.period}",
        "behind": f"{decision.backlog - 1} more periods are due" if decision.backlog > 1 else "no",
        "due": ("yes, overdue" if decision.overdue else "yes") if decision.due else "no",
        "data": decision.missing or ("complete" if decision.due else "not looked at"),
        "would": f"{decision.action.value}: {decision.reason}",
    }


def _pass(context: Context) -> None:
    """Do what the daemon would do, in this process, until nothing more is to be done now."""
    from analytics_platform.defs.availability import look
    from analytics_platform.defs.claims import SUBJECT, now
    from analytics_platform.defs.followups import correction_requests
    from analytics_platform.defs.owner import close_recovered, tell
    from analytics_platform.defs.running import instance_of
    from analytics_platform.defs.sight import Desk

    office = context.office()
    ledgers = office.ledgers
    desk = Desk(all_reports(), context.settings, ledgers, context.warehouse())
    done: set[str] = set()
    failures: list[str] = []
    lines: list[str] = []
    errors: list[str] = []
    failures += _deliveries(context, office)
    for _ in range(_ROUNDS):
        moment = now()
        with instance_of(context.home) as instance:
            found = look(desk, instance, moment)
            more, errors, _cursor = correction_requests(desk, instance, moment, None, found.requests)
        lines = [*found.errors, *errors, *found.lines]
        # What was started in this pass and is asked for again has failed.
        requests = [r for r in (*found.requests, *more) if r.run_key not in done]
        if not requests:
            break
        for request in requests:
            done.add(str(request.run_key))
            key = request.partition_key
            tags = dict(request.tags)
            first = key or tags.pop("dagster/asset_partition_range_start", None)
            last = key or tags.pop("dagster/asset_partition_range_end", None)
            subject = str(request.tags.get(SUBJECT, ""))
            try:
                run_days(
                    context,
                    str(request.job_name),
                    first,
                    last,
                    title=f"{request.job_name} {first or ''}".strip(),
                    tags=tags,
                    run_config=request.run_config,
                )
                if subject:
                    out.print(f"{subject.replace('/', ' ')}: delivered", markup=False)
            except JobError as error:
                failures.append(f"{request.job_name}: {error}")
                # A report's failure is in the ledger: it is tried again, and told when it is given up.
                if not subject:
                    ledgers.problems.record(f"job {request.job_name}", "failed", str(error), now())
    for line in lines:
        out.print(line, markup=False)
    with instance_of(context.home) as instance:
        close_recovered(instance, ledgers, now())
    for line in tell(office, now()).lines:
        err.print(line, markup=False)
    if failures or found.errors or errors:
        raise JobError("\n".join([*failures, *found.errors, *errors]))


def _deliveries(context: Context, office: "Office") -> list[str]:
    """Go on with what could not be sent before; what went wrong."""
    from analytics_platform.defs.claims import now
    from analytics_platform.defs.deliveries import DUE_JOB, due, forget, left_for_later, see_to, see_to_paused

    forget(office, now())
    for line in (*see_to(office, now()), *see_to_paused(office)):
        out.print(line, markup=False)
    if not due(office, now()):
        if office.ledgers.deliveries.waiting(now()):
            out.print(left_for_later(office, now()), markup=False)
        return []
    try:
        run_days(context, DUE_JOB, None, None, title="go on with deliveries")
    except JobError as error:
        return [str(error)]
    return []


def health(
    as_json: Annotated[bool, typer.Option("--json", help="For other programs.")] = False,
    tell_owner: Annotated[bool, typer.Option("--tell", help="Also tell the owners what is wrong.")] = False,
    dismiss: Annotated[str, typer.Option(metavar="SUBJECT", help="Close a problem that nobody will mend.")] = "",
    home: HomeOption = None,
) -> None:
    """Whether reports go out as they should: exit code 0 when all is well, 1 when something is wrong.

    Let cron call it on another machine than the daemon's, or with --tell on the same: a daemon that is gone tells
    nobody.

    Example: `analytics-platform health --json`
    """
    context = begin(home)
    _check(context)
    from analytics_platform.defs.claims import now
    from analytics_platform.defs.health import examine
    from analytics_platform.defs.owner import close_recovered, tell
    from analytics_platform.defs.resources import ledgers_of
    from analytics_platform.defs.running import instance_of
    from analytics_platform.defs.sight import Desk

    ledgers = ledgers_of(context.home, context.settings)
    moment = now()
    desk = Desk(all_reports(), context.settings, ledgers, context.warehouse())
    if dismiss and not ledgers.problems.resolve(dismiss, moment, "dismissed"):
        raise JobError(f"there is no open problem {dismiss!r}")
    with instance_of(context.home) as instance:
        close_recovered(instance, ledgers, moment)
        findings = examine(desk, instance, moment)
    wrong = [f for f in findings if not f.well]
    if as_json:
        out.print_json(
            json.dumps(
                {
                    "healthy": not wrong,
                    "moment": moment.isoformat(),
                    "checks": [{"name": f.name, "well": f.well, "says": f.says} for f in findings],
                }
            )
        )
    else:
        show_list([{"check": f.name, "state": "ok" if f.well else "WRONG", "says": f.says} for f in findings])
    if tell_owner:
        for finding in findings:
            # What only this look can know becomes a problem like any other, and is closed when it is over.
            if finding.subject and not finding.well:
                ledgers.problems.record(finding.subject, "missing", finding.says, moment)
            elif finding.subject:
                ledgers.problems.resolve(finding.subject, moment, finding.says, kind="missing")
        for line in tell(context.office(), moment).lines:
            err.print(line, markup=False)
    if wrong:
        raise typer.Exit(1)
