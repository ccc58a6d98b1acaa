"""What rankings are counted from: one statement over the events of both windows.

Belongs here: composing it. Does not: running it, what its rows come to (`ranked.py`). Light: no numpy.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

from analytics_platform.queries import Query, Value, compose
from analytics_platform.rankings.plan import FLOOR, TOP_VIDEOS, Plan, naive_utc

_MICROSECOND = timedelta(microseconds=1)


def ranking_query(plan: Plan, as_of: datetime) -> Query:
    """The figures of both windows that end with `as_of` (aware, or naive UTC; excluded). Nothing without events.

    A row is of what `kind` says; `ranked_by` is `country` or `category`, `name` the group's, where a name that is NULL,
    empty or `unknown` reads `Unknown`; `member`:

    - `group`: all of a group; NULL
    - `video`: its `video_id`. The first by either score (`TOP_VIDEOS` of a group, of equals the smaller ids), among
      those with events in that window, and all whose `users_recent` + `audience_previous` is `min_audience` or more
    - `type`: its `event_type`, whether it has a weight or not
    - `country`: a country with events in a category
    - `odd`: `completion_rate`, one row if there are any, of no group; `events_recent` are the recent views whose given
      rate is outside 0 to 1

    `score_recent`, `score_previous`: sums of the events' scores in millionths, each rounded to a whole one.
    `events_recent`, `events_previous`: events. `users_recent`, `users_previous`: distinct persons, by user, else by
    session, all others one; ids of users and of sessions are never the same person. `audience_previous`: distinct
    persons of each slice of the previous window, as long as the recent one, added up, `audience_squares` their squares.
    These four are NULL but of groups and videos. Of groups alone: `videos_recent` (distinct videos),
    `completion_recent` and `completions_recent` (sum in millionths, and number, of the completion rates above 0 of
    recent views; a rate that is not given is watched through known length, 1 at most). All are BIGINT.

    An event from after its anchor has age 0.
    """
    slices = plan.slices
    recent, previous = plan.windows(naive_utc(as_of))
    recent_anchor, previous_anchor = plan.anchors(naive_utc(as_of))
    params: dict[str, Value] = {
        "start": previous.start,
        "recent_start": recent.start,
        "end": recent.end,
        "recent_anchor": recent_anchor,
        "previous_anchor": previous_anchor,
        "slice_length": plan.recent // _MICROSECOND,
        "decay": plan.decay_days * (timedelta(days=1) // _MICROSECOND),
        "floor": FLOOR,
        "min_audience": plan.min_audience,
        **_weights(plan.weights),
    }
    return compose(
        "ranking",
        params,
        slices=slices,
        types=len(plan.weights),
        top_country=TOP_VIDEOS["country"],
        top_category=TOP_VIDEOS["category"],
        most=max(TOP_VIDEOS.values()),
    )


def _weights(weights: Mapping[str, float]) -> Mapping[str, Value]:
    bound: dict[str, Value] = {}
    for k, (name, weight) in enumerate(weights.items()):
        bound[f"type_{k}"], bound[f"weight_{k}"] = name, float(weight)
    return bound
