"""Leaves as arrays: what any slice holds in every window, by one addition.

Belongs here: reading rows, families of slices (a dimension or a pair), sums over them. Does not: statistics, choosing.
Imported lazily only: numpy is imported at the top.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Self

import numpy as np
from numpy.typing import NDArray

from analytics_platform.alerts.leaves import NESTED
from analytics_platform.detectors.base import Bools, Floats

Codes = NDArray[np.int64]


@dataclass(frozen=True)
class Cube:
    """n leaves of `windows` windows, the first (0) the incident's. `codes` [n, d]: positions in `values`, by dimension.

    `numerator` [n]: the count, or of a ratio its numerator; `denominator` [n]: of a ratio, else None.
    """

    dimensions: tuple[str, ...]
    values: tuple[tuple[str, ...], ...]
    windows: int
    window: Codes
    codes: Codes
    numerator: Floats
    denominator: Floats | None

    @classmethod
    def of(
        cls, rows: Sequence[Mapping[str, object]], dimensions: Sequence[str], numerator: str, denominator: str = ""
    ) -> Self:
        """From rows of `leaves.leaves`. Windows without rows are empty; window 0 is always there."""
        values, codes = [], np.empty((len(rows), len(dimensions)), np.int64)
        for k, dimension in enumerate(dimensions):
            seen: dict[object, int] = {}
            codes[:, k] = [seen.setdefault(row[dimension], len(seen)) for row in rows]
            values.append(tuple(map(str, seen)))
        window = np.fromiter((row["window_number"] for row in rows), np.int64, len(rows))
        return cls(
            tuple(dimensions),
            tuple(values),
            int(window.max(initial=0)) + 1,
            window,
            codes,
            _column(rows, numerator),
            _column(rows, denominator) if denominator else None,
        )

    def rows(self, keep: Bools) -> "Cube":
        """Some of the leaves alone; windows and values stay."""
        denominator = None if self.denominator is None else self.denominator[keep]
        return Cube(
            self.dimensions,
            self.values,
            self.windows,
            self.window[keep],
            self.codes[keep],
            self.numerator[keep],
            denominator,
        )

    def families(self) -> list[tuple[int, ...]]:
        """Every dimension, then every pair of dimensions that are not two sizes of one thing."""
        nested = {frozenset(pair) for pair in NESTED}
        several = [k for k in range(len(self.dimensions)) if len(self.values[k]) > 1]
        pairs = [
            (a, b)
            for a, b in combinations(several, 2)
            if frozenset((self.dimensions[a], self.dimensions[b])) not in nested
        ]
        return [*((k,) for k in several), *pairs]

    def code(self, family: tuple[int, ...]) -> tuple[Codes, int]:
        """[n]: each leaf's slice in that family, and how many there may be."""
        if len(family) == 1:
            return self.codes[:, family[0]], len(self.values[family[0]])
        a, b = family
        return self.codes[:, a] * len(self.values[b]) + self.codes[:, b], len(self.values[a]) * len(self.values[b])

    def sums(self, family: tuple[int, ...], weights: Floats) -> Floats:
        """[windows, slices of the family]: the weights added up."""
        code, size = self.code(family)
        flat = np.bincount(self.window * size + code, weights, self.windows * size)
        return np.asarray(flat, dtype=np.float64).reshape(self.windows, size)

    def totals(self, weights: Floats) -> Floats:
        """[windows]"""
        return np.asarray(np.bincount(self.window, weights, self.windows), dtype=np.float64)

    def inside(self, family: tuple[int, ...], chosen: Sequence[int]) -> Bools:
        """[n]: the leaves of these slices of the family."""
        return np.isin(self.code(family)[0], chosen)

    def names(self, family: tuple[int, ...], slice_: int) -> tuple[str, ...]:
        """The values that make that slice."""
        if len(family) == 1:
            return (self.values[family[0]][slice_],)
        a, b = divmod(slice_, len(self.values[family[1]]))
        return self.values[family[0]][a], self.values[family[1]][b]


def _column(rows: Sequence[Mapping[str, object]], name: str) -> Floats:
    return np.fromiter((row[name] for row in rows), np.float64, len(rows))
