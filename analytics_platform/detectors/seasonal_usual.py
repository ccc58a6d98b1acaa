"""What is usual in a bucket: medians of the same local time in the past.

Belongs here: which past buckets a bucket is compared with, order statistics that skip unknown values. Does not: how far
is too far (`seasonal_noise.py`, `seasonal_signs.py`). Imported lazily only: numpy is imported at the top.
"""

import numpy as np
from numpy.typing import NDArray

from analytics_platform.detectors.base import STEP, Bools, Floats, Ints

FORTNIGHT = 14
DAYS_NEEDED = 3  # fewer days of the same time tell nothing


def same_times(times: Ints, offset: Ints, a: int, b: int, days: int) -> Ints:
    """[b - a]: for the columns a..b, the column of the same local time `days` days before; -1: not kept any more."""
    local = times[a:b] + offset[a:b]
    last = len(times) - 1
    guess = np.clip((local - days * 86400 - offset[a:b] - times[0]) // STEP, 0, last)
    exact = (local - days * 86400 - offset[guess] - times[0]) // STEP
    return np.where(exact >= 0, exact, -1)


def gathered(values: Floats, columns: Ints) -> Floats:
    """[m, k, c]: values [m, n] at columns [k, c]; NaN where a column is -1."""
    taken = values[:, np.maximum(columns, 0)]
    taken[:, columns < 0] = np.nan
    return taken


def columns_around(times: Ints, offset: Ints, a: int, b: int, *, days: tuple[int, ...], wing: int) -> Ints:
    """[b - a, len(days) * (2 * wing + 1)]: columns of the same local time, and `wing` buckets around it."""
    found = []
    for day in days:
        middle = same_times(times, offset, a, b, day)
        for shift in range(-wing, wing + 1):
            column = middle + shift
            found.append(np.where((middle >= 0) & (column >= 0), column, -1))
    return np.stack(found, axis=1)


def ordered(values: Floats) -> tuple[Floats, NDArray[np.intp]]:
    """Values sorted along the last axis, unknown ones last, and how many are known."""
    return np.sort(values, axis=-1), np.isfinite(values).sum(axis=-1)


def quantile(sorted_values: Floats, known: NDArray[np.intp], q: float) -> Floats:
    """The q-quantile along the last axis, linear between neighbours; NaN where nothing is known."""
    if not sorted_values.shape[-1]:
        return np.full(known.shape, np.nan)
    last = np.maximum(known - 1, 0)
    place = q * last
    below = np.floor(place).astype(np.intp)
    above = np.minimum(below + 1, last)
    low = np.take_along_axis(sorted_values, below[..., None], -1)[..., 0]
    high = np.take_along_axis(sorted_values, above[..., None], -1)[..., 0]
    return low + (place - below) * (high - low)


def median(values: Floats, needed: int) -> Floats:
    """The median along the last axis; NaN where fewer than `needed` are known."""
    inorder, known = ordered(values)
    return np.where(known >= needed, quantile(inorder, known, 0.5), np.nan)


def usual_values(
    fit: Floats,
    ratio: Bools,
    times: Ints,
    offset: Ints,
    *,
    a: int,
    b: int,
    brought: tuple[int, Floats] | None = None,
) -> Floats:
    """[4, m, b - a]: views of what is usual in the columns a..b; NaN where too little is known.

    0: the same time of day over a fortnight (42 values). 1: that of the last three days (5 values each) which is
    nearest to it: a level that has stayed for three days is usual. 2: that of the same weekday of the last two weeks (5
    values each) which is nearest to it. 3: the same weekday of three weeks (15 values). brought: a column, and by what
    [b - a] the values before it are multiplied.
    """

    def view(days: tuple[int, ...], wing: int, needed: int) -> Floats:
        columns = columns_around(times, offset, a, b, days=days, wing=wing)
        values = gathered(fit, columns)
        if brought is not None:
            values *= np.where(columns < brought[0], brought[1][:, None], 1.0)
        return middle(values, ratio, needed)

    fortnight = view(tuple(range(1, FORTNIGHT + 1)), 1, 3 * DAYS_NEEDED - 2)
    recent = fortnight + nearest([view((day,), 2, 3) - fortnight for day in (1, 2, 3)])
    weekday = fortnight + nearest([view((day,), 2, 3) - fortnight for day in (7, 14)])
    return np.stack([fortnight, recent, weekday, view((7, 14, 21), 2, 4)])


def nearest(off: list[Floats]) -> Floats:
    """The deviation that is nearest to none: 0 where they differ in direction, NaN where none is known."""
    grid = np.stack(off)
    known = np.isfinite(grid)
    low = np.where(known, grid, np.inf).min(axis=0)
    high = np.where(known, grid, -np.inf).max(axis=0)
    found = np.where(low > 0, low, np.where(high < 0, high, 0.0))
    return np.where(known.any(axis=0), found, np.nan)


def middle(values: Floats, ratio: Bools, needed: int) -> Floats:
    """[m, k]: the median of values [m, k, c]; of small counts their mean, or it would be off by up to a half.

    The mean is of counts capped at median + 4 sqrt(median + 1), so that a spike of the past moves it little, and gives
    way to the median between 10 and 20.
    """
    inorder, known = ordered(values)
    found = quantile(inorder, known, 0.5)
    low = (found < 20) & (known >= needed) & ~ratio[:, None]
    if low.any():
        some, center = inorder[low], found[low]
        whole = ((some >= 0) & (some == np.floor(some))).sum(axis=-1) == known[low]
        cap = center + 4.0 * np.sqrt(np.maximum(center, 0.0) + 1.0)
        mean = np.where(np.isfinite(some), np.minimum(some, cap[:, None]), 0.0).sum(axis=-1) / known[low]
        share = np.where(whole, np.clip((20.0 - center) / 10.0, 0.0, 1.0), 0.0)
        found[low] = center + share * (mean - center)
    return np.where(known >= needed, found, np.nan)


def running_mean(values: Floats, a: int, b: int, width: int) -> Floats:
    """[m, b - a]: mean of the `width` values that end in each of the columns a..b; NaN where a quarter is unknown."""
    total, known = np.zeros((values.shape[0], b - a)), np.zeros((values.shape[0], b - a))
    for lag in range(width):
        value = lagged(values, a, b, lag)
        there = np.isfinite(value)
        total += np.where(there, value, 0.0)
        known += there
    return np.where(known > 0.74 * width, total / np.maximum(known, 1.0), np.nan)


def widest(slack: Floats, a: int, b: int, width: int) -> Floats:
    """[b - a]: the largest of the `width` slacks that end in each of the columns a..b."""
    found = slack[a:b].copy()
    for lag in range(1, width):
        found = np.fmax(found, lagged(slack[None, :], a, b, lag)[0])
    return found


def lagged(values: Floats, a: int, b: int, lag: int) -> Floats:
    """[m, b - a]: the values `lag` columns before each of the columns a..b; NaN before the first."""
    if a >= lag:
        return values[:, a - lag : b - lag]
    found = np.full((values.shape[0], b - a), np.nan)
    if b > lag:
        found[:, lag - a :] = values[:, : b - lag]
    return found


def carried(values: Floats, a: int, b: int, back: int) -> Floats:
    """[m, b - a]: the newest known value of up to `back` buckets before each of the columns a..b."""
    found = lagged(values, a, b, 1)
    for lag in range(2, back + 1):
        found = np.where(np.isnan(found), lagged(values, a, b, lag), found)
    return found


def running_median(values: Floats, a: int, b: int, width: int) -> Floats:
    """[m, b - a]: median of the `width` values that end in each of the columns a..b; NaN where a quarter is unknown."""
    start = max(0, a - width + 1)
    piece = values[:, start:b]
    missing = width - 1 - (a - start)
    if missing:
        piece = np.concatenate([np.full((values.shape[0], missing), np.nan), piece], axis=1)
    windows = np.lib.stride_tricks.sliding_window_view(piece, width, axis=1)
    return median(windows, width - width // 4)
