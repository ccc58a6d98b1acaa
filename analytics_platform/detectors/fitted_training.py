"""Training of the fitted form on labelled findings, and the test whether it is worth using.

Belongs here: fitting, the split by time, the choice of the threshold. Does not: what is looked at and what the model
says (`fitted`); where labels come from. Imported lazily only: numpy and scikit-learn are imported at the top.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
from sklearn.linear_model import LogisticRegression

from analytics_platform.detectors.base import Bools, Floats
from analytics_platform.detectors.fitted import (
    EVERY,
    FEATURES,
    Example,
    FittedModel,
    MetricTest,
    NotEnough,
    Quality,
    probability,
)

LABELS = 20  # fewer teach nothing that would hold
OF_EACH = 5  # labels of either kind
TESTED = 10  # labels of a metric in the back-test, to be used for it
_STRENGTH = 0.5  # inverse weight of the L2 penalty: a dozen features, some dozens of labels
_FOLDS = 4  # parts of the later half of the labels, each judged by what was learned before it
_APART = timedelta(days=1)  # between learning and testing: buckets of one incident are not to be in both
_SURE = 1.64  # standard deviations by which mended decisions must outnumber broken ones: one in twenty by chance
_THRESHOLDS = np.linspace(0.2, 0.8, 13)


def train(examples: Sequence[Example], now: datetime) -> FittedModel | NotEnough:
    """The model that these labels teach, with its back-test; or why they teach none. `now`: aware.

    The same labels make the same model, in whatever order they come.
    """
    known = _in_order(examples)
    real = sum(example.real for example in known)
    if len(known) < LABELS:
        return NotEnough(f"{len(known)} labels so far: the fitted form needs {LABELS}, so the default stays")
    if min(real, len(known) - real) < OF_EACH:
        return NotEnough(
            f"of {len(known)} labels {real} say real: the fitted form needs {OF_EACH} of either kind, so the default "
            "stays"
        )
    model = replace(_fit(known), trained_at=now, back_test=back_test(known))
    print_of = hashlib.sha256(repr((model.weights, model.bias, model.threshold)).encode()).hexdigest()[:8]
    return replace(model, version=f"{now:%Y-%m-%dT%H:%M}-{print_of}")


def back_test(examples: Sequence[Example]) -> tuple[MetricTest, ...]:
    """The fitted form against the default, over labels it had not seen: all metrics together first, then each.

    The later half of the labels, in four parts by time; each is judged by a model of the labels that are older by a day
    and more. Where these are too few, the default's decision stands. A metric is used where at least ten of its labels
    were tested, F1 is higher, and the decisions mended outnumber those broken by more than chance would.
    """
    known = _in_order(examples)
    later = known[len(known) // 2 :]
    decisions: list[bool] = []
    for part in np.array_split(np.arange(len(later)), _FOLDS):
        tested = [later[place] for place in part]
        if tested:
            decisions += _decided(tested, [e for e in known if e.bucket < tested[0].bucket - _APART])
    fitted = np.array(decisions, dtype=bool)
    metrics = np.array([example.metric for example in later])
    rows = [(EVERY, np.ones(len(later), dtype=bool))]
    rows += [(metric, metrics == metric) for metric in sorted(set(metrics.tolist()))]
    return tuple(
        _compared(metric, [e for e, yes in zip(later, chosen, strict=True) if yes], fitted[chosen])
        for metric, chosen in rows
    )


def _in_order(examples: Sequence[Example]) -> list[Example]:
    for example in examples:
        if len(example.features) != len(FEATURES):
            raise ValueError(
                f"the example of {example.series} has {len(example.features)} features and not {len(FEATURES)}: "
                "take them from feature_table"
            )
    return sorted(examples, key=lambda e: (e.bucket, e.series, e.metric, e.real))


def _decided(tested: Sequence[Example], older: Sequence[Example]) -> list[bool]:
    kinds = {example.real for example in older}
    if len(older) < LABELS // 2 or len(kinds) < 2:
        return [example.score >= 1 for example in tested]
    model = _fit(older)
    return [bool(likely) for likely in probability(model, _rows(tested)) >= model.threshold]


def _compared(metric: str, tested: Sequence[Example], fitted: Bools) -> MetricTest:
    real = np.array([example.real for example in tested], dtype=bool)
    default = np.array([example.score >= 1 for example in tested], dtype=bool)
    mended = int(((fitted == real) & (default != real)).sum())
    broken = int(((fitted != real) & (default == real)).sum())
    before, after = _quality(real, default), _quality(real, fitted)
    beats = (after.f1 or 0) > (before.f1 or 0) and mended - broken >= _SURE * math.sqrt(mended + broken)
    return MetricTest(metric, len(tested), before, after, mended, broken, beats and len(tested) >= TESTED)


def _quality(real: Bools, told: Bools) -> Quality:
    right, said, there = int((real & told).sum()), int(told.sum()), int(real.sum())
    f1 = 2 * right / (said + there) if said + there else None
    return Quality(right / said if said else None, right / there if there else None, f1)


def _rows(examples: Sequence[Example]) -> Floats:
    return np.array([example.features for example in examples], dtype=np.float64).reshape(-1, len(FEATURES))


def _fit(examples: Sequence[Example]) -> FittedModel:
    """A model of labels of both kinds, still without a name and a test."""
    rows, real = _rows(examples), np.array([example.real for example in examples], dtype=bool)
    known = np.isfinite(rows)
    count = np.maximum(known.sum(axis=0), 1)
    means = np.where(known, rows, 0).sum(axis=0) / count
    spread = np.sqrt(np.where(known, (np.where(known, rows, 0) - means) ** 2, 0).sum(axis=0) / count)
    scales = np.where(spread > 1e-9, spread, 1.0)
    regression = LogisticRegression(C=_STRENGTH, max_iter=1000)
    regression.fit(np.where(known, (np.where(known, rows, 0) - means) / scales, 0.0), real)
    model = FittedModel(
        version="",
        trained_at=max(example.bucket for example in examples),
        features=FEATURES,
        weights=tuple(regression.coef_[0].tolist()),
        bias=float(regression.intercept_[0]),
        means=tuple(means.tolist()),
        scales=tuple(scales.tolist()),
        threshold=0.5,
        labels_used=len(examples),
        back_test=(),
    )
    return replace(model, threshold=_threshold(probability(model, rows), real))


def _threshold(likely: Floats, real: Bools) -> float:
    """The probability with the best F1 on the labels it was fitted on; of equal ones that nearest to a half."""
    return float(max(_THRESHOLDS, key=lambda t: (round(_quality(real, likely >= t).f1 or 0, 9), -abs(t - 0.5))))
