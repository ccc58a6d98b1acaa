"""The same figures with Polars: lazy frames over Parquet files, a file a table and day, on its streaming engine.

Belongs here: that computation. Does not: the files (`data.py`). Like pandas it writes nothing and is given the
attributes of users who only received messages.
"""

from collections.abc import Mapping, Sequence
from datetime import date

import polars as pl

from benchmarks.cells import COUNTS, DIMENSIONS, checksum
from benchmarks.daily import LABELS
from benchmarks.data import Place, parquet_of
from benchmarks.measure import Job

_ATTRIBUTES = ("gender", "age", "os", "country", "source")
_BANDS = ("0-19", "20-29", "30-39", "40-49", "50-59", "60+")
_EDGES = (19, 29, 39, 49, 59)
_USERS = ("active_users", "feed_users", "senders")


def polars_way(place: Place, days: Sequence[date], *, each: bool) -> Job:
    """The slices of each of those days, measured per day (`each`) or as a whole."""
    made: list[pl.DataFrame] = []

    def run() -> Mapping[str, float]:
        made[:] = [_day(place, day) for day in days]
        return {}

    def outcome() -> Mapping[str, object]:
        return {"checksum": checksum(pl.concat(made).to_dicts())}

    return Job(run, facts=outcome, shares=len(days) if each else 1)


def _day(place: Place, day: date) -> pl.DataFrame:
    """The rows of metrics/daily_slices of one day."""
    # Users are summed by their combination of attributes on the streaming engine; those few thousand rows are sliced.
    combined = _combinations(place, day).collect(engine="streaming")
    labels = {int(code): label for code, label in LABELS.of("gender").items()}
    age = pl.col("age")
    rows = combined.with_columns(
        gender=pl.col("gender").replace_strict(labels, default="unknown", return_dtype=pl.String),
        age_group=age.cut(_EDGES, labels=_BANDS).cast(pl.String).fill_null("unknown"),
        age=age.cast(pl.String).fill_null("unknown"),
        os=pl.col("os").fill_null("unknown"),
        country=pl.col("country").fill_null("unknown"),
        source=pl.col("source").fill_null("unknown"),
        total=pl.lit("total"),
    )
    parts = [
        rows.group_by(pl.col(name).alias("dimension_value"))
        .agg(pl.col(*COUNTS).sum())
        .with_columns(event_date=pl.lit(day), dimension=pl.lit(name))
        for name in DIMENSIONS
    ]
    sliced = pl.concat(parts)
    return sliced.with_columns(ctr=pl.when(pl.col("views") > 0).then(pl.col("likes") / pl.col("views")))


def _combinations(place: Place, day: date) -> pl.LazyFrame:
    """Sums over users by attributes."""
    feed, messages = (
        pl.scan_parquet(parquet_of(place.parquet, name, day)) for name in ("feed_actions", "message_actions")
    )
    known = pl.scan_parquet(place.looked_up).filter(pl.col("day") == day).select("user_id", *_ATTRIBUTES)
    # They do not change within a day here, so whichever comes first will do.
    first = [pl.col(name).first() for name in _ATTRIBUTES]
    action = pl.col("action")
    viewed = feed.group_by("user_id").agg(
        *first, views=(action == "view").sum(), likes=(action == "like").sum(), feed_actions=pl.len()
    )
    pairs = messages.group_by("user_id", "receiver_id").agg(*first, n=pl.len())
    sent = pairs.group_by("user_id").agg(*first, messages_sent=pl.col("n").sum(), users_sent=pl.len())
    received = pairs.group_by(pl.col("receiver_id").alias("user_id")).agg(
        messages_received=pl.col("n").sum(), users_received=pl.len()
    )
    users = viewed.join(sent, on="user_id", how="full", coalesce=True, suffix="_sent")
    users = users.join(received, on="user_id", how="full", coalesce=True)
    users = users.join(known, on="user_id", how="left", suffix="_before")
    own = {name: pl.coalesce(name, f"{name}_sent", f"{name}_before") for name in _ATTRIBUTES}
    counts = [name for name in COUNTS if name not in _USERS]
    return (
        users.with_columns(pl.col(*counts).cast(pl.Int64).fill_null(0), **own)
        .group_by(*_ATTRIBUTES)
        .agg(
            pl.col(*counts).sum(),
            active_users=pl.len(),
            feed_users=(pl.col("feed_actions") > 0).sum(),
            senders=(pl.col("messages_sent") > 0).sum(),
        )
    )
