"""`alerts replay`: what would have been sent, and how sensitive the rules are. Nothing is sent or kept.

Belongs here: the verb, its table, CSV and chart. Does not: the replay itself (`alerts/replay*.py`), reading history
(`alerts_lab.py`).
"""

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from analytics_platform.cli.alerts_lab import Lab, lab, real_spans, truth
from analytics_platform.cli.console import JobError, counted, out, show_table, write_csv
from analytics_platform.cli.context import Context, HomeOption, begin
from analytics_platform.cli.slices import check_days, chosen_days
from analytics_platform.detectors import DETECTORS
from analytics_platform.metrics.series import watched

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analytics_platform.alerts.replay import Replayed
    from analytics_platform.alerts.scoreboard import Planted


def replay(
    first: Annotated[
        datetime, typer.Option("--from", formats=["%Y-%m-%d"], metavar="YYYY-MM-DD", help="First day judged.")
    ],
    last: Annotated[
        datetime, typer.Option("--to", formats=["%Y-%m-%d"], metavar="YYYY-MM-DD", help="Last day, included.")
    ],
    metric: Annotated[list[str] | None, typer.Option(help="Only this metric; may be given several times.")] = None,
    detector: Annotated[str, typer.Option(help=f"Another detector for all: {', '.join(DETECTORS)}.")] = "",
    false_alarms_per_week: Annotated[
        float | None,
        typer.Option(help="Solve the sensitivity of each metric so that it has no more false alarms.", min=0),
    ] = None,
    power: Annotated[bool, typer.Option(help="Plant changes into history and say how surely they are seen.")] = True,
    csv_file: Annotated[Path | None, typer.Option("--csv", help="Write all incidents there.", dir_okay=False)] = None,
    chart: Annotated[Path | None, typer.Option(help="Draw them into this PNG file.", dir_okay=False)] = None,
    home: HomeOption = None,
) -> None:
    """Say what alerts a range of days would have sent with the rules in force. Never sends, and keeps nothing.

    The rules are those of the settings and the calendar; what verdicts of readers changed is left out. History is
    whole, no data is late. Of a budget, planted incidents and what readers called real or expected are no part.

    Example: `analytics-platform alerts replay --from 2026-10-20 --to 2026-11-20 --false-alarms-per-week 1`
    """
    begin_day, end_day = chosen_days(None, first, last)
    names = [known.name for known in watched()]
    for name in metric or ():
        if name not in names:
            raise typer.BadParameter(f"--metric {name}: choose one of {', '.join(names)}")
    if detector and detector not in DETECTORS:
        raise typer.BadParameter(f"--detector {detector}: choose one of {', '.join(DETECTORS)}")
    for target in (csv_file, chart):
        if target is not None and not target.absolute().parent.is_dir():
            raise JobError(f"{target} cannot be written: there is no folder {target.absolute().parent}")
    context = begin(home)
    check_days(context, begin_day, end_day)
    history = lab(context, begin_day, end_day, metric or (), detector)
    from analytics_platform.alerts.replay_tables import plain_rows, rows, summary
    from analytics_platform.alerts.scoreboard import planted

    replayed = history.replayed()
    known = truth(context)
    true_ones = tuple(one for one in planted(known) if one.start < replayed.last) if known else None
    zone = context.settings.zone
    show_table(list(rows(replayed, zone, true_ones)))
    for sentence in summary(replayed, zone):
        out.print(sentence, markup=False)
    if false_alarms_per_week is not None:
        _say_budget(context, history, replayed, false_alarms_per_week)
    if power:
        _say_power(history, replayed)
    if csv_file:
        found = list(plain_rows(replayed, zone, true_ones))
        if found:
            write_csv(csv_file, found)
        out.print(f"{counted(len(found), 'incident')} in {csv_file}" if found else "no CSV: no incident", markup=False)
    if chart:
        _draw(context, replayed, true_ones, chart)


def _say_budget(context: Context, history: Lab, replayed: "Replayed", a_week: float) -> None:
    from analytics_platform.alerts.replay_budget import rules_line, solve, with_solved
    from analytics_platform.alerts.replay_tables import budget

    real = real_spans(context, replayed.first, replayed.last)
    solved = solve(replayed, history.watch, a_week, real=real, policy=history.policy)
    out.print(f"\nAt most {a_week:g} false incidents a week and metric, each metric on its own:")
    for sentence in budget(solved, a_week):
        out.print(sentence, markup=False)
    then = replace(history, watch=with_solved(history.watch, solved)).replayed()
    out.print(
        f"All metrics together that is {counted(len(then.told), 'incident')} and {counted(then.loud, 'message')} with "
        f"a sound in these {then.weeks:.1f} weeks, instead of {len(replayed.told):,} and {replayed.loud:,}. The list "
        "above and what is seen below are of the rules in force.",
        markup=False,
    )
    out.print(f"For {context.home.settings_file}:\n{rules_line(context.settings.watch, solved)}", markup=False)


def _say_power(history: Lab, replayed: "Replayed") -> None:
    from analytics_platform.alerts.replay_power import power, rows, unusual

    measured = power(
        history.block,
        history.keys,
        history.watch,
        history.first,
        unusual=unusual(replayed),
        policy=history.policy,
    )
    out.print()
    if not measured.times:
        out.print("Nothing can be said of what would be seen: there is no usual time to plant a change at.")
        return
    out.print(
        f"Planted into the totals: changes that last an hour, at {counted(len(measured.times), 'time')} of day and "
        "night. Seen is what a message would have gone out for, in that many cases:",
        markup=False,
    )
    show_table(list(rows(measured)))
    for sentence in measured.sentences():
        out.print(sentence, markup=False)


def _draw(context: Context, replayed: "Replayed", true_ones: "Sequence[Planted] | None", target: Path) -> None:
    from analytics_platform.charts.replay import draw
    from analytics_platform.cli.alerts_chart import frame
    from analytics_platform.language import Language

    page = draw(frame(replayed, true_ones, context.settings.zone), Language(context.settings.locale))
    try:
        target.write_bytes(page)
    except OSError as error:
        raise JobError(f"{target} cannot be written: {error.strerror}") from None
    out.print(f"chart in {target}", markup=False)
