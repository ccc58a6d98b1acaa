"""A replay as rows and sentences: what would have been sent, and how much of it.

Belongs here: the table for people, the rows for other programs, the summary. Does not: the replay (`replay.py`), budget
and power, printing. Pure. Imported lazily only: what it imports needs numpy.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from analytics_platform.alerts.replay import Replayed, Told
from analytics_platform.alerts.replay_budget import Solved
from analytics_platform.alerts.scoreboard import Planted, span


def rows(replayed: Replayed, zone: ZoneInfo, planted: Sequence[Planted] | None = None) -> Iterator[dict[str, object]]:
    """One row for each incident, as people read it; moments in `zone`. `planted`: the truth, where it is known."""
    for told in replayed.told:
        incident = told.incident
        member = incident.member(incident.lead) if incident.lead else None
        if member is None or incident.lead is None:
            continue
        others = len(incident.members) - 1
        row: dict[str, object] = {
            "started": f"{incident.started.astimezone(zone):%Y-%m-%d %H:%M}",
            "told": f"{told.opened.astimezone(zone):%H:%M}",
            "what": f"{incident.lead}{f' and {others} more' if others else ''}",
            "direction": str(member.direction),
            "size": _change(member.worst_value, member.worst_expected),
            "sign": str(member.what),
            "lasted": span(told.ended - incident.started) if told.ended else "goes on",
            "messages": len(told.loud),
            "severity": str(incident.severity),
        }
        if planted is not None:
            row["planted"] = _truth(told, planted)
        yield row


def plain_rows(
    replayed: Replayed, zone: ZoneInfo, planted: Sequence[Planted] | None = None
) -> Iterator[dict[str, object]]:
    """One row for each incident, for other programs: moments as ISO texts in `zone`, numbers as they are.

    `value` and `expected` are those of the worst bucket of the series it is told by; `loss` is the sum over all.
    `messages`: those that make a sound; `edits`: silent ones. `planted` is empty where the truth is not known.
    """
    for told in replayed.told:
        incident = told.incident
        member = incident.member(incident.lead) if incident.lead else None
        if member is None or incident.lead is None:
            continue
        yield {
            "key": incident.key,
            "started": _iso(incident.started, zone),
            "told": _iso(told.opened, zone),
            "ended": _iso(told.ended, zone) if told.ended else "",
            "service": incident.lead.service,
            "metric": incident.lead.metric,
            "dimension": incident.lead.dimension,
            "dimension_value": incident.lead.value,
            "direction": str(member.direction),
            "sign": str(member.what),
            "severity": str(incident.severity),
            "value": member.worst_value,
            "expected": round(member.worst_expected, 6),
            "score": round(member.worst_score, 3),
            "loss": round(member.loss, 1),
            "series": len(incident.members),
            "messages": len(told.loud),
            "edits": len(told.events) - len(told.loud),
            "planted": _truth(told, planted or ()),
        }


def summary(replayed: Replayed, zone: ZoneInfo) -> tuple[str, ...]:
    """Plain sentences: incidents and messages in all and a week, by metric, and what could not be judged."""
    weeks, counts = replayed.weeks, replayed.by_metric()
    incidents = len(replayed.told)
    by_metric = ", ".join(f"{metric} {count}" for metric, count in sorted(counts.items(), key=lambda c: (-c[1], c[0])))
    said = [
        f"{_many(incidents, 'incident')} in {weeks:.1f} weeks, {incidents / weeks:.1f} a week; "
        f"{_many(replayed.loud, 'message')} with a sound, {replayed.loud / weeks:.1f} a week.",
        f"By the metric they are told by: {by_metric}.",
    ]
    since = replayed.since
    if since is None:
        said.append("There is not enough history before these days: nothing could be judged.")
    elif since > replayed.first:
        said.append(f"Before {since.astimezone(zone):%Y-%m-%d %H:%M} there was not enough history to judge by.")
    return tuple(said)


def budget(solved: Sequence[Solved], a_week: float) -> Iterator[str]:
    """What the budget came to, a sentence for each metric."""
    for one in solved:
        if one.kept:
            yield (
                f"{one.metric}: sensitivity {one.sensitivity:g} instead of {one.before:g} gives {one.false:.1f} false "
                "incidents a week."
            )
        else:
            yield (
                f"{one.metric}: even sensitivity {one.sensitivity:g} gives more than {a_week:g} a week; "
                "raise min_change or min_base, or take another detector."
            )


def _change(value: float, expected: float) -> str:
    return f"{value / expected - 1:+.0%}" if expected else f"{value:g} of none"


def _truth(told: Told, planted: Sequence[Planted]) -> str:
    for one in planted:
        if one.is_found_by(told):
            return one.kind.replace("_", " ")
    return "beside" if any(one.excuses(told) for one in planted) else ""


def _iso(moment: datetime, zone: ZoneInfo) -> str:
    return moment.astimezone(zone).isoformat()


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
