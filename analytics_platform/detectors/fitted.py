"""The fitted form: learns from what people said of alerts which findings of the default detector are worth one.

Belongs here: what is looked at (features), the model as data, what it says and why. Does not: fitting it
(`fitted_training`, which needs scikit-learn), storing it. Imported lazily only: numpy is imported at the top.

It judges findings again, and nothing else: where the default scores 0.6 or more, the model may silence a false alarm or
lift a near miss over the threshold. It is used for a metric only where it beat the default on labels it had not seen.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, cast

import numpy as np

from analytics_platform.detectors.base import Block, Bools, Floats, Ints, Sign, Verdicts

NEAR = 0.6  # score of the default: below it the fitted form says nothing
HIGHEST = 10.0
EVERY = ""  # of a back-test: all metrics together
_FACTOR = 3.0  # logarithm: changes by more than twentyfold are alike
_QUIETEST = 4  # o'clock, local
_WORTH_TELLING = 0.1  # log odds

FEATURES = (
    "score",  # log2(1 + score of the default)
    "expected",  # log of the factor to the expected value, positive the way the deviation goes; so all factors
    "previous",  # to the bucket before
    "yesterday",  # to the same local time
    "last_week",
    "lasted",  # log2(1 + buckets in a row with a score of NEAR or more)
    "together",  # share of the other series that score NEAR or more in the bucket
    "size",  # log10(1 + what is expected, or the base of a ratio)
    "night",  # 1 at 04:00, -1 at 16:00 local
    "morning",  # 1 at 10:00, -1 at 22:00 local
    "fall",  # 1 for a fall, 0 for a rise
    "zero",  # 1 for nothing at all
)


@dataclass(frozen=True)
class Example:
    """A finding on which somebody gave an opinion. `bucket`: its start, aware, UTC; `series` names it for people.

    `features`: in the order of FEATURES, NaN where unknown. `score`: of the default, 1 at the threshold that was in
    force. `real`: whether it was worth telling.
    """

    series: str
    metric: str
    bucket: datetime
    features: tuple[float, ...]
    score: float
    real: bool


@dataclass(frozen=True)
class NotEnough:
    """Why there is no model; one sentence."""

    reason: str


@dataclass(frozen=True)
class Quality:
    """What alerts are worth, over labelled findings: 0..1, None where it is a share of none."""

    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True)
class MetricTest:
    """One metric (EVERY: all) over `labels` the model had not seen.

    `mended`, `broken`: decisions of the default that the model makes right, and wrong.
    """

    metric: str
    labels: int
    default: Quality
    fitted: Quality
    mended: int
    broken: int
    used: bool

    def __str__(self) -> str:
        what = self.metric or "all metrics"
        return (
            f"{what}: {'used' if self.used else 'not used'}, F1 {self.fitted.f1 or 0:.2f} against the default's "
            f"{self.default.f1 or 0:.2f} over {self.labels} labels ({self.mended} decisions mended, {self.broken} "
            "broken)"
        )


@dataclass(frozen=True)
class FittedModel:
    """A logistic regression over standardised features. `threshold`: the probability from which a finding is told.

    `version` names the model: when it was trained, and what it is. `trained_at`: aware. `weights`, `means`, `scales`:
    one for each of `features`. `back_test`: where it may be used, and why.
    """

    version: str
    trained_at: datetime
    features: tuple[str, ...]
    weights: tuple[float, ...]
    bias: float
    means: tuple[float, ...]
    scales: tuple[float, ...]
    threshold: float
    labels_used: int
    back_test: tuple[MetricTest, ...]

    def used_for(self, metric: str) -> bool:
        """Whether it beat the default on this metric."""
        return any(test.used for test in self.back_test if test.metric == metric)

    def to_json(self) -> str:
        """All of it as JSON text."""
        return json.dumps(asdict(self) | {"trained_at": self.trained_at.isoformat()}, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> "FittedModel":
        """The model of such a text. ValueError, in one sentence, when it is none or was made for other features."""
        try:
            said = cast("dict[str, Any]", json.loads(text))
            model = cls(
                version=str(said["version"]),
                trained_at=datetime.fromisoformat(said["trained_at"]),
                features=tuple(said["features"]),
                weights=tuple(map(float, said["weights"])),
                bias=float(said["bias"]),
                means=tuple(map(float, said["means"])),
                scales=tuple(map(float, said["scales"])),
                threshold=float(said["threshold"]),
                labels_used=int(said["labels_used"]),
                back_test=tuple(_test(row) for row in said["back_test"]),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"this is no fitted model ({error!r}): train one again") from error
        if model.features != FEATURES or not len(model.weights) == len(model.means) == len(model.scales) == len(
            FEATURES
        ):
            raise ValueError(f"the fitted model {model.version} was trained on other features: train it again")
        return model


def _test(row: Mapping[str, Any]) -> MetricTest:
    default, fitted = Quality(**row["default"]), Quality(**row["fitted"])
    return MetricTest(**{**row, "default": default, "fitted": fitted})


def feature_table(block: Block, verdicts: Verdicts, first: int = 0) -> Floats:
    """[m, k, features]: what the model looks at, of the columns first..n, on which the default's `verdicts` are.

    NaN where it is unknown, as last week's value in the first week. How long something has lasted is counted within the
    verdicts: let them begin a day before the bucket that matters.
    """
    value, expected = block.values[:, first:], verdicts.expected
    way = np.where(value < expected, -1.0, 1.0)
    near = np.nan_to_num(verdicts.score) >= NEAR
    others = max(block.series - 1, 1)
    clock = ((block.times + block.offset)[first:] % 86400) / 3600 - _QUIETEST
    angle = np.broadcast_to(2 * np.pi * clock / 24, value.shape)
    size = np.where(block.ratio[:, None], block.base[:, first:], expected)
    columns = np.arange(first, block.buckets)
    return np.stack(
        [
            np.log2(1 + verdicts.score),
            way * _factor(value, expected),
            way * _factor(value, _column(block.values, columns - 1)),
            way * _factor(value, _column(block.values, block.same_time(1)[first:])),
            way * _factor(value, _column(block.values, block.same_time(7)[first:])),
            np.log2(1 + _in_a_row(near)),
            (near.sum(axis=0) - near) / others,
            np.log10(1 + np.maximum(size, 0)),
            np.cos(angle),
            np.sin(angle),
            (way < 0).astype(np.float64),
            (verdicts.sign == Sign.ZERO).astype(np.float64),
        ],
        axis=2,
    )


def log_odds(model: FittedModel, rows: Floats) -> Floats:
    """[...]: how likely findings are real; 0 is even. `rows`: [..., features]. What is unknown says nothing."""
    return np.asarray(model.bias + _contributions(model, rows).sum(axis=-1), dtype=np.float64)


def probability(model: FittedModel, rows: Floats) -> Floats:
    """[...]: how likely findings are real, 0..1. `rows`: [..., features]."""
    return 1 / (1 + np.exp(-log_odds(model, rows)))


def rescored(model: FittedModel, metrics: Sequence[str], block: Block, verdicts: Verdicts, first: int = 0) -> Verdicts:
    """The default's verdicts with the model's scores where the default is near, for metrics the model is used for.

    `metrics`: of the series of the block. The new score is the odds in units of the odds at the model's threshold, so 1
    is its threshold; 10 at most. Bands and signs stay the default's.
    """
    used = np.array([model.used_for(metric) for metric in metrics], dtype=bool)
    asked = used[:, None] & (np.nan_to_num(verdicts.score) >= NEAR)
    odds = log_odds(model, feature_table(block, verdicts, first)[asked])
    score = verdicts.score.copy()
    score[asked] = np.exp(np.minimum(odds - _logit(model.threshold), math.log(HIGHEST)))
    return replace(verdicts, score=score)


def explain_line(model: FittedModel, row: Floats) -> str:
    """Why, in one line: the verdict and the three features that say most, with their log odds. `row`: [features]."""
    real = float(log_odds(model, row)) >= _logit(model.threshold)
    says = dict(zip(FEATURES, _contributions(model, row).tolist(), strict=True))
    says["hour"] = says.pop("night") + says.pop("morning")
    words = _words(dict(zip(FEATURES, row.tolist(), strict=True)))
    telling = sorted((name for name in says if abs(says[name]) >= _WORTH_TELLING), key=lambda name: -abs(says[name]))
    reasons = ", ".join(f"{words[name]} ({says[name]:+.1f})" for name in telling[:3])
    return f"likely {'real' if real else 'a false alarm'}: {reasons or 'nothing special about it'}"


def _words(row: Mapping[str, float]) -> dict[str, str]:
    def times(name: str) -> str:
        if math.isnan(row[name]):
            return "unknown"
        return f"x{math.exp(abs(row[name])):.1f}" + ("" if row[name] >= 0 else " the other way")

    hour = (_QUIETEST + math.atan2(row["morning"], row["night"]) * 24 / (2 * math.pi)) % 24
    return {
        "score": f"{2 ** row['score'] - 1:.1f} times its threshold",
        "expected": f"{times('expected')} from what was expected",
        "previous": f"{times('previous')} from the bucket before",
        "yesterday": f"{times('yesterday')} from yesterday",
        "last_week": f"{times('last_week')} from last week",
        "lasted": f"lasting {15 * (2 ** row['lasted'] - 1):.0f} min",
        "together": f"{row['together']:.0%} of the other series with it",
        "size": f"about {10 ** row['size'] - 1:,.0f} usually",
        "hour": f"at {int(hour):02}:{round(hour % 1 * 60):02}",
        "fall": "a fall" if row["fall"] else "a rise",
        "zero": "nothing at all" if row["zero"] else "not zero",
    }


def _contributions(model: FittedModel, rows: Floats) -> Floats:
    standard = (rows - np.array(model.means)) / np.array(model.scales)
    return np.asarray(np.nan_to_num(standard, nan=0.0) * np.array(model.weights), dtype=np.float64)


def _logit(share: float) -> float:
    return math.log(share / (1 - share))


def _factor(value: Floats, reference: Floats) -> Floats:
    """The logarithm of value / reference, within bounds; NaN where one is unknown."""
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = np.log(np.maximum(value, 0) / np.maximum(reference, 0))
    both_none = (value <= 0) & (reference <= 0)
    return np.where(both_none, 0.0, np.clip(factor, -_FACTOR, _FACTOR))


def _column(values: Floats, places: Ints) -> Floats:
    """The columns at these places; NaN where a place is negative."""
    return np.where(places >= 0, values[:, np.maximum(places, 0)], np.nan)


def _in_a_row(near: Bools) -> Ints:
    """[m, k]: how many columns up to each one are true without a break."""
    columns = np.arange(near.shape[1])
    broken = np.maximum.accumulate(np.where(near, -1, columns), axis=1)
    return columns - broken
