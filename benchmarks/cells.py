"""One number over all cells of the sliced metrics, so that two ways of computing them can be compared.

Belongs here: the figures and dimensions that all ways compute. Does not: computing them.
"""

import hashlib
import math
from collections.abc import Iterable, Mapping

DIMENSIONS = ("gender", "age", "os", "age_group", "country", "source", "total")
COUNTS = (
    "views",
    "likes",
    "messages_received",
    "messages_sent",
    "users_received",
    "users_sent",
    "active_users",
    "feed_actions",
    "feed_users",
    "senders",
)


def checksum(rows: Iterable[Mapping[str, object]]) -> str:
    """Of the rows of metrics/daily_slices: equal when every cell is, in whatever order; 16 hex digits."""
    lines = []
    for row in rows:
        if row["dimension"] not in DIMENSIONS:
            continue
        ratio = row["ctr"]
        # 12 digits: enough to tell any two quotients of counts apart, not so many that an engine's last bit shows.
        ctr = f"{ratio:.12g}" if isinstance(ratio, float) and not math.isnan(ratio) else "none"
        counts = [str(row[name]) for name in COUNTS]
        lines.append(
            "\t".join([str(row["event_date"]), str(row["dimension"]), str(row["dimension_value"]), *counts, ctr])
        )
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()[:16]
