"""The fitted form of the detector: trained on what people said of incidents, and where it is in use.

Belongs here: turning judged incidents into examples, training, storing the version. Does not: the model
(`detectors/fitted*.py`), storing (`state/detector_models.py`), Dagster.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import isfinite
from typing import TYPE_CHECKING

from analytics_platform.alerts.feedback import Verdict
from analytics_platform.alerts.incident import Incident, Kind
from analytics_platform.alerts.watch import Watch
from analytics_platform.defs import series_reading
from analytics_platform.defs.followed import HISTORY, rules_of
from analytics_platform.defs.resources import Ledgers
from analytics_platform.defs.series import Plan
from analytics_platform.metrics.series import BUCKET, totals
from analytics_platform.settings import Settings
from analytics_platform.warehouses.base import Warehouse

if TYPE_CHECKING:
    from analytics_platform.detectors.fitted import Example

FITTED = "fitted"
_DAY = timedelta(days=1)
# What was expected or is the new normal did happen: the alert was right.
_REAL = {Verdict.REAL, Verdict.EXPECTED, Verdict.NEW_NORMAL}


@dataclass(frozen=True)
class Trained:
    """What a training came to: `said`, a line each; `version` None when nothing was learned."""

    said: tuple[str, ...]
    version: int | None = None


def judged(ledgers: Ledgers) -> list[Incident]:
    """The incidents somebody gave an opinion on, oldest first."""
    found = [one for one in ledgers.incidents.listing() if one.verdict and one.kind is Kind.ANOMALY]
    return sorted(found, key=lambda one: one.started)


def examples(
    warehouse: Warehouse,
    settings: Settings,
    ledgers: Ledgers,
    moment: datetime,
    progress: Callable[[int, int], None] | None = None,
) -> "list[Example]":
    """What the judged incidents teach: the first and the worst bucket of each total that took part."""
    incidents, plan = judged(ledgers), Plan.of(settings)
    rules = rules_of(settings, ledgers, moment)
    found: list[Example] = []
    for done, incident in enumerate(incidents, start=1):
        for service in incident.services:
            found += _examples(warehouse, plan, rules.watch, incident, service)
        if progress:
            progress(done, len(incidents))
    return found


def _examples(warehouse: Warehouse, plan: Plan, watch: Watch, incident: Incident, service: str) -> "list[Example]":
    """Those of one service's series: all of them move or do not together, so they are looked at together."""
    from analytics_platform.alerts.history import block_of
    from analytics_platform.alerts.replay import judge_all
    from analytics_platform.detectors.fitted import Example, feature_table

    mine = [member for member in incident.members if member.series.service == service]
    chosen = [member for member in mine if member.series.is_total] or mine[:1]
    if not chosen:
        return []
    keys = [*(key for key in totals(plan.metrics) if key.service == service)]
    keys += [member.series for member in chosen if member.series not in keys]
    begin = min(member.first for member in chosen) - _DAY
    end = max(max(member.first, member.worst_at) for member in chosen) + BUCKET
    grid = series_reading.read(warehouse, begin - HISTORY, end, keys)
    block = block_of(grid.since_first_event(), plan.zone, metrics=plan.metrics)
    first = HISTORY // BUCKET
    verdicts = judge_all(block, grid.keys, Watch(), first)
    features = feature_table(block, verdicts, first)
    made = []
    for member in chosen:
        row, key = grid.keys.index(member.series), member.series
        for place in sorted({member.first, member.worst_at}):
            column = (place - begin) // BUCKET
            score = float(verdicts.score[row, column])
            if isfinite(score):  # what the default can no longer judge teaches nothing
                known = tuple(float(value) for value in features[row, column])
                real = Verdict(incident.verdict) in _REAL
                made.append(Example(str(key), key.metric, place, known, score * watch.sensitivity(key), real))
    return made


def train(
    warehouse: Warehouse,
    settings: Settings,
    ledgers: Ledgers,
    moment: datetime,
    progress: Callable[[int, int], None] | None = None,
) -> Trained:
    """Fit a new version to all verdicts so far, and use it for the metrics on which it beats the default."""
    from analytics_platform.detectors.fitted import NotEnough
    from analytics_platform.detectors.fitted_training import train as fit

    model = fit(examples(warehouse, settings, ledgers, moment, progress), moment)
    if isinstance(model, NotEnough):
        return Trained((model.reason,))
    used = sorted(test.metric for test in model.back_test if test.metric and test.used)
    stored = ledgers.detector_models.add(FITTED, json.loads(model.to_json()), moment, used)
    lines = [f"version {stored.version}, of {model.labels_used} labels", *(str(test) for test in model.back_test)]
    lines.append(f"in use for {', '.join(used)}" if used else "in use for no metric: the default is as good")
    return Trained(tuple(lines), stored.version)
