"""Counted rows become a ranking.

Belongs here: the ranking as a whole. Does not: counting (`counting.py`), its lists (`lists.py`), what its parts mean
(`ranking.py`).

Light to import: numpy, scipy and pyarrow are imported inside the functions.
"""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from analytics_platform.rankings.plan import RANKED_BY, Plan, naive_utc
from analytics_platform.rankings.ranking import Ranking

if TYPE_CHECKING:
    import pyarrow as pa


def rank(counted: "pa.Table", plan: Plan, as_of: datetime) -> Ranking:
    """The ranking of what `counting.ranking_query(plan, as_of)` counted. `as_of` is aware, or naive UTC."""
    from analytics_platform.rankings.items import Items
    from analytics_platform.rankings.lists import List

    lists = {ranked_by: List.of(counted, plan, ranked_by) for ranked_by in RANKED_BY}
    # Every event has one country, so the countries together have all.
    countries = lists["country"]
    recent, previous = (int(countries.groups.counts[f"events_{which}"].sum()) for which in ("recent", "previous"))
    return Ranking(
        as_of=naive_utc(as_of).replace(tzinfo=UTC),
        plan=plan,
        popular={ranked_by: each.popular() for ranked_by, each in lists.items()},
        trending={ranked_by: each.trending() for ranked_by, each in lists.items()},
        events_analyzed=recent,
        total_events_loaded=recent + previous,
        unknown_types=countries.unknown_types(),
        odd_completions=int(Items.of(counted, "odd", "").counts["events_recent"].sum()),
    )
