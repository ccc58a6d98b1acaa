"""Stored series as a detector wants them: local time, what not to learn from, days that have more room.

Belongs here: from a grid to a block. Does not: reading the grid (`defs/series.py`), spans and occasions themselves
(`baseline.py`, `occasions.py`). Pure. Imported lazily only: numpy is imported at the top.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np

from analytics_platform.alerts.baseline import Span
from analytics_platform.alerts.occasions import Occasion, slack
from analytics_platform.detectors.base import STEP, Block, Bools, Ints, Verdicts
from analytics_platform.metrics.catalog import METRICS, Metric, Ratio
from analytics_platform.metrics.series import SeriesKey
from analytics_platform.metrics.series_grid import Grid

_NOTHING: Mapping[SeriesKey, Sequence[Span]] = {}


def block_of(
    grid: Grid,
    zone: ZoneInfo,
    *,
    excluded: Mapping[SeriesKey, Sequence[Span]] = _NOTHING,
    occasions: Sequence[Occasion] = (),
    metrics: Sequence[Metric] = METRICS,
) -> Block:
    """The series as a block in the local time of `zone`. `excluded`: half-open spans that no baseline is made of.

    Of `occasions` those that concern everything give more room (the others: `widened`); what any covers is not learned
    from, but for those that are there to be shown alone (slack 1).
    """
    ratios = {metric.name for metric in metrics if isinstance(metric, Ratio)}
    learn = np.ones(grid.values.shape, dtype=bool)
    for i, key in enumerate(grid.keys):
        for start, end in (
            *excluded.get(key, ()),
            *((one.starts, one.ends) for one in occasions if one.slack > 1 and one.covers(key)),
        ):
            learn[i, between(grid.times, start, end)] = False
    room = np.ones(len(grid.times))
    for one in occasions:
        touched = between(grid.times, one.starts, one.ends)
        room[touched] = [slack(occasions, datetime.fromtimestamp(int(t), UTC)) for t in grid.times[touched]]
    return Block(
        times=grid.times,
        offset=offsets(grid.times, zone),
        values=grid.values,
        base=grid.base,
        ratio=np.array([key.metric in ratios for key in grid.keys], dtype=bool),
        learn=learn,
        slack=room,
        accepted=np.zeros(grid.values.shape, dtype=bool),
    )


def widened(verdicts: Verdicts, block: Block, keys: Sequence[SeriesKey], occasions: Sequence[Occasion]) -> Verdicts:
    """The verdicts with the room that occasions of single services or metrics give. `block`: the judged columns."""
    some = [one for one in occasions if one.services or one.metrics]
    if not some:
        return verdicts
    parts = {name: getattr(verdicts, name).copy() for name in ("score", "low", "high")}
    for one in some:
        touched = between(block.times, one.starts, one.ends)
        for i in (i for i, key in enumerate(keys) if one.covers(key)):
            parts["score"][i, touched] /= one.slack
            for edge in (parts["low"], parts["high"]):
                middle = verdicts.expected[i, touched]
                edge[i, touched] = middle + (edge[i, touched] - middle) * one.slack
    return replace(verdicts, **parts)


def between(times: Ints, start: datetime, end: datetime) -> Bools:
    """[n]: the buckets that lie, in part at least, in the half-open span of aware moments."""
    found: Bools = (times + STEP > start.timestamp()) & (times < end.timestamp())
    return found


def offsets(times: Ints, zone: ZoneInfo) -> Ints:
    """[n]: seconds by which the clocks of `zone` are ahead of UTC in each bucket."""
    ahead = (datetime.fromtimestamp(t, zone).utcoffset() for t in times.tolist())
    return np.array([0 if one is None else int(one.total_seconds()) for one in ahead], dtype=np.int64)
