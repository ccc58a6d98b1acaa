"""The same figures as somebody would write them who knows DuckDB and this data: one statement from events to slices.

Belongs here: that statement, with and without a table of users and days. Does not: ClickHouse's (`by_hand_server.py`).
It knows that attributes do not change within a day here, is given those of users who only received messages, and keeps
no ledger: no transaction, no time zones, nothing for a second process. What the platform costs above it is their price.
"""

from collections.abc import Mapping, Sequence
from datetime import date

from benchmarks.cells import COUNTS, DIMENSIONS, checksum
from benchmarks.daily import LABELS, attached, remove
from benchmarks.data import Place
from benchmarks.measure import Job

ATTRIBUTES = ("gender", "age", "os", "country", "source")
USERS = ("active_users", "feed_users", "senders")
SUMMED = tuple(name for name in COUNTS if name not in USERS)
_LISTED = ", ".join(ATTRIBUTES)
_WITHIN = "time >= TIMESTAMP '{day}' AND time < TIMESTAMP '{day}' + INTERVAL 1 DAY"
_COLUMNS = "event_date, dimension, dimension_value, " + ", ".join([*COUNTS, "ctr"])

# Grouping by user and attributes at once is cheaper than any_value of five attributes; attributes of messages are read
# for the few senders alone who did nothing in the feed.
_USER_DAY = f"""
WITH feed AS (
  SELECT user_id, {_LISTED}, count(*) FILTER (action = 'view') AS views, count(*) FILTER (action = 'like') AS likes,
    count(*) AS feed_actions
  FROM events.feed_actions WHERE {_WITHIN} GROUP BY user_id, {_LISTED}
),
pair AS (
  SELECT user_id, receiver_id, count(*) AS n, min(rowid) AS event
  FROM events.message_actions WHERE {_WITHIN} GROUP BY user_id, receiver_id
),
sent AS (
  SELECT user_id, sum(n) AS messages_sent, count(*) AS users_sent, min(event) AS event FROM pair GROUP BY user_id
),
received AS (
  SELECT receiver_id AS user_id, sum(n) AS messages_received, count(*) AS users_received FROM pair GROUP BY receiver_id
),
known AS (
  SELECT user_id, {_LISTED} FROM events.message_actions
  WHERE {_WITHIN} AND rowid IN (SELECT sent.event FROM sent ANTI JOIN feed USING (user_id))
  UNION ALL
  SELECT user_id, {_LISTED} FROM '{{looked_up}}' WHERE day = DATE '{{day}}'
),
one AS (
  SELECT user_id, {", ".join(f"coalesce({c}, 0) AS {c}" for c in SUMMED)}, {", ".join(f"feed.{a}" for a in ATTRIBUTES)}
  FROM feed FULL JOIN sent USING (user_id) FULL JOIN received USING (user_id)
)
SELECT DATE '{{day}}' AS event_date, one.user_id, {", ".join(SUMMED)},
  {", ".join(f"coalesce(one.{a}, known.{a}) AS {a}" for a in ATTRIBUTES)}
FROM one LEFT JOIN known USING (user_id)
"""


def slices_of(users: str) -> str:
    """The statement that slices the table or subquery `users`, in both engines' words; `{day}` is still open."""
    labels = " ".join(f"WHEN {code} THEN '{label}'" for code, label in LABELS.of("gender").items())
    bands = "WHEN age < 20 THEN '0-19' " + " ".join(
        f"WHEN age < {edge} THEN '{edge - 10}-{edge - 1}'" for edge in (30, 40, 50, 60)
    )
    values = {
        "gender": f"CASE gender {labels} END",
        "age": "CAST(age AS VARCHAR)",
        "age_group": f"CASE WHEN age < 0 THEN NULL {bands} WHEN age >= 60 THEN '60+' END",
    }
    sliced = [name for name in DIMENSIONS if name != "total"]
    valued = ", ".join(f"coalesce({values.get(name, name)}, 'unknown') AS by_{name}" for name in sliced)
    return f"""
WITH combination AS (
  SELECT {_LISTED}, {", ".join(f"sum({c}) AS {c}" for c in SUMMED)}, count(*) AS active_users,
    count(*) FILTER (WHERE feed_actions > 0) AS feed_users, count(*) FILTER (WHERE messages_sent > 0) AS senders
  FROM {users} GROUP BY {_LISTED}
),
valued AS (SELECT {valued}, {", ".join(COUNTS)} FROM combination)
SELECT DATE '{{day}}' AS event_date,
  CASE {" ".join(f"WHEN grouping(by_{d}) = 0 THEN '{d}'" for d in sliced)} ELSE 'total' END AS dimension,
  CASE {" ".join(f"WHEN grouping(by_{d}) = 0 THEN by_{d}" for d in sliced)} ELSE 'total' END AS dimension_value,
  {", ".join(f"CAST(sum(valued.{c}) AS BIGINT) AS {c}" for c in COUNTS)},
  CASE WHEN sum(valued.views) > 0 THEN CAST(sum(valued.likes) AS DOUBLE) / sum(valued.views) END AS ctr
FROM valued GROUP BY GROUPING SETS ({", ".join(f"(by_{d})" for d in sliced)}, ())
"""


def by_hand(place: Place, days: Sequence[date], *, facts: bool, each: bool) -> Job:
    """The slices of each of those days, measured per day (`each`) or as a whole.

    `facts`: users and days are written to a file first, as a table a day, and sliced from there; otherwise nothing is
    written.
    """
    con = attached(place)
    con.execute("SET threads = 1")  # a day is small: a second one costs a fifth more CPU
    target = place.scratch / "by_hand.duckdb"
    made: list[list[tuple[object, ...]]] = []
    users = _USER_DAY.replace("{looked_up}", str(place.looked_up))
    whole, stored = slices_of(f"({users})"), slices_of('kept."user_day_{day}"')

    def before() -> None:
        if facts:
            remove(target)

    def one(day: date) -> list[tuple[object, ...]]:
        if not facts:
            return con.execute(whole.format(day=day)).fetchall()
        con.execute(f"ATTACH '{target}' AS kept")
        con.execute(f'CREATE TABLE kept."user_day_{day}" AS {users.format(day=day)}')
        rows = con.execute(stored.format(day=day)).fetchall()
        con.execute("DETACH kept")
        return rows

    def run() -> Mapping[str, float]:
        made[:] = [one(day) for day in days]
        return {}

    def outcome() -> Mapping[str, object]:
        names = _COLUMNS.split(", ")
        return {"checksum": checksum(dict(zip(names, row, strict=True)) for rows in made for row in rows)}

    return Job(run, before, outcome, shares=len(days) if each else 1)
