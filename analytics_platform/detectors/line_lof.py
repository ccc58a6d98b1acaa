"""The local outlier factor of values on a line, of the newest among those before it, for many lines at once.

Belongs here: the factor, its floor for ties. Does not: what it is used for (`corridor`), windows of several buckets
(`lof`). Imported lazily only: numpy is imported at the top.

On a line the nearest neighbours of a value stand next to it in order: one sort finds them all, for all lines together.
Without ties the factor is scikit-learn's `LocalOutlierFactor`.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from analytics_platform.detectors.base import Floats

_SHARE = 0.01  # of the standard deviation: values nearer than that are the same
_NOWHERE = 1e300  # where a neighbour would be that is not there; differences of two are still numbers
_AT_ONCE = 4096  # lines: the spans of their neighbours take 4 kB each


def newest_factor(values: Floats, neighbours: int) -> Floats:
    """[lines]: the local outlier factor of the last value of each line among all values of it; 1 is usual.

    `values`: [lines, n], the newest last; NaN where there is none. NaN for lines whose newest value is none, and for
    those with no more than `neighbours` others.

    Distances have a floor: 1 where all values of a line are whole (a count cannot differ by less), a hundredth of the
    line's standard deviation where they are not. Without it the factor of a value beside many equal ones is a division
    by almost nothing, about 10^12.
    """
    found = [_factors(values[start : start + _AT_ONCE], neighbours) for start in range(0, len(values), _AT_ONCE)]
    return np.concatenate(found) if found else np.empty(0)


def floors(values: Floats) -> Floats:
    """[lines]: the distance below which values count as the same. `values`: [lines, n], NaN where there is none."""
    known = np.isfinite(values)
    count = np.maximum(known.sum(axis=1), 1)
    filled = np.where(known, values, 0.0)
    mean = filled.sum(axis=1) / count
    spread = np.sqrt((np.where(known, values - mean[:, None], 0.0) ** 2).sum(axis=1) / count)
    whole = (filled == np.floor(filled)).all(axis=1)
    # A constant line of fractions has no spread: what is left is the precision of numbers.
    return np.where(whole, 1.0, np.maximum(_SHARE * spread, 1e-9 * np.abs(mean) + 1e-30))


def _factors(values: Floats, k: int) -> Floats:
    newest = values[:, -1]
    order = np.sort(values, axis=1)  # NaN last
    place = (order < newest[:, None]).sum(axis=1)[:, None]
    # 3k on either side of the newest: its neighbours, theirs, and how far those reach.
    at = place + np.arange(-3 * k, 3 * k + 1)
    near = np.take_along_axis(order, np.clip(at, 0, values.shape[1] - 1), axis=1)
    there = (at >= 0) & (at < values.shape[1]) & np.isfinite(near)
    near = np.where(there, near, np.where(at < place, -_NOWHERE, _NOWHERE))

    # The k nearest of a value and itself are the block of k + 1 around it that reaches least far.
    centres = near[:, k:-k]  # 2k on either side: 4k + 1
    below = centres[:, :, None] - sliding_window_view(near[:, :-k], k + 1, axis=1)
    above = sliding_window_view(near[:, k:], k + 1, axis=1) - centres[:, :, None]
    span = np.maximum(below, above)
    reach = span.min(axis=2)
    begin = np.arange(4 * k + 1) + span.argmin(axis=2)  # of the block, as a place in `near`

    middle = np.arange(2 * k, 4 * k + 1)  # places in `near` of the newest and k on either side
    block = begin[:, k:-k, None] + np.arange(k + 1)
    flat = block.reshape(len(near), -1)
    apart = np.abs(np.take_along_axis(near, flat, axis=1).reshape(block.shape) - near[:, middle, None])
    far = np.take_along_axis(reach, np.clip(flat - k, 0, 4 * k), axis=1).reshape(block.shape)
    steps = np.maximum(np.maximum(apart, far), floors(values)[:, None, None])
    steps[block == middle[:, None]] = 0.0  # nobody is his own neighbour
    density = k / steps.sum(axis=2)

    own = block[:, k]
    around = np.where(own == 3 * k, 0.0, np.take_along_axis(density, np.clip(own - 2 * k, 0, 2 * k), axis=1))
    factor = around.sum(axis=1) / k / density[:, k]
    enough = np.isfinite(newest) & (np.isfinite(values).sum(axis=1) > k)
    return np.where(enough, factor, np.nan)
