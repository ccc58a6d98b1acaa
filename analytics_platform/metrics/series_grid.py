"""Stored rows of series/quarter_hour as arrays on a gap-free grid: a row a series, a column a bucket.

Belongs here: from rows to arrays, what is usual at a time of day. Does not: reading a warehouse
(`defs/series_reading.py`), whether figures have changed (`metrics/series_changes.py`), judging (`detectors/`). Imported
lazily only: numpy and pyarrow are imported at the top.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from analytics_platform.metrics.series import TABLES, SeriesKey
from analytics_platform.metrics.windows import EPOCH, Window

_SECONDS = 900
_PER_DAY = 96
_NAMES = ("service", "metric", "dimension", "dimension_value")


@dataclass(frozen=True)
class Grid:
    """`m` series by `n` buckets, oldest first. `times` [n]: starts of the buckets, epoch seconds UTC, every 900 s.
    `values`, `base` [m, n]: NaN where there is no row or the row is NULL; `base` is NaN for counts.
    """

    keys: tuple[SeriesKey, ...]
    times: NDArray[np.int64]
    values: NDArray[np.float64]
    base: NDArray[np.float64]

    def since_first_event(self) -> "Grid":
        """The same, with NaN in the buckets before anything happened in a service: there was no service to measure."""
        values, base = self.values.copy(), self.base.copy()
        for service in dict.fromkeys(key.service for key in self.keys):
            rows = np.array([key.service == service for key in self.keys])
            alive = np.any(np.nan_to_num(values[rows]) > 0, axis=0)
            begun = int(np.argmax(alive)) if alive.any() else len(self.times)
            values[rows, :begun] = np.nan
            base[rows, :begun] = np.nan
        return replace(self, values=values, base=base)


def assemble(rows: pa.Table, window: Window, keys: Sequence[SeriesKey] | None = None) -> Grid:
    """The rows of `series_rows` on the grid of the window, which begins and ends with a bucket.

    `keys`: these series in this order, whether there are rows of them or not; without, all there are, totals first.
    """
    start, end = ((moment - EPOCH).total_seconds() for moment in (window.start, window.end))
    times = np.arange(int(start), int(end), _SECONDS, dtype=np.int64)
    code, names = _codes(rows)
    present = np.flatnonzero(np.bincount(code, minlength=1)) if len(code) else np.empty(0, np.int64)
    found = {_key(int(c), names): int(c) for c in present}
    ordered = tuple(sorted(found, key=lambda key: (not key.is_total, key))) if keys is None else tuple(keys)
    place = np.full(int(present[-1]) + 1 if len(present) else 1, -1, dtype=np.int64)
    for k, key in enumerate(ordered):
        if key in found:
            place[found[key]] = k
    values = np.full((len(ordered), len(times)), np.nan)
    base = values.copy()
    if len(code):
        row, column = place[code], (_seconds(rows["bucket_time"]) - int(start)) // _SECONDS
        kept = (row >= 0) & (column >= 0) & (column < len(times))
        values[row[kept], column[kept]] = _floats(rows["value"])[kept]
        base[row[kept], column[kept]] = _floats(rows["base"])[kept]
    return Grid(ordered, times, values, base)


def usual_events(grid: Grid) -> Mapping[str, NDArray[np.float64]]:
    """How many events each source table usually has in each quarter hour of the day (UTC): 96 figures a source.

    The median over the days of the grid, of the service's largest count; a source that has no count among the totals is
    missing. A cautious figure: events that no watched metric counts are not in it.
    """
    usual: dict[str, NDArray[np.float64]] = {}
    slot = (grid.times // _SECONDS) % _PER_DAY
    for service, table in TABLES.items():
        rows = [k for k, key in enumerate(grid.keys) if key.is_total and key.service == service]
        # Ratios are no events; a count of users is never above that of their events.
        counts = [np.nan_to_num(grid.values[k]) for k in rows if np.isnan(grid.base[k]).all()]
        if counts:
            largest = np.max(counts, axis=0)
            by_slot = [largest[slot == k] for k in range(_PER_DAY)]
            usual[table.name] = np.array([float(np.median(v)) if len(v) else 0.0 for v in by_slot])
    return usual


def _codes(rows: pa.Table) -> tuple[NDArray[np.int64], list[list[str]]]:
    """One number a row for what names its series, and the words that it is made of."""
    code = np.zeros(rows.num_rows, np.int64)
    names: list[list[str]] = []
    for name in _NAMES:
        column: Any = pc.dictionary_encode(rows[name].combine_chunks())
        if isinstance(column, pa.ChunkedArray):
            column = column.combine_chunks()
        words = [str(word) for word in column.dictionary.to_pylist()]
        code = code * max(1, len(words)) + column.indices.to_numpy(zero_copy_only=False).astype(np.int64)
        names.append(words)
    return code, names


def _key(code: int, names: list[list[str]]) -> SeriesKey:
    words: list[str] = []
    for known in reversed(names):
        code, at = divmod(code, len(known))
        words.append(known[at])
    return SeriesKey(*reversed(words))


def _seconds(column: pa.ChunkedArray) -> NDArray[np.int64]:
    found: NDArray[np.int64] = column.cast(pa.int64()).to_numpy() // 1_000_000
    return found


def _floats(column: pa.ChunkedArray) -> NDArray[np.float64]:
    found: NDArray[np.float64] = column.cast(pa.float64()).to_numpy().astype(np.float64, copy=False)
    return found
