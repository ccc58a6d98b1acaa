"""A budget of false alarms: how sensitive each metric may be so that history has no more of them than that.

Belongs here: solving the sensitivity, the settings that say it. Does not: the replay itself (`replay.py`). Pure.
Imported lazily only: numpy is imported at the top.

Each metric is solved on its own: its total and its slices, and no other metric to share an incident with. In life
metrics that move together are one incident, so what readers get is fewer than the sum.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Self

import numpy as np

from analytics_platform.alerts.incident import Incident, Policy
from analytics_platform.alerts.judging import alarms
from analytics_platform.alerts.replay import Replayed, some, steps
from analytics_platform.alerts.watch import SENSITIVITY, Rule, Watch
from analytics_platform.detectors.base import Block, Verdicts
from analytics_platform.metrics.series import BUCKET, SeriesKey

# Steps of about a tenth, in figures that people write.
_FIGURES = (1, 1.1, 1.2, 1.3, 1.5, 1.6, 1.8, 2, 2.2, 2.4, 2.7, 3, 3.3, 3.6, 3.9, 4.3, 4.7, 5.1, 5.6, 6.2, 6.8, 7.5, 8.2)
STEPS = (*(round(tenth * figure, 2) for tenth in (0.1, 1.0) for figure in _FIGURES), SENSITIVITY[1])


@dataclass(frozen=True)
class Span:
    """A time in which something really was the matter: half-open, aware. `services`: empty for all."""

    start: datetime
    end: datetime
    services: tuple[str, ...] = ()

    def has(self, start: datetime, end: datetime, services: Sequence[str]) -> bool:
        """Whether that span of these services overlaps it."""
        ours = not self.services or any(service in self.services for service in services)
        return ours and start < self.end and end > self.start


@dataclass(frozen=True)
class Solved:
    """What the budget came to for a metric. `false`: incidents a week at this `sensitivity` that were nothing.

    `kept`: whether even the least sensitivity there is keeps within the budget.
    """

    metric: str
    before: float
    sensitivity: float
    false: float
    kept: bool


def solve(
    replayed: Replayed, watch: Watch, a_week: float, *, real: Sequence[Span] = (), policy: Policy | None = None
) -> tuple[Solved, ...]:
    """The highest sensitivity of each metric at which no more than `a_week` false incidents a week are opened.

    On average over the replayed weeks. False is what overlaps none of the `real` spans when it is opened. Only the
    sensitivities of `STEPS` are tried. Raises ValueError for a negative budget.
    """
    if a_week < 0:
        raise ValueError(f"a budget of {a_week:g} false alarms a week cannot be kept; use 0 or more")
    allowed = int(a_week * replayed.weeks + 1e-9)
    found = []
    for metric in dict.fromkeys(key.metric for key in replayed.keys):
        history = _History.of(replayed, metric, watch, real, policy or Policy())
        low, high = 0, len(STEPS) - 1
        counts = {0: history.false(STEPS[0], allowed)}
        # Not strictly monotone, as neighbours grow into one: what is found keeps the budget, the next step does not.
        while counts[0] <= allowed and low < high:
            middle = (low + high + 1) // 2
            counts[middle] = history.false(STEPS[middle], allowed)
            low, high = (middle, high) if counts[middle] <= allowed else (low, middle - 1)
        before = watch.rule(metric).sensitivity
        found.append(Solved(metric, before, STEPS[low], counts[low] / replayed.weeks, counts[low] <= allowed))
    return tuple(found)


def with_solved(watch: Watch, solved: Sequence[Solved]) -> Watch:
    """The rules with the sensitivities found; a metric that cannot keep the budget stays as it is."""
    kept = (one for one in solved if one.kept)
    rules = {one.metric: replace(watch.rule(one.metric), sensitivity=one.sensitivity) for one in kept}
    return replace(watch, metrics={**watch.metrics, **rules})


def rules_line(watch: Watch, solved: Sequence[Solved]) -> str:
    """The line for the settings, `ALERT_RULES=likes: sensitivity=0.8; ...`, with the rules that are there already."""
    after = with_solved(watch, solved)
    told = ((metric, words(rule, watch.default)) for metric, rule in sorted(after.metrics.items()))
    return "ALERT_RULES=" + "; ".join(f"{metric}: {said}" for metric, said in told if said)


def words(rule: Rule, default: Rule) -> str:
    """The rule in words, as far as it is another than the default: what `watch.parse_rule` reads."""
    said: Mapping[str, str] = {
        "detector": rule.detector,
        "sensitivity": f"{rule.sensitivity:g}",
        "direction": rule.direction.value if rule.direction else "both",
        "min_change": f"{rule.min_change:g}",
        "min_base": f"{rule.min_base:g}",
        "quiet": "-".join(f"{hour:%H:%M}" for hour in rule.quiet) if rule.quiet else "none",
        "slices": "on" if rule.slices else "off",
    }
    return " ".join(f"{name}={word}" for name, word in said.items() if getattr(rule, name) != getattr(default, name))


@dataclass(frozen=True)
class _History:
    """One metric of a replay, alone."""

    metric: str
    keys: Sequence[SeriesKey]
    verdicts: Verdicts
    columns: Block
    watch: Watch
    real: Sequence[Span]
    policy: Policy

    @classmethod
    def of(cls, replayed: Replayed, metric: str, watch: Watch, real: Sequence[Span], policy: Policy) -> Self:
        rows = np.array([i for i, key in enumerate(replayed.keys) if key.metric == metric], dtype=np.int64)
        keys = [replayed.keys[i] for i in rows.tolist()]
        return cls(metric, keys, some(replayed.verdicts, rows), replayed.columns.rows(rows), watch, real, policy)

    def false(self, sensitivity: float, allowed: int) -> int:
        """False incidents at that sensitivity; one more than allowed when there are more."""
        rule = replace(self.watch.rule(self.metric), sensitivity=sensitivity)
        watch = replace(self.watch, metrics={**self.watch.metrics, self.metric: rule})
        found = alarms(self.verdicts, self.columns, self.keys, watch)
        opened = 0
        for step, _ in steps(self.verdicts, self.columns, self.keys, watch, policy=self.policy, found=found):
            new = {event.key for event in step.events if event.revision == 1}
            opened += sum(self._is_false(incident) for incident in step.incidents if incident.key in new)
            if opened > allowed:
                break
        return opened

    def _is_false(self, incident: Incident) -> bool:
        until = (incident.opened_at or incident.started) + BUCKET
        return not any(span.has(incident.started, until, incident.services) for span in self.real)
