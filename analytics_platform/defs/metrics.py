"""facts/user_day -> metrics/daily_slices -> frames/feed_daily: the daily figures as partitioned assets.

The app's tables, which hang on facts/user_day too, are in `defs/app.py`.

Belongs here: reading the days of the run, one pure call each, replacing the partition, what the UI shows of it.
Does not: SQL, formulas, rules (`metrics/`).
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import dagster as dg

from analytics_platform.defs import checks
from analytics_platform.defs.events import event_key
from analytics_platform.defs.liveness import Alive
from analytics_platform.defs.partitions import days_of
from analytics_platform.defs.resources import Progress
from analytics_platform.defs.shown import column_schema, day_metadata, markdown, preview
from analytics_platform.defs.tables import POOL, need, table_asset, working
from analytics_platform.metrics import facts, slices
from analytics_platform.metrics.catalog import Metric
from analytics_platform.metrics.dimensions import TOTAL, Dimension
from analytics_platform.metrics.events import METRIC_TABLES
from analytics_platform.metrics.tables import (
    APP_DAILY,
    FEED_DAILY,
    FIRST_SEEN,
    POST_DAY,
    SERIES,
    ResultTable,
    daily_slices_table,
    user_day_table,
)
from analytics_platform.metrics.windows import days as days_between
from analytics_platform.queries import compose
from analytics_platform.settings import Settings
from analytics_platform.warehouses.base import Row, Warehouse

USER_DAY = dg.AssetKey(["facts", "user_day"])
DAILY_SLICES = dg.AssetKey(["metrics", "daily_slices"])
FEED_FRAME = dg.AssetKey(["frames", "feed_daily"])
POSTS = dg.AssetKey(["facts", "post_day"])
FIRST_DAYS = dg.AssetKey(["facts", "first_seen"])
APP_FRAME = dg.AssetKey(["frames", "app_daily"])
QUARTERS = dg.AssetKey(["series", "quarter_hour"])


@dataclass(frozen=True)
class Materialised:
    """A result table and the asset that writes it. `kept`: a sensor keeps its days current, between runs as well."""

    key: dg.AssetKey
    table: ResultTable
    kept: bool = False


# Every result table by name, in the order in which a day is computed.
TABLES: Mapping[str, Materialised] = {
    made.table.name: made
    for made in (
        Materialised(USER_DAY, user_day_table()),
        Materialised(DAILY_SLICES, daily_slices_table()),
        Materialised(FEED_FRAME, FEED_DAILY),
        Materialised(POSTS, POST_DAY),
        Materialised(FIRST_DAYS, FIRST_SEEN),
        Materialised(APP_FRAME, APP_DAILY),
        Materialised(QUARTERS, SERIES, kept=True),
    )
}

_TRIES = 3


def metric_assets(
    partitions: dg.DailyPartitionsDefinition, metrics: Sequence[Metric], dimensions: Sequence[Dimension], engine: str
) -> list[dg.AssetsDefinition]:
    """The three assets, for that catalogue."""
    user_days, slice_table = user_day_table(metrics, dimensions), daily_slices_table(metrics)

    @dg.asset(
        key=USER_DAY,
        deps=[event_key(t) for t in METRIC_TABLES],
        partitions_def=partitions,
        backfill_policy=dg.BackfillPolicy.single_run(),
        group_name="users",
        kinds={engine, "table"},
        pool=POOL,
        description="One row per user and local day with any event: the day's counts, and the attributes of the "
        "user's last event. Users who only received messages take the latest attributes of 30 days, else unknown.",
        metadata=column_schema(user_days, metrics, dimensions),
        check_specs=[
            dg.AssetCheckSpec(
                checks.FACTS_MATCH,
                asset=USER_DAY,
                blocking=True,
                description="Every count equals the same count over the events themselves.",
            ),
            dg.AssetCheckSpec(
                checks.RECEIVED_IS_SENT,
                asset=USER_DAY,
                blocking=True,
                description="Messages received = messages sent = rows of message_actions.",
            ),
        ],
    )
    def user_day(
        context: dg.AssetExecutionContext,
        alive: dg.ResourceParam[Alive],
        warehouse: dg.ResourceParam[Warehouse],
        settings: dg.ResourceParam[Settings],
        progress: dg.ResourceParam[Progress],
    ) -> dg.MaterializeResult:
        days = days_of(context)
        mismatches: dict[date, list[str]] = defaultdict(list)
        unbalanced: dict[date, list[str]] = defaultdict(list)
        with working(context, USER_DAY, settings):
            for done, day in enumerate(days, start=1):
                for _ in range(_TRIES):
                    current = _lookback(warehouse, user_days, day, settings)
                    query = facts.user_day(day, settings.zone, current, metrics, dimensions)
                    rows = warehouse.replace_day(user_days, day, query)
                    [expected] = warehouse.rows(facts.event_totals(day, settings.zone, metrics))
                    [stored] = warehouse.rows(facts.stored_totals(day, metrics))
                    mismatches[day] = facts.mismatches(stored, expected)
                    unbalanced[day] = facts.imbalance(stored, metrics)
                    # Events loaded between computing and checking are no wrong number: the day is computed again.
                    if not mismatches[day] or day in warehouse.current_days(user_days, day, day):
                        break
                context.add_asset_metadata(day_metadata(rows, query, engine), partition_key=day.isoformat())
                progress.step("facts/user_day", done, len(days))
        return dg.MaterializeResult(
            check_results=[
                checks.result(checks.FACTS_MATCH, USER_DAY, days, mismatches),
                checks.result(checks.RECEIVED_IS_SENT, USER_DAY, days, unbalanced),
            ]
        )

    @dg.asset(
        key=DAILY_SLICES,
        deps=[USER_DAY],
        partitions_def=partitions,
        backfill_policy=dg.BackfillPolicy.single_run(),
        group_name="users",
        kinds={engine, "table"},
        pool=POOL,
        description="Every metric of the catalogue by every dimension and in total, one row per day and value. "
        "Users are exact within a row; never add them up over rows.",
        metadata=column_schema(slice_table, metrics),
        check_specs=[
            dg.AssetCheckSpec(
                checks.SLICES_ADD_UP,
                asset=DAILY_SLICES,
                blocking=True,
                description="The slices of each dimension add up to the total, for every count.",
            ),
            dg.AssetCheckSpec(
                checks.NO_NULLS,
                asset=DAILY_SLICES,
                blocking=True,
                description="No dimension value and no count is missing.",
            ),
            dg.AssetCheckSpec(
                checks.USUAL_VOLUME,
                asset=DAILY_SLICES,
                description="Events of the day against the same weekday a week before.",
            ),
        ],
    )
    def daily_slices(
        context: dg.AssetExecutionContext,
        alive: dg.ResourceParam[Alive],
        warehouse: dg.ResourceParam[Warehouse],
        settings: dg.ResourceParam[Settings],
        progress: dg.ResourceParam[Progress],
    ) -> dg.MaterializeResult:
        days = days_of(context)
        sums: dict[date, list[str]] = {}
        missing: dict[date, list[str]] = {}
        with working(context, DAILY_SLICES, settings):
            for done, day in enumerate(days, start=1):
                need(warehouse, user_days, USER_DAY, day)
                query = slices.daily_slices(day, settings.labels, metrics, dimensions)
                warehouse.replace_day(slice_table, day, query)
                rows = warehouse.rows(slices.slices_between(day, day, metrics=metrics))
                sums[day] = slices.sum_violations(rows, metrics)
                missing[day] = slices.null_violations(rows, metrics)
                metadata = day_metadata(len(rows), query, engine)
                if done == len(days):
                    metadata["preview"] = preview(_overview(rows))
                    metadata["all_slices"] = dg.MetadataValue.md(markdown(rows))
                context.add_asset_metadata(metadata, partition_key=day.isoformat())
                progress.step("metrics/daily_slices", done, len(days))
            totals = warehouse.rows(
                slices.slices_between(days[0] - timedelta(days=7), days[-1], TOTAL, metrics=metrics)
            )
        unusual = slices.unusual_volumes(totals, days, settings.volume_tolerance, metrics)
        return dg.MaterializeResult(
            check_results=[
                checks.result(checks.SLICES_ADD_UP, DAILY_SLICES, days, sums),
                checks.result(checks.NO_NULLS, DAILY_SLICES, days, missing),
                checks.warning(checks.USUAL_VOLUME, DAILY_SLICES, days, unusual),
            ]
        )

    feed_daily = table_asset(
        FEED_FRAME,
        FEED_DAILY,
        partitions,
        group="feed",
        engine=engine,
        reads=((slice_table, DAILY_SLICES),),
        statement=lambda day, _: (compose("feed_daily", {"event_date": day}), None),
        preview=lambda last: compose("feed_frame", {"first_day": last - timedelta(days=7), "last_day": last}),
        about="The news feed's day: DAU (distinct users with a feed event), views, likes, CTR = likes / views.",
    )
    return [user_day, daily_slices, feed_daily]


def _lookback(warehouse: Warehouse, table: ResultTable, day: date, settings: Settings) -> Collection[date]:
    """The days before, whose facts can be read; of the day itself and the others the events as they are now are noted,
    so that the engine can tell later whether any came after them.
    """
    first, last = facts.lookback(day)
    current = warehouse.current_days(table, first, last)
    missing = min((d for d in days_between(first, last) if d not in current), default=day)
    if warehouse.note_changes(missing, day, settings.zone):
        current = warehouse.current_days(table, first, last)
    return current


def _overview(rows: Sequence[Row]) -> list[Row]:
    """The total and the short dimensions first, with the figures that fit a page."""
    sizes = Counter(row["dimension"] for row in rows)
    order = sorted(sizes, key=lambda name: (name != TOTAL, sizes[name]))
    chosen = [row for name in order for row in rows if row["dimension"] == name]
    names = ("active_users", "views", "likes", "messages_sent", "ctr")
    return [
        {
            "slice": TOTAL if row["dimension"] == TOTAL else f"{row['dimension']}: {row['dimension_value']}",
            **{n: row[n] for n in names if n in row},
        }
        for row in chosen
    ]
