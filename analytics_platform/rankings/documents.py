"""A ranking as the five JSON documents that other programs read from Redis.

Belongs here: their keys, fields and rounding, which are those of the replaced worker; what is new is added beside them.
Does not: where they are stored (`stores/`), how long they live (`settings.py`).
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from analytics_platform.rankings.plan import RANKED_BY, Mode, naive_utc
from analytics_platform.rankings.ranking import Popular, Ranking, Trend, Trending

METADATA = "comprehensive_analytics_metadata"
KEYS = (
    *(f"analytics_{what}_by_{ranked_by}" for what in ("popularity", "trending") for ranked_by in RANKED_BY),
    METADATA,
)
# Of the metadata: raised when a field changes its meaning.
SCHEMA = 1

Document = dict[str, object]


def documents(ranking: Ranking, run_id: str, expires: datetime) -> Mapping[str, object]:
    """The documents by key: plain values, ready for JSON, every number finite.

    Objects are keyed by country or category, best first. Moments are ISO 8601 with the offset of UTC; `last_updated`
    and `last_analysis` are the moment up to which events were ranked. `expires`: aware, or naive UTC.
    """
    as_of = ranking.as_of.isoformat()
    made: dict[str, object] = {}
    for ranked_by in RANKED_BY:
        made[f"popularity_by_{ranked_by}"] = {
            one.name: _popular(one, ranked_by, ranking.plan.mode) | {"last_updated": as_of}
            for one in ranking.popular[ranked_by]
        }
    for ranked_by in RANKED_BY:
        made[f"trending_by_{ranked_by}"] = {
            one.name: _trending(one, ranked_by) | {"last_updated": as_of} for one in ranking.trending[ranked_by]
        }
    return {
        **{f"analytics_{name}": document for name, document in made.items()},
        METADATA: _metadata(ranking, run_id, expires) | {"analysis_types": list(made)},
    }


def _popular(one: Popular, ranked_by: str, mode: Mode) -> Document:
    countries: Document = {"countries_count": len(one.countries), "countries": list(one.countries)}
    # The replaced worker had no other word for "none" than 0.
    nothing = 0.0 if mode is Mode.COMPAT else None
    rate = one.completion_rate
    return {
        ranked_by: one.name,
        "popularity_score": _score(one.score),
        "unique_users": one.users,
        "total_events": one.events,
        "video_count": one.videos,
        **(countries if ranked_by == "category" else {}),
        "event_breakdown": dict(one.breakdown),
        "avg_completion_rate": nothing if rate is None else _score(rate),
        "top_videos": [{"video_id": video.video_id, "score": _score(video.score)} for video in one.top_videos],
    }


def _trending(one: Trending, ranked_by: str) -> Document:
    countries: Document = {
        "countries_recent": list(one.countries_recent),
        "countries_previous": list(one.countries_previous),
    }
    return {
        **_trend(one, ranked_by),
        "trending_videos": [_trend(video, "video_id") for video in one.videos],
        "total_trending_videos": one.videos_trending,
        "unique_users_recent": one.users_recent,
        "unique_users_previous": one.users_previous,
        "total_events_recent": one.events_recent,
        "total_events_previous": one.events_previous,
        **(countries if ranked_by == "category" else {}),
    }


def _trend(one: Trend, called: str) -> Document:
    return {
        called: one.name,
        "trending_score": _score(one.trending_score),
        "current_score": _score(one.current_score),
        "previous_score": _score(one.previous_score),
        "velocity_percent": _percent(one.velocity_percent),
        "trend_direction": one.direction,
    }


def _metadata(ranking: Ranking, run_id: str, expires: datetime) -> Document:
    recent, previous = ranking.windows
    return {
        "last_analysis": ranking.as_of.isoformat(),
        "expires_at": _iso(expires),
        "schema": SCHEMA,
        "status": ranking.status,
        "run_id": run_id,
        "as_of": ranking.as_of.isoformat(),
        "recent_start": _iso(recent.start),
        "recent_end": _iso(recent.end),
        "previous_start": _iso(previous.start),
        "previous_end": _iso(previous.end),
        "mode": str(ranking.plan.mode),
        "weights": dict(ranking.plan.weights),
        "decay_days": ranking.plan.decay_days,
        "events_analyzed": ranking.events_analyzed,
        "total_events_loaded": ranking.total_events_loaded,
        "countries": len(ranking.popular["country"]),
        "categories": len(ranking.popular["category"]),
        "unknown_event_types": dict(ranking.unknown_types),
        "odd_completion_rates": ranking.odd_completions,
    }


def _iso(moment: datetime) -> str:
    return naive_utc(moment).replace(tzinfo=UTC).isoformat()


def _rounded(digits: int) -> Callable[[float], float]:
    # -0.001 rounds to -0.0, which reads as a fall that nobody can see.
    return lambda value: round(value, digits) + 0.0


_score, _percent = _rounded(2), _rounded(1)
