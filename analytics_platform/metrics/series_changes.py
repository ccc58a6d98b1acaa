"""Whether the figures of a quarter hour are still what they were, or different enough to matter.

Belongs here: comparing stored totals. Does not: reading them, what follows from a change (`defs/series.py`).
"""

from collections.abc import Iterable, Mapping
from datetime import datetime

SHARE = 0.01
EVENTS = 2.0

Row = Mapping[str, object]
# By metric what was counted: a count, or a ratio's numerator and denominator.
Counted = Mapping[str, tuple[float, float]]


def counted(rows: Iterable[Row]) -> dict[tuple[str, datetime], dict[str, tuple[float, float]]]:
    """Of rows of `metrics.series.series_rows` (totals alone), what was counted by service and bucket (naive UTC)."""
    found: dict[tuple[str, datetime], dict[str, tuple[float, float]]] = {}
    for row in rows:
        bucket, value, base = row["bucket_time"], float(str(row["value"] or 0)), row["base"]
        if isinstance(bucket, datetime):
            count = value if base is None else float(str(base))
            part = 0.0 if base is None else value * count
            found.setdefault((str(row["service"]), bucket), {})[str(row["metric"])] = part, count
    return found


def noticeable(before: Counted, after: Counted) -> bool:
    """Whether any of the counts has changed by more than 1 % and by more than 2 events. What is missing is 0."""
    none = (0.0, 0.0)
    for metric in before.keys() | after.keys():
        for old, new in zip(before.get(metric, none), after.get(metric, none), strict=True):
            if abs(new - old) > max(EVENTS, SHARE * old) + 1e-6:  # a ratio times its base is no whole number
                return True
    return False
