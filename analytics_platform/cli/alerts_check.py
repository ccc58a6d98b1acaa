"""`alerts check`: how every watched series stands now, or stood at a moment. Sends nothing, keeps nothing.

Belongs here: the verb and its table. Does not: judging (`alerts/`), reading history (`alerts_lab.py`).
"""

from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import TYPE_CHECKING, Annotated

import typer

from analytics_platform.alerts.watch import Watch
from analytics_platform.cli.alerts_lab import lab
from analytics_platform.cli.console import JobError, out, show_table
from analytics_platform.cli.context import HomeOption, begin
from analytics_platform.metrics.series import BUCKET, bucket_of

if TYPE_CHECKING:
    from analytics_platform.alerts.replay import Replayed

_FORMATS = ["%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M", "%Y-%m-%d"]
# What is open now began within this time, or it has long been told.
_DAYS = 2


def check(
    at: Annotated[
        datetime | None,
        typer.Option(
            formats=_FORMATS, metavar="MOMENT", help="As it was then, such as 2026-11-20T14:00. Default: now."
        ),
    ] = None,
    slices: Annotated[bool, typer.Option("--slices", help="Also slices that are as usual.")] = False,
    home: HomeOption = None,
) -> None:
    """Say of every watched metric what it is, what was expected, and whether that is unusual. Never sends.

    Without `--at`, the newest closed quarter of an hour. Totals always, slices when they are unusual.

    Example: `analytics-platform alerts check --at 2026-11-20T14:00`
    """
    context = begin(home)
    from analytics_platform.alerts.replay import replay
    from analytics_platform.defs.claims import now

    zone = context.settings.zone
    moment = now() if at is None else at.replace(tzinfo=zone).astimezone(UTC)
    if moment > now():
        raise JobError(f"--at {context.local(moment)} is not over yet: name a moment before now")
    end = bucket_of(moment)
    day = (end - BUCKET).astimezone(zone).date()
    history = lab(context, day - timedelta(days=_DAYS), day, until=end, as_live=True)
    replayed = replay(history.block, history.keys, history.watch, history.first, policy=history.policy)
    show_table(_rows(replayed, history.watch, share_names=_ratios(), everything=slices))
    out.print(f"\nthe quarter of an hour to {context.local(end)} {context.settings.timezone}", markup=False)
    for source, since in history.held.items():
        out.print(f"{source}: no events since {context.local(since)}; what is missing is not judged", markup=False)
    living = [one for one in replayed.told if one.ended is None]
    for one in living:
        lead = one.incident.lead
        out.print(
            f"open: {lead} {one.incident.direction}, since {context.local(one.incident.started)}, "
            f"{len(one.incident.members)} series",
            markup=False,
        )
    if not living:
        out.print("no incident is open", markup=False)


def _ratios() -> set[str]:
    from analytics_platform.metrics.catalog import METRICS, Ratio

    return {metric.name for metric in METRICS if isinstance(metric, Ratio)}


def _rows(replayed: "Replayed", watch: Watch, *, share_names: set[str], everything: bool) -> list[dict[str, object]]:
    """The newest bucket of each series. Scores are those of the rules in force: 1 and more is unusual."""
    from analytics_platform.detectors.base import Sign

    rows: list[dict[str, object]] = []
    for i, key in enumerate(replayed.keys):
        unusual = bool(replayed.found[i, -1])
        if not (key.is_total or unusual or everything):
            continue
        verdicts, share, eye = replayed.verdicts, key.metric in share_names, watch.sensitivity(key)
        expected = float(verdicts.expected[i, -1])
        low, high = (expected + (float(edge[i, -1]) - expected) / eye for edge in (verdicts.low, verdicts.high))
        sign = Sign(int(verdicts.sign[i, -1]))
        rows.append(
            {
                "series": str(key),
                "value": _written(float(replayed.columns.values[i, -1]), share=share),
                "expected": _written(expected, share=share),
                "from": _written(max(low, 0.0) if isfinite(low) else low, share=share),
                "to": _written(high, share=share),
                "score": _written(float(verdicts.score[i, -1]) * eye, share=True, digits=2),
                "unusual": sign.name.lower() if unusual else "",
            }
        )
    return rows


def _written(value: float, *, share: bool, digits: int = 4) -> str:
    if not isfinite(value):
        return "n/a"
    return f"{value:.{digits}f}" if share else f"{value:,.0f}"
