"""`alerts calendar`: holidays, releases and expected events.

Belongs here: reading what a person writes, and printing. Does not: what an entry changes (`alerts/occasions.py`).
"""

from datetime import datetime, timedelta
from typing import Annotated

import typer

from analytics_platform.cli.console import JobError, out, show_list
from analytics_platform.cli.context import Context, HomeOption, begin, whoever

app = typer.Typer(help="Holidays, releases and expected events, by which alerts go.", no_args_is_help=True)

_FORMATS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"]
_KINDS = ("holiday", "release", "expected")
_Moment = Annotated[
    datetime, typer.Option("--from", formats=_FORMATS, metavar="MOMENT", help="Day, or 2026-11-20T14:00; in TIMEZONE.")
]


@app.command("add")
def add(
    name: Annotated[str, typer.Argument(help="What it is, for readers: New Year, release 3.2.")],
    first: _Moment,
    last: Annotated[
        datetime | None,
        typer.Option("--to", formats=_FORMATS, metavar="MOMENT", help="Its end. Default: of the same day."),
    ] = None,
    kind: Annotated[str, typer.Option(help=f"One of {', '.join(_KINDS)}.")] = "holiday",
    metric: Annotated[list[str] | None, typer.Option(help="Only these metrics; may be repeated.")] = None,
    slack: Annotated[
        float | None,
        typer.Option(
            help="How many times larger a deviation may be meanwhile. Default: 2; of a release 1.", min=1, max=100
        ),
    ] = None,
    home: HomeOption = None,
) -> None:
    """Enter a holiday, a release or something expected: alerts leave more room, and learn nothing from that time.

    A day named by `--to` belongs to it. A release is only shown beside incidents that begin near it, unless `--slack`
    says more: right after one is when alerts are wanted most.

    Example: `analytics-platform alerts calendar add "New Year" --from 2026-12-31 --to 2027-01-02`
    """
    if kind not in _KINDS:
        raise typer.BadParameter(f"--kind {kind}: say one of {', '.join(_KINDS)}")
    context = begin(home)
    from analytics_platform.alerts.occasions import Occasion, OccasionKind
    from analytics_platform.defs.claims import now
    from analytics_platform.defs.resources import ledgers_of
    from analytics_platform.metrics.series import watched

    names = [known.name for known in watched()]
    for one in metric or ():
        if one not in names:
            raise typer.BadParameter(f"--metric {one}: choose one of {', '.join(names)}")
    zone = context.settings.zone
    starts = first.replace(tzinfo=zone)
    ends = (last or first).replace(tzinfo=zone)
    if last is None or not (last.hour or last.minute):
        ends = (ends.replace(hour=0, minute=0) + timedelta(days=1)).replace(tzinfo=zone)
    room = slack or (1.0 if kind == OccasionKind.RELEASE else 2.0)
    try:
        occasion = Occasion(
            name, OccasionKind(kind), starts, ends, metrics=tuple(metric or ()), slack=room, created_by=whoever()
        )
    except ValueError as error:
        raise JobError(str(error)) from None
    entered = ledgers_of(context.home, context.settings).calendar.add(occasion, now())
    out.print(f"{entered.id}: {name}, {_span(context, entered.starts, entered.ends)}", markup=False)


@app.command("list")
def list_entries(days: Annotated[int, typer.Option(help="How far back.", min=0)] = 60, home: HomeOption = None) -> None:
    """Every entry, and those that people's verdicts left.

    Example: `analytics-platform alerts calendar list`
    """
    context = begin(home)
    from analytics_platform.defs.claims import now
    from analytics_platform.defs.resources import ledgers_of

    found = ledgers_of(context.home, context.settings).calendar.entries(now() - timedelta(days=days))
    if not found:
        out.print("the calendar is empty", markup=False)
    show_list(
        [
            {
                "id": one.id,
                "kind": one.kind.value,
                "name": one.name,
                "when": _span(context, one.starts, one.ends),
                "only": ", ".join((*one.services, *one.metrics)),
                "slack": f"{one.slack:g}",
                "by": one.created_by,
            }
            for one in found
        ]
    )


@app.command("remove")
def remove(
    entry: Annotated[int, typer.Argument(metavar="ID", help="As `list` shows it.")], home: HomeOption = None
) -> None:
    """Take an entry out.

    Example: `analytics-platform alerts calendar remove 1`
    """
    context = begin(home)
    from analytics_platform.defs.resources import ledgers_of

    if not ledgers_of(context.home, context.settings).calendar.remove(entry):
        raise JobError(f"there is no entry {entry}; analytics-platform alerts calendar list")
    out.print(f"removed: {entry}", markup=False)


def _span(context: Context, starts: datetime, ends: datetime) -> str:
    return f"{context.local(starts)} to {context.local(ends)}"
