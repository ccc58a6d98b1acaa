"""The same figures as somebody would write them who knows ClickHouse and this data: one statement, events to slices.

Belongs here: that statement, with and without a table of users and days. Does not: DuckDB's, how users are sliced
(`by_hand.py`, where it also says what it is given and does without).
"""

from collections.abc import Mapping, Sequence
from datetime import date

from analytics_platform.queries import Query
from benchmarks.by_hand import ATTRIBUTES, SUMMED, slices_of
from benchmarks.cells import checksum
from benchmarks.data import Place
from benchmarks.measure import Job
from benchmarks.server import DATABASE, LOOKED_UP, open_server

_LISTED = ", ".join(ATTRIBUTES)
_WITHIN = "time >= toDateTime64('{day}', 6, 'UTC') AND time < toDateTime64('{day}', 6, 'UTC') + INTERVAL 1 DAY"


# A day is small: a second thread costs a sixth more CPU.
_ONE_THREAD = " SETTINGS max_threads = 1"


def _arm(user: str, attributes: str, where: str, **counts: str) -> str:
    listed = ", ".join(f"{counts.get(name, 'toUInt64(0)')} AS {name}" for name in SUMMED)
    return f"SELECT {user} AS user_id, {attributes}, {listed} FROM {where}"


_FEED = f"{DATABASE}.feed_actions WHERE {_WITHIN}"
_MESSAGES = f"{DATABASE}.message_actions WHERE {_WITHIN}"
# A CTE is evaluated at each use, so nothing is named twice. Grouping by user and attributes at once is cheaper than
# any() of five attributes over all of the feed.
_USER_DAY = f"""
SELECT user_id, {", ".join(f"sum({c}) AS {c}" for c in SUMMED)}, {", ".join(f"any({a}) AS {a}" for a in ATTRIBUTES)}
FROM (
  {
    _arm(
        "user_id",
        _LISTED,
        f"{_FEED} GROUP BY user_id, {_LISTED}",
        views="countIf(action = 'view')",
        likes="countIf(action = 'like')",
        feed_actions="count()",
    )
}
  UNION ALL
  {
    _arm(
        "user_id",
        ", ".join(f"any({a}) AS {a}" for a in ATTRIBUTES),
        f"{_MESSAGES} GROUP BY user_id",
        messages_sent="count()",
        users_sent="uniqExact(receiver_id)",
    )
}
  UNION ALL
  {
    _arm(
        "receiver_id",
        ", ".join(f"NULL AS {a}" for a in ATTRIBUTES),
        f"{_MESSAGES} GROUP BY receiver_id",
        messages_received="count()",
        users_received="uniqExact(user_id)",
    )
}
  UNION ALL
  {_arm("user_id", _LISTED, f"{LOOKED_UP} WHERE day = '{{day}}'")}
) GROUP BY user_id
"""


def by_hand(place: Place, days: Sequence[date], *, facts: bool, each: bool) -> Job:
    """The slices of each of those days, measured per day (`each`) or as a whole.

    `facts`: users and days are written first, as a table a day, and sliced from there; otherwise nothing is written.
    """
    warehouse = open_server(place)
    made: list[list[dict[str, object]]] = []
    whole = slices_of(f"({_USER_DAY})") + _ONE_THREAD
    stored = slices_of(f"{DATABASE}.`kept_{{day}}`") + _ONE_THREAD

    def before() -> None:
        for day in days if facts else ():
            warehouse.server.command(f"DROP TABLE IF EXISTS {DATABASE}.`kept_{day}` SYNC", name="forget")

    def one(day: date) -> list[dict[str, object]]:
        if not facts:
            return warehouse.rows(Query("by_hand", whole.format(day=day)))
        made_by = (
            f"CREATE TABLE {DATABASE}.`kept_{day}` ENGINE = MergeTree ORDER BY user_id AS {_USER_DAY}{_ONE_THREAD}"
        )
        warehouse.server.command(made_by.format(day=day), name="keep")
        return warehouse.rows(Query("by_hand", stored.format(day=day)))

    def run() -> Mapping[str, float]:
        made[:] = [one(day) for day in days]
        return {}

    return Job(
        run,
        before,
        lambda: {"checksum": checksum(row for rows in made for row in rows)},
        shares=len(days) if each else 1,
    )
