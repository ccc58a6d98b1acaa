"""The product's detectors under the interface of the detector bench.

Belongs here: one class a detector, with the bench's `fit_predict_stream` and `tick`. Does not: rules of scoring, data.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from analytics_platform.detectors import detector
from analytics_platform.detectors.base import STEP, Block, Floats

if TYPE_CHECKING:
    from analytics_platform.detectors.base import Follower


class Adapter:
    """A detector by its name. One object judges one series, or 1,000 in `tick`."""

    name = "seasonal"

    def __init__(self) -> None:
        self._follower: Follower | None = None

    def fit_predict_stream(
        self, timestamps: NDArray[np.int64], values: Floats
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Scores and the detector's own alerts. A step other than 15 minutes is taken for one, bucket by bucket: the
        series of other steps keep their order, not their hours."""
        ticks = np.asarray(timestamps, np.int64)
        steps = np.diff(ticks)
        if not (steps == STEP).all():
            ticks = ticks[0] // STEP * STEP + STEP * np.arange(len(ticks))
        score = detector(self.name).judge(Block.plain(ticks, values)).score[0]
        return score, np.nan_to_num(score) >= 1.0

    def tick(self, timestamps: NDArray[np.int64], matrix: Floats) -> Floats:
        """Scores of the newest column; the state of the columns before it is built in the first call and kept."""
        block = Block.plain(timestamps, matrix)
        last = block.buckets - 1
        if self._follower is None:
            self._follower = detector(self.name).follow(block.columns(0, last))
            return self._follower.next(block.columns(last, last + 1)).score[:, 0]
        follows = Block.plain(np.array([timestamps[-1] + STEP]), matrix[:, last:])
        return self._follower.next(follows).score[:, 0]


class Lof(Adapter):
    """scikit-learn's LOF on windows."""

    name = "lof"


class Corridor(Adapter):
    """The quartile corridor."""

    name = "corridor"


make = Adapter
lof = Lof
corridor = Corridor
