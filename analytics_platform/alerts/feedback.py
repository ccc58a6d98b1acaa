"""What people say about incidents, and what it changes: the threshold of a metric within bounds, and a weekly figure.

Belongs here: verdicts, their effect on thresholds, measured precision. Does not: baselines (`baseline.py`), storing
verdicts (`state/feedback.py`), buttons. Pure. Light: no numpy.

The threshold of a metric is multiplied by t, which begins at 1. In order of time,
  a false alarm with worst score w   t -> min(2.5, t * min(1.2, 1.02 * w))   so that it would have stayed just below
  a real one                         t -> max(0.8, t * 0.95)
and what a verdict has changed in log t fades evenly to nothing within 60 days. `expected` and `new_normal` change the
calendar and the baseline, not the threshold: the detector was right. Of several verdicts on one incident, the last
counts.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType

from analytics_platform.alerts.incident import Incident, Kind
from analytics_platform.metrics.series import SeriesKey

MOST_A_VERDICT, MOST, LEAST = 1.2, 2.5, 0.8
_MARGIN, _REAL = 1.02, 0.95
FADES = timedelta(days=60)


class Verdict(StrEnum):
    """What an incident was, by a person's word."""

    REAL = "real"
    FALSE_ALARM = "false_alarm"
    EXPECTED = "expected"  # it happened, and for a reason that was known: a release, a campaign, a holiday
    NEW_NORMAL = "new_normal"  # what is so now stays so


@dataclass(frozen=True)
class Judgement:
    """A verdict. `moment`: aware. `scores`: the worst score of each member, 1 at the threshold that was in force."""

    incident: str
    verdict: Verdict
    moment: datetime
    by: str = ""
    scores: Mapping[SeriesKey, float] = field(default_factory=lambda: MappingProxyType({}))


def latest(judgements: Iterable[Judgement]) -> list[Judgement]:
    """The last verdict on each incident, in order of time."""
    last = {one.incident: one for one in sorted(judgements, key=lambda one: (one.moment, one.incident))}
    return sorted(last.values(), key=lambda one: (one.moment, one.incident))


def worst_scores(incident: Incident) -> Mapping[SeriesKey, float]:
    """What a judgement on it is about."""
    return MappingProxyType({member.series: member.worst_score for member in incident.members})


def thresholds(judgements: Iterable[Judgement], now: datetime) -> Mapping[str, float]:
    """By metric: what its threshold is multiplied by at that aware moment. Metrics nobody judged are not there.

    A judgement is about the metrics whose totals took part, or about those of its slices when no total did.
    """
    changes: dict[str, list[tuple[datetime, float]]] = {}
    for one in latest(judgements):
        if one.moment > now or one.verdict not in (Verdict.REAL, Verdict.FALSE_ALARM):
            continue
        for metric, worst in _metrics(one).items():
            made = changes.setdefault(metric, [])
            before = _threshold(made, one.moment)
            if one.verdict is Verdict.REAL:
                after = max(LEAST, before * _REAL)
            else:
                after = min(MOST, before * min(MOST_A_VERDICT, max(1.0, _MARGIN * worst)))
            made.append((one.moment, math.log(after / before)))
    return MappingProxyType({metric: _threshold(made, now) for metric, made in sorted(changes.items())})


def sensitivities(judgements: Iterable[Judgement], now: datetime) -> Mapping[str, float]:
    """By metric: what its sensitivity is multiplied by, the inverse of its threshold."""
    return MappingProxyType({metric: 1.0 / value for metric, value in thresholds(judgements, now).items()})


@dataclass(frozen=True)
class Precision:
    """What people said of the incidents that were told within [first, last). Moments are aware."""

    first: datetime
    last: datetime
    real: int = 0
    false_alarms: int = 0
    expected: int = 0
    new_normal: int = 0
    unjudged: int = 0

    @property
    def value(self) -> float | None:
        """real / (real + false alarms); None when neither was said."""
        judged = self.real + self.false_alarms
        return self.real / judged if judged else None

    @property
    def told(self) -> int:
        """How many incidents there were."""
        return self.real + self.false_alarms + self.expected + self.new_normal + self.unjudged


def precision(incidents: Iterable[Incident], first: datetime, last: datetime) -> Precision:
    """Of the anomalies that were told aloud and opened within [first, last); late data is not a matter of judgement."""
    counts = dict.fromkeys(["", *Verdict], 0)
    for incident in incidents:
        told = incident.kind is Kind.ANOMALY and incident.loud_revision > 0
        if told and incident.opened_at is not None and first <= incident.opened_at < last:
            counts[incident.verdict] += 1
    return Precision(
        first,
        last,
        real=counts[Verdict.REAL],
        false_alarms=counts[Verdict.FALSE_ALARM],
        expected=counts[Verdict.EXPECTED],
        new_normal=counts[Verdict.NEW_NORMAL],
        unjudged=counts[""],
    )


def sentences(week: Precision, changed: Mapping[str, float] = MappingProxyType({})) -> list[str]:
    """The weekly note in plain English; `changed`: thresholds by metric, as `thresholds` gives them."""
    if not week.told:
        return ["No incident was told."]
    said = [f"{_many(week.told, 'incident was', 'incidents were')} told."]
    if week.value is None:
        said.append("None was judged real or a false alarm, so the precision is not known.")
    else:
        judged = week.real + week.false_alarms
        said.append(f"{week.real} of {judged} judged were real: precision {week.value:.0%}.")
    known = week.expected + week.new_normal
    if known:
        said.append(f"{_many(known, 'was', 'were')} right, but expected or the new normal; they do not count in it.")
    if week.unjudged:
        said.append(f"{_many(week.unjudged, 'was', 'were')} not judged; each verdict makes the next alert better.")
    for metric, factor in changed.items():
        if abs(factor - 1.0) >= 0.005:
            way = "less" if factor > 1 else "more"
            said.append(f"By these and earlier verdicts {metric} alerts {way} easily: threshold times {factor:.2f}.")
    return said


def _metrics(judgement: Judgement) -> dict[str, float]:
    totals = any(series.is_total for series in judgement.scores)
    worst: dict[str, float] = {}
    for series, score in judgement.scores.items():
        if series.is_total or not totals:
            worst[series.metric] = max(score, worst.get(series.metric, 0.0))
    return worst


def _threshold(changes: Iterable[tuple[datetime, float]], now: datetime) -> float:
    logs = sum(change * max(0.0, 1.0 - (now - moment) / FADES) for moment, change in changes)
    return min(MOST, max(LEAST, math.exp(logs)))


def _many(count: int, one: str, more: str) -> str:
    return f"{count} {one if count == 1 else more}"
