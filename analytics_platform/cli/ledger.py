"""`reports`: what the run ledger knows of every report: list, history, reset.

Belongs here: printing the ledger and changing it on a person's word. Does not: building or sending (`cli/reports.py`).
"""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from analytics_platform.cli.console import JobError, out, show_list
from analytics_platform.cli.context import Context, HomeOption, begin
from analytics_platform.reports import all_reports

if TYPE_CHECKING:
    from analytics_platform.state.runs import RunLedger

app = typer.Typer(help="The run ledger: which reports went out, which wait and why.", no_args_is_help=True)

_Name = Annotated[str, typer.Argument(metavar="NAME", help="The report, such as feed_daily.")]


@app.command("list")
def list_reports(home: HomeOption = None) -> None:
    """Every report with its cadence, its last period and how that stands.

    Example: `analytics-platform reports list`
    """
    context = begin(home)
    ledger = _ledger(context)
    rows = []
    for name, report in all_reports().items():
        newest = next(iter(ledger.entries(name, limit=1)), None)
        rows.append(
            {
                "report": name,
                "frequency": report.cadence.frequency.value,
                "scheduled": "yes" if name in context.settings.reports else "no",
                "period": str(newest.period) if newest else "never ran",
                "status": newest.status.value if newest else "",
                "since": context.local(newest.updated_at) if newest else "",
                "reason": newest.reason if newest else "",
            }
        )
    show_list(rows)


@app.command("history")
def history(
    name: _Name,
    period: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], metavar="YYYY-MM-DD", help="Every step of the period that ends then."),
    ] = None,
    limit: Annotated[int, typer.Option(help="How many periods.", min=1)] = 30,
    home: HomeOption = None,
) -> None:
    """The report's periods, the newest first: status, tries, when, why.

    Example: `analytics-platform reports history feed_daily --limit 10`
    """
    context = begin(home)
    name = _known(name)
    ledger = _ledger(context)
    if period:
        steps = ledger.history(name, period.date())
        if not steps:
            raise JobError(f"the ledger knows nothing of {name} for the period that ends on {period.date()}")
        show_list(
            [
                {
                    "moment": context.local(step.moment),
                    "status": step.status.value,
                    "run": step.run_id[:8],
                    "reason": step.reason,
                }
                for step in steps
            ]
        )
        return
    rows = [
        {
            "period": str(entry.period),
            "status": entry.status.value,
            "tries": entry.attempts,
            "started": context.local(entry.started_at),
            "finished": context.local(entry.finished_at),
            "corrected": context.local(entry.corrected_at),
            "reason": entry.reason,
        }
        for entry in ledger.entries(name, limit=limit)
    ]
    if not rows:
        out.print(f"{name} has never run", markup=False)
    show_list(rows)


@app.command("reset")
def reset(
    name: _Name,
    period: Annotated[
        datetime, typer.Option(formats=["%Y-%m-%d"], metavar="YYYY-MM-DD", help="The last day of the period.")
    ],
    home: HomeOption = None,
) -> None:
    """Forget that a period was delivered or given up: it is due again and goes out once more.

    Example: `analytics-platform reports reset feed_daily --period 2026-11-20`
    """
    context = begin(home)
    name = _known(name)
    from analytics_platform.defs.claims import gone
    from analytics_platform.defs.office import let_go
    from analytics_platform.state.runs import Status

    ledger = _ledger(context)
    entry = ledger.entry(name, period.date())
    if entry is None:
        raise JobError(f"the ledger knows nothing of {name} for the period that ends on {period.date()}")
    if entry.status is Status.RUNNING:
        ledger.release_dead(datetime.now(UTC), gone)
    again = ledger.reset(name, period.date(), datetime.now(UTC))
    if again:
        let_go(context.office().ledgers, again)
    verb = all_reports()[name].verb
    out.print(
        f"{name} of {entry.period} was {entry.status.value} and is due again; "
        f"now: analytics-platform report {verb} --date {entry.period.last}",
        markup=False,
    )


def _known(name: str) -> str:
    """The report's name, given that or its verb. BadParameter when there is none."""
    for report in all_reports().values():
        if name in (report.name, report.verb):
            return report.name
    raise typer.BadParameter(f"there is no report {name}; there are {', '.join(all_reports())}")


def _ledger(context: Context) -> "RunLedger":
    from analytics_platform.defs.resources import ledgers_of

    return ledgers_of(context.home, context.settings).runs
