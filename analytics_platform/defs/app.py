"""facts/post_day, facts/first_seen -> frames/app_daily: what the app report reads, as partitioned assets.

Belongs here: which table comes from which statement. Does not: SQL, formulas (`metrics/app_queries.py`), running a
statement for the days of a run (`defs/tables.py`), the users' facts (`defs/metrics.py`).
"""

from collections.abc import Sequence

import dagster as dg

from analytics_platform.defs.metrics import APP_FRAME, FIRST_DAYS, POSTS, USER_DAY
from analytics_platform.defs.tables import table_asset
from analytics_platform.metrics import app_queries
from analytics_platform.metrics.catalog import Metric
from analytics_platform.metrics.tables import APP_DAILY, FIRST_SEEN, POST_DAY, user_day_table

_USERS = (user_day_table(), USER_DAY)


def app_assets(
    partitions: dg.DailyPartitionsDefinition, metrics: Sequence[Metric], engine: str
) -> list[dg.AssetsDefinition]:
    """The three assets, for that catalogue."""
    return [
        table_asset(
            POSTS,
            POST_DAY,
            partitions,
            group="app",
            engine=engine,
            reads=(_USERS,),
            statement=lambda day, settings: (app_queries.post_day(day, settings.zone, metrics), None),
            about="One row per post with a view or like and slice of its audience (source, os, country) that day.",
        ),
        table_asset(
            FIRST_DAYS,
            FIRST_SEEN,
            partitions,
            group="app",
            engine=engine,
            reads=(_USERS, (POST_DAY, POSTS)),
            statement=lambda day, _: (app_queries.first_seen(day), app_queries.first_seen_left(day)),
            about="First days of users in feed and messenger, and of posts. Days may be computed in any order: an id's "
            "first day is the smallest of its rows.",
        ),
        table_asset(
            APP_FRAME,
            APP_DAILY,
            partitions,
            group="app",
            engine=engine,
            reads=(_USERS, (POST_DAY, POSTS)),
            statement=lambda day, _: (app_queries.app_daily(day), None),
            about="The day of app, feed and messenger in total and by source, os and country: users, actions, views, "
            "likes, active posts.",
        ),
    ]
