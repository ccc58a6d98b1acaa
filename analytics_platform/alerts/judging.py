"""From a detector's verdicts to findings: the rule of each metric decides what is worth a word.

Belongs here: applying sensitivity, direction, smallest change and base to verdicts; severity. Does not: scores and
bands (`detectors/`), what becomes of findings (`incidents.py`). Imported lazily only: numpy is imported at the top.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from analytics_platform.alerts.findings import Direction, Finding, Reading, Severity, What
from analytics_platform.alerts.watch import RATIO_BASE, Watch
from analytics_platform.detectors.base import Block, Bools, Floats, Sign, Verdicts
from analytics_platform.metrics.series import SeriesKey

# Of a total: what is this far beyond the threshold, or has lost or gained this share, does not wait for the morning.
_CRITICAL_SCORE, _CRITICAL_CHANGE = 3.0, 0.5


@dataclass(frozen=True)
class Judged:
    """One bucket: what is unusual, and how the other series of interest are."""

    bucket: datetime
    findings: tuple[Finding, ...]
    readings: tuple[Reading, ...]


def alarms(verdicts: Verdicts, block: Block, keys: Sequence[SeriesKey], watch: Watch) -> Bools:
    """[m, k]: which of the judged buckets are findings. `block`: its columns are those of the verdicts."""
    score = verdicts.score * _column([watch.sensitivity(key) for key in keys])
    rules = [watch.rule(key.metric) for key in keys]
    delta = block.values - verdicts.expected
    with np.errstate(invalid="ignore", divide="ignore"):
        change = np.abs(delta) / np.abs(verdicts.expected)
        found = score >= 1.0
        # Nothing expected and something there is an endless change; a number of either sort is not.
        found &= ~(change < _column([rule.min_change for rule in rules]))
        size = np.where(block.ratio[:, None], block.base / RATIO_BASE, np.fmax(block.values, verdicts.expected))
        found &= ~(size < _column([rule.min_base for rule in rules]))
        up = _column([rule.direction is not Direction.DOWN for rule in rules]).astype(bool)
        down = _column([rule.direction is not Direction.UP for rule in rules]).astype(bool)
        freeze = verdicts.sign == Sign.FREEZE
        found &= ((delta > 0) & up) | ((delta < 0) & down) | freeze
        found &= np.isfinite(block.values) & np.isfinite(verdicts.expected)
    found &= np.array([watch.watches(key) for key in keys], dtype=bool)[:, None]
    return np.asarray(found, dtype=bool)


def judge(
    verdicts: Verdicts,
    block: Block,
    keys: Sequence[SeriesKey],
    watch: Watch,
    of_interest: Collection[SeriesKey] = (),
) -> list[Judged]:
    """What each judged bucket has come to, oldest first.

    `block`: the judged columns alone. `of_interest`: series that get a reading in every bucket in which they are no
    finding, so that whoever waits for their recovery sees it; series found in these buckets get one from then on. Their
    way back into the band is a jump, too, and no finding.
    """
    found = alarms(verdicts, block, keys, watch)
    look = _Look(verdicts, block, keys, watch)
    wanted = set(of_interest)
    judged: list[Judged] = []
    for k in range(block.buckets):
        unusual = [i for i in np.flatnonzero(found[:, k]).tolist() if not (keys[i] in wanted and look.returns(i, k))]
        findings = tuple(look.finding(i, k) for i in unusual)
        wanted.update(one.series for one in findings)
        rest = [i for i, key in enumerate(keys) if key in wanted and i not in unusual] if wanted else []
        judged.append(Judged(look.bucket(k), findings, tuple(look.reading(i, k) for i in rest)))
    return judged


@dataclass(frozen=True)
class _Look:
    """Cells of judged columns: series `i`, bucket `k`."""

    verdicts: Verdicts
    block: Block
    keys: Sequence[SeriesKey]
    watch: Watch

    def bucket(self, k: int) -> datetime:
        return datetime.fromtimestamp(int(self.block.times[k]), UTC)

    def finding(self, i: int, k: int) -> Finding:
        key = self.keys[i]
        value, expected = float(self.block.values[i, k]), float(self.verdicts.expected[i, k])
        score = float(self.verdicts.score[i, k]) * self.watch.sensitivity(key)
        sign = Sign(int(self.verdicts.sign[i, k]))
        what = What.JUMP if sign is Sign.NONE else What(sign.name.lower())
        low, high = self._band(i, k)
        change = abs(value - expected) / abs(expected) if expected else np.inf
        grave = what is What.ZERO or (change >= _CRITICAL_CHANGE and score >= _CRITICAL_SCORE)
        base = float(self.block.base[i, k])
        return Finding(
            series=key,
            bucket=self.bucket(k),
            what=what,
            direction=Direction.UP if value > expected else Direction.DOWN,
            severity=Severity.CRITICAL if grave and key.is_total else Severity.WARNING,
            score=score,
            value=value,
            expected=expected,
            low=low,
            high=high,
            base=base if np.isfinite(base) else None,
        )

    def returns(self, i: int, k: int) -> bool:
        """Whether it jumped, and to where it is usual."""
        low, high = self._band(i, k)
        jumped = int(self.verdicts.sign[i, k]) == Sign.JUMP
        return jumped and low <= float(self.block.values[i, k]) <= high

    def reading(self, i: int, k: int) -> Reading:
        value, expected = float(self.block.values[i, k]), float(self.verdicts.expected[i, k])
        low, high = self._band(i, k)
        known = bool(np.isfinite(value) and np.isfinite(expected))
        return Reading(
            series=self.keys[i],
            bucket=self.bucket(k),
            value=value if np.isfinite(value) else None,
            expected=expected if np.isfinite(expected) else None,
            usual=known and low <= value <= high,
        )

    def _band(self, i: int, k: int) -> tuple[float, float]:
        """The band at the sensitivity in force: the detector's own is the one at 1."""
        expected, sensitivity = float(self.verdicts.expected[i, k]), self.watch.sensitivity(self.keys[i])
        low = expected - (expected - float(self.verdicts.low[i, k])) / sensitivity
        high = expected + (float(self.verdicts.high[i, k]) - expected) / sensitivity
        return low, high


def _column(values: Sequence[float]) -> Floats:
    return np.asarray(values, dtype=np.float64)[:, None]
