"""What was counted, as columns of numbers: one item is a group (a country, a category) or one of its videos.

Belongs here: reading the rows of `counting.py`, the best items of each group. Does not: what their figures mean
(`trends.py`, `ranked.py`). Imported lazily only: numpy and pyarrow are imported at the top.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


_COUNTS = (
    "score_recent",
    "score_previous",
    "events_recent",
    "events_previous",
    "users_recent",
    "users_previous",
    "audience_previous",
    "audience_squares",
    "videos_recent",
    "completion_recent",
    "completions_recent",
)


@dataclass(frozen=True)
class Items:
    """The rows of one kind. `names`: of the groups; `group`: each row's place in `names`; `counts`: by column, where
    what is not there is 0, and scores and completion rates are in millionths.
    """

    names: tuple[str, ...]
    group: Ints
    member: pa.Array
    counts: Mapping[str, Ints]

    @classmethod
    def of(cls, counted: pa.Table, kind: str, ranked_by: str) -> "Items":
        """The rows of that kind and ranking."""
        chosen = (pc.field("kind") == kind) & (pc.field("ranked_by") == ranked_by)
        (rows,) = counted.filter(chosen).combine_chunks().to_batches() or [None]
        if rows is None:
            nothing = np.zeros(0, dtype=np.int64)
            return cls((), nothing, pa.array([], pa.string()), dict.fromkeys(_COUNTS, nothing))
        names = pc.dictionary_encode(rows.column("name"))
        counts = {name: pc.fill_null(rows.column(name), 0).to_numpy().astype(np.int64) for name in _COUNTS}
        # In an order of their own: engines give rows in any, and sums of fractions depend on it in the last digit.
        order = np.lexsort([counts[name] for name in ("audience_squares", "audience_previous", "users_recent")])
        return cls(
            tuple(names.dictionary.to_pylist()),
            names.indices.to_numpy().astype(np.int64)[order],
            rows.column("member").take(pa.array(order)),
            {name: values[order] for name, values in counts.items()},
        )

    def __len__(self) -> int:
        return int(self.group.size)

    def count(self, column: str, row: int) -> int:
        """One count."""
        return int(self.counts[column][row])

    def name(self, row: int) -> str:
        """The row's group."""
        return self.names[int(self.group[row])]

    def members(self, rows: Sequence[int]) -> list[str]:
        """Video, event type or country of these rows."""
        return list(self.member.take(pa.array(rows, pa.int64())).to_pylist())

    def by_group(self, column: str) -> Mapping[str, Mapping[str, int]]:
        """By group, the members with a count that is not 0, in the order of their names."""
        rows = np.flatnonzero(self.counts[column]).tolist()
        found: dict[str, dict[str, int]] = {}
        for member, row in sorted(zip(self.members(rows), rows, strict=True)):
            found.setdefault(self.name(row), {})[member] = self.count(column, row)
        return found

    def best(self, value: Floats | Ints, among: Bools, most: int) -> Mapping[str, list[int]]:
        """By group, its rows with the highest value, highest first, `most` at most; of equals, the first by name."""
        rows = np.flatnonzero(among)
        order = rows[np.lexsort((-value[rows], self.group[rows]))]
        group, ordered = self.group[order], value[order]
        first = np.searchsorted(group, group, "left")
        last = np.searchsorted(group, group, "right") - 1
        # All that are as good as the last one that may stay: names decide between them.
        near = order[ordered >= ordered[np.minimum(first + most - 1, last)]].tolist()
        found: dict[str, list[tuple[float, str, int]]] = {}
        for row, member in zip(near, self.members(near), strict=True):
            found.setdefault(self.name(row), []).append((-float(value[row]), member, row))
        return {name: [row for _, _, row in sorted(many)[:most]] for name, many in found.items()}
