"""The same figures the way they used to be made: SQL to one row per user, then merges and group-bys in pandas.

Belongs here: that computation, with and without the text in which ClickHouse sent its answers to pandas. Does not:
the platform's own. It is given the attributes of users who only received messages; it had no way to find them.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from io import BytesIO

import numpy as np
import pandas as pd

from benchmarks.cells import COUNTS, DIMENSIONS, checksum
from benchmarks.daily import LABELS, attached
from benchmarks.data import Place
from benchmarks.measure import Job

_ATTRIBUTES = ("gender", "age", "os", "country", "source")
_ANY = ", ".join(f"any_value({a}) AS {a}" for a in _ATTRIBUTES)
_WITHIN = "time >= TIMESTAMP '{day}' AND time < TIMESTAMP '{day}' + INTERVAL 1 DAY"
FEED = (
    "SELECT user_id, sum(CAST(action = 'view' AS INTEGER)) AS views, sum(CAST(action = 'like' AS INTEGER)) AS likes, "
    f"count(*) AS feed_actions, {_ANY} FROM events.feed_actions WHERE {_WITHIN} GROUP BY user_id"
)
SENT = (
    f"SELECT user_id, count(*) AS messages_sent, count(DISTINCT receiver_id) AS users_sent, {_ANY} "
    f"FROM events.message_actions WHERE {_WITHIN} GROUP BY user_id"
)
RECEIVED = (
    "SELECT receiver_id AS user_id, count(*) AS messages_received, count(DISTINCT user_id) AS users_received "
    f"FROM events.message_actions WHERE {_WITHIN} GROUP BY receiver_id"
)
_BANDS = ("0-19", "20-29", "30-39", "40-49", "50-59", "60+")


Answer = Callable[[str], pd.DataFrame]


def pandas_way(place: Place, days: Sequence[date], *, text: bool, each: bool) -> Job:
    """The slices of each of those days from DuckDB, measured per day (`each`) or as a whole.

    `text`: each answer of the engine goes through a file of tab-separated text.
    """
    con = attached(place)
    answer = place.scratch / "answer.tsv"

    def read(statement: str) -> pd.DataFrame:
        if not text:
            return con.execute(statement).df()
        con.execute(f"COPY ({statement}) TO '{answer}' (FORMAT csv, DELIMITER '\t', HEADER)")
        return pd.read_csv(answer, sep="\t")

    return _job(place, days, read, each=each)


def server_way(place: Place, days: Sequence[date], *, each: bool) -> Job:
    """The same from ClickHouse, whose answers are tab-separated text: what scripts started by cron did."""
    from benchmarks.server import open_server

    warehouse = open_server(place)

    def read(statement: str) -> pd.DataFrame:
        return pd.read_csv(BytesIO(warehouse.text(statement)), sep="\t", na_values="\\N")

    return _job(place, days, read, each=each)


def _job(place: Place, days: Sequence[date], read: Answer, *, each: bool) -> Job:
    looked_up = dict(iter(pd.read_parquet(place.looked_up).groupby("day")))
    nobody = pd.DataFrame({name: [] for name in ("user_id", *_ATTRIBUTES)})
    made: list[pd.DataFrame] = []

    def asked(statement: str, day: date) -> pd.DataFrame:
        return read(statement.format(day=day))

    def run() -> Mapping[str, float]:
        made.clear()
        for day in days:
            users = _merged(asked(FEED, day), asked(SENT, day), asked(RECEIVED, day), looked_up.get(day, nobody))
            made.append(_sliced(users).assign(event_date=day))
        return {}

    def outcome() -> Mapping[str, object]:
        rows = pd.concat(made).to_dict("records")
        return {"checksum": checksum({str(k): v for k, v in row.items()} for row in rows)}

    return Job(run, facts=outcome, shares=len(days) if each else 1)


def _merged(feed: pd.DataFrame, sent: pd.DataFrame, received: pd.DataFrame, looked_up: pd.DataFrame) -> pd.DataFrame:
    """One row per user of the day."""
    users = feed.merge(sent, on="user_id", how="outer", suffixes=("", "_sent"))
    users = users.merge(received, on="user_id", how="outer")
    users = users.merge(looked_up[["user_id", *_ATTRIBUTES]], on="user_id", how="left", suffixes=("", "_before"))
    for name in _ATTRIBUTES:
        own = users[name].astype(object) if users[name].isna().all() else users[name]
        users[name] = own.fillna(users[f"{name}_sent"]).fillna(users[f"{name}_before"])
    counts = ["views", "likes", "feed_actions", "messages_sent", "users_sent", "messages_received", "users_received"]
    users[counts] = users[counts].fillna(0).astype("int64")
    return users


def _sliced(users: pd.DataFrame) -> pd.DataFrame:
    """The rows of metrics/daily_slices, without the date."""
    labels = {int(code): label for code, label in LABELS.of("gender").items()}
    age = users["age"].astype("float64")
    users = users.assign(
        gender=users["gender"].map(labels).fillna("unknown"),
        age=age.astype("Int64").astype("str").fillna("unknown"),
        age_group=pd.cut(age, [-1, 19, 29, 39, 49, 59, np.inf], labels=_BANDS).astype("object").fillna("unknown"),
        os=users["os"].fillna("unknown"),
        country=users["country"].fillna("unknown"),
        source=users["source"].fillna("unknown"),
        total="total",
        active_users=1,
        feed_users=(users["feed_actions"] > 0).astype("int64"),
        senders=(users["messages_sent"] > 0).astype("int64"),
    )
    parts = []
    for dimension in DIMENSIONS:
        part = users.groupby(dimension)[list(COUNTS)].sum().reset_index().rename(columns={dimension: "dimension_value"})
        parts.append(part.assign(dimension=dimension))
    rows = pd.concat(parts)
    return rows.assign(ctr=rows["likes"] / rows["views"].where(rows["views"] > 0))
