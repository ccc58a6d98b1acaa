"""Following by looking back: the last buckets are kept, and each new one is judged among them.

Belongs here: the kept buckets. Does not: judging. For detectors whose memory is short. Imported lazily only: numpy is
imported at the top.
"""

from dataclasses import replace

import numpy as np

from analytics_platform.detectors.base import STEP, Block, Detector, Verdicts


def joined(before: Block, after: Block) -> Block:
    """One block of two. ValueError when `after` does not go on where `before` ended, or has other series."""
    if before.series != after.series:
        raise ValueError(f"{before.series} series were followed and {after.series} came: follow all of them anew")
    if before.buckets and after.buckets and after.times[0] != before.times[-1] + STEP:
        raise ValueError(
            f"the next bucket begins at {before.times[-1] + STEP} and {after.times[0]} came (epoch seconds): give the "
            "buckets in order, none twice and none left out"
        )
    return replace(
        before,
        times=np.concatenate([before.times, after.times]),
        offset=np.concatenate([before.offset, after.offset]),
        values=np.concatenate([before.values, after.values], axis=1),
        base=np.concatenate([before.base, after.base], axis=1),
        learn=np.concatenate([before.learn, after.learn], axis=1),
        slack=np.concatenate([before.slack, after.slack]),
        accepted=np.concatenate([before.accepted, after.accepted], axis=1),
    )


class Recent:
    """The state of a detector that looks at its last `memory` buckets anew each time."""

    def __init__(self, detector: Detector, block: Block) -> None:
        self._detector = detector
        self._kept = self._last(block)

    def next(self, block: Block) -> Verdicts:
        """Verdicts on the columns of `block`. ValueError when they do not go on where the last ones ended."""
        seen = joined(self._kept, block)
        verdicts = self._detector.judge(seen, self._kept.buckets)
        self._kept = self._last(seen)
        return verdicts

    def _last(self, block: Block) -> Block:
        return block.columns(max(0, block.buckets - self._detector.memory), block.buckets)
