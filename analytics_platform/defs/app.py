"""facts/post_day, facts/first_seen -> frames/app_daily: what the app report reads, as partitioned assets.

Belongs here: reading the days of the run, one statement each, replacing the partition. Does not: SQL, formulas
(`metrics/app_queries.py`), the users' facts (`defs/metrics.py`).
"""

from collections.abc import Callable, Sequence
from datetime import date

import dagster as dg

from analytics_platform.defs.failures import retried_when_transient
from analytics_platform.defs.liveness import Alive
from analytics_platform.defs.metrics import APP_FRAME, FIRST_DAYS, POSTS, USER_DAY, need
from analytics_platform.defs.partitions import days_of
from analytics_platform.defs.resources import Progress
from analytics_platform.defs.shown import column_schema, day_metadata
from analytics_platform.metrics import app_queries
from analytics_platform.metrics.catalog import Metric
from analytics_platform.metrics.tables import APP_DAILY, FIRST_SEEN, POST_DAY, ResultTable, user_day_table
from analytics_platform.queries import Query
from analytics_platform.settings import Settings
from analytics_platform.warehouses.base import Warehouse

_USERS = (user_day_table(), USER_DAY)


def app_assets(partitions: dg.DailyPartitionsDefinition, metrics: Sequence[Metric]) -> list[dg.AssetsDefinition]:
    """The three assets, for that catalogue."""
    return [
        _table(
            POSTS,
            POST_DAY,
            partitions,
            reads=(_USERS,),
            statement=lambda day, settings: (app_queries.post_day(day, settings.zone, metrics), None),
            about="One row per post with a view or like and slice of its audience (source, os, country) that day.",
        ),
        _table(
            FIRST_DAYS,
            FIRST_SEEN,
            partitions,
            reads=(_USERS, (POST_DAY, POSTS)),
            statement=lambda day, _: (app_queries.first_seen(day), app_queries.first_seen_left(day)),
            about="First days of users in feed and messenger, and of posts. Days may be computed in any order: an id's "
            "first day is the smallest of its rows.",
        ),
        _table(
            APP_FRAME,
            APP_DAILY,
            partitions,
            reads=(_USERS, (POST_DAY, POSTS)),
            statement=lambda day, _: (app_queries.app_daily(day), None),
            about="The day of app, feed and messenger in total and by source, os and country: users, actions, views, "
            "likes, active posts.",
        ),
    ]


def _table(
    key: dg.AssetKey,
    table: ResultTable,
    partitions: dg.DailyPartitionsDefinition,
    *,
    reads: Sequence[tuple[ResultTable, dg.AssetKey]],
    statement: Callable[[date, Settings], tuple[Query, Query | None]],
    about: str,
) -> dg.AssetsDefinition:
    """An asset that replaces a day of the table by the rows of a statement."""
    name = key.to_user_string()

    @dg.asset(
        key=key,
        deps=[asset for _, asset in reads],
        partitions_def=partitions,
        backfill_policy=dg.BackfillPolicy.single_run(),
        group_name="app",
        kinds={"duckdb", "table"},
        pool="duckdb",
        description=about,
        metadata=column_schema(table),
    )
    def replace(
        context: dg.AssetExecutionContext,
        alive: dg.ResourceParam[Alive],
        warehouse: dg.ResourceParam[Warehouse],
        settings: dg.ResourceParam[Settings],
        progress: dg.ResourceParam[Progress],
    ) -> dg.MaterializeResult:
        days = days_of(context)
        with retried_when_transient(settings.retry_pause_seconds):
            for done, day in enumerate(days, start=1):
                for needed, asset in reads:
                    need(warehouse, needed, asset, day)
                query, also = statement(day, settings)
                rows = warehouse.replace_day(table, day, query, also=also)
                context.add_asset_metadata(day_metadata(rows, query), partition_key=day.isoformat())
                progress.step(name, done, len(days))
        return dg.MaterializeResult()

    return replace
