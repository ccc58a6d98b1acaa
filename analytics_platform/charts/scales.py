"""Axes without a drawing library: the range a plot shows, its round numbers, and which lines share one.

Belongs here: rules that keep a scale honest. Does not: drawing, formats.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

# An axis spans at least this part of its highest value, so that a wobble of 1 % is at most a twentieth of the height.
LEAST_SPAN = 0.2
# Lines that reach less than this part of a higher line would lie flat beside it, so they get a scale of their own.
SAME_SCALE = 0.4
_STEPS = (1, 2, 2.5, 5)
_AIR = 0.06  # of the span, above the values
_AIR_BELOW = 0.14  # where the scale is torn off: what hangs in the air is not taken for nothing


@dataclass(frozen=True)
class Axis:
    """The values from `low` to `high`, with round `ticks` among them. `torn`: it starts above zero, which must show."""

    low: float
    high: float
    ticks: tuple[float, ...]
    torn: bool

    def part(self, value: float) -> float:
        """Where the value is, 0 at the bottom and 1 at the top."""
        return (value - self.low) / (self.high - self.low)


def known(values: Iterable[float | None]) -> list[float]:
    """The figures that are there."""
    return [value for value in values if value is not None and math.isfinite(value)]


def falls(values: Iterable[float | None]) -> bool:
    """Whether the lowest value is under half of the highest, so that the scale should begin at zero."""
    there = known(values)
    return bool(there) and min(there) < max(there) / 2


def axis(
    values: Iterable[float | None],
    *,
    most: int = 3,
    whole: bool = False,
    share: bool = False,
    zero: bool = False,
) -> Axis:
    """The axis for these values, with at most `most` ticks.

    Zero is the bottom when the lowest value is under half of the highest: then it costs little, and a fall to nothing
    looks like one; or when asked for with `zero`. Above that the month would be a flat line, so the axis is torn off
    below the values, but still spans LEAST_SPAN of the highest. `whole`: ticks are whole numbers; `share`: they are
    shown as percent.
    """
    there = known(values)
    highest, lowest = max(there, default=0.0), min(there, default=0.0)
    if highest <= 0:
        return Axis(0.0, 1.0, (0.0,) if there else (), torn=False)
    if zero or falls(there):
        low, high = 0.0, highest * (1 + _AIR)
    else:
        spare = max(LEAST_SPAN * highest - (highest - lowest), 0) / 2
        span = highest - lowest + 2 * spare
        low, high = lowest - spare - _AIR_BELOW * span, highest + spare + _AIR * span
    return Axis(low, high, _ticks(low, high, most, whole, share), torn=low > 0)


def _ticks(low: float, high: float, most: int, whole: bool, share: bool) -> tuple[float, ...]:
    """As many round numbers as there may be, evenly spaced, each of which its short form on the axis says exactly."""
    best: tuple[float, ...] = ()
    size = math.floor(math.log10(high - low))
    for step in sorted((s * 10.0**k for k in (size - 1, size, size + 1) for s in _STEPS), reverse=True):
        if whole and not step.is_integer():
            continue
        # A hair of tolerance: 0.3 / 0.1 is a little less than 3.
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        ticks = tuple(k * step for k in range(first, last + 1))
        if len(best) < len(ticks) <= most and (share or all(_exact(tick) for tick in ticks)):
            best = ticks
    return best


def _exact(tick: float) -> bool:
    """Whether the short form, with one decimal of its unit (thousand, million), is the number itself."""
    unit = 1000 ** ((len(str(abs(int(tick)))) - 1) // 3)
    return math.isclose(round(tick / unit, 1) * unit, tick, abs_tol=1e-12)


def together(lines: Sequence[Sequence[float | None]], most: int = 3) -> list[list[int]]:
    """Which lines share a scale: their places, in at most `most` groups of similar height, the highest first.

    A line reaching less than SAME_SCALE of the next higher one starts a group, where the gap is among the widest. Lines
    without a value, or of zeros, join the last.
    """
    heights = [max(known(line), default=0.0) for line in lines]
    order = sorted(range(len(lines)), key=lambda k: (-heights[k], k))
    gaps = [
        (heights[lower] / heights[higher], place)
        for place, (higher, lower) in enumerate(pairwise(order), start=1)
        if 0 < heights[lower] < SAME_SCALE * heights[higher]
    ]
    cuts = [0, *sorted(place for _, place in sorted(gaps)[: most - 1]), len(order)]
    return [order[a:b] for a, b in pairwise(cuts) if a < b]


def apart(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Places for labels as near as possible to the wanted ones, in their order, `gap` apart, from `low` to `high`.

    Where there is no room for that, they are evenly spread.
    """
    count = len(wanted)
    if not count:
        return []
    gap = min(gap, (high - low) / (count - 1)) if count > 1 else gap
    order = sorted(range(count), key=lambda k: (wanted[k], k))
    # Each cluster: the sum of where its members' first place would be, how many they are.
    clusters: list[tuple[float, int]] = []
    for rank, k in enumerate(order):
        total, size = wanted[k] - rank * gap, 1
        while clusters and clusters[-1][0] / clusters[-1][1] > total / size:
            before, many = clusters.pop()
            total, size = total + before, size + many
        clusters.append((total, size))
    starts = [total / size for total, size in clusters for _ in range(size)]
    placed = [0.0] * count
    for rank, (k, start) in enumerate(zip(order, starts, strict=True)):
        placed[k] = min(max(start, low), high - (count - 1) * gap) + rank * gap
    return placed
