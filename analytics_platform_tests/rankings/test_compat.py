"""`compat`: what the replaced worker documented, once more in plain Python, with its decay working."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import pytest

from analytics_platform.rankings.documents import documents
from analytics_platform.rankings.plan import WEIGHTS, Mode, Plan
from analytics_platform.rankings.trends import compat
from analytics_platform_tests.rankings.planted import AS_OF, DAY, Event, every, lively, ranking

COMPAT = Plan(mode=Mode.COMPAT)
Document = dict[str, Any]


def published(events: Sequence[Event], plan: Plan = COMPAT) -> Mapping[str, Any]:
    return documents(ranking(events, plan), "a run", AS_OF + timedelta(hours=25))


def score(event: Event) -> float:
    """weight x max(exp(-age in days), 0.01), to the sixth decimal."""
    return round(WEIGHTS.get(event.type, 0) * max(math.exp(-(event.ago / DAY)), 0.01), 6)


def total(scores: Iterable[float]) -> float:
    return round(sum(round(one * 1e6) for one in scores) / 1e6, 2)


def popularity(events: Sequence[Event], by: str, most: int) -> dict[str, Document]:
    groups: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        groups[getattr(event, by) or "Unknown"].append(event)
    found = {}
    for name, its in groups.items():
        videos: dict[str, list[float]] = defaultdict(list)
        for event in its:
            if event.video:
                videos[event.video].append(score(event))
        exact = {video: sum(round(one * 1e6) for one in scores) for video, scores in videos.items()}
        top = sorted(exact, key=lambda video: (-exact[video], video))[:most]
        rates = [e.rate for e in its if e.type == "video_view" and e.rate]
        countries = sorted({e.country or "Unknown" for e in its})
        found[name] = {
            by: name,
            "popularity_score": total(map(score, its)),
            "unique_users": len({e.person for e in its}),
            "total_events": len(its),
            "video_count": len(videos),
            **({"countries_count": len(countries), "countries": countries} if by == "category" else {}),
            "event_breakdown": dict(Counter(e.type for e in its)),
            "avg_completion_rate": round(sum(rates) / len(rates), 2) if rates else 0.0,
            "top_videos": [{"video_id": video, "score": total(videos[video])} for video in top],
            "last_updated": "2026-11-21T02:00:00+00:00",
        }
    return found


def moved(called: str, name: str, recent: float, previous: float) -> Document:
    velocity = (recent - previous) / previous * 100 if previous else 100.0 if recent > 0 else 0.0
    return {
        called: name,
        "trending_score": round(recent + velocity * 0.1, 2),
        "current_score": recent,
        "previous_score": previous,
        "velocity_percent": round(velocity, 1),
        "trend_direction": "up" if velocity > 10 else "down" if velocity < -10 else "stable",
    }


def trending(events: Sequence[Event], by: str, most: int) -> dict[str, Document]:
    recent = popularity([e for e in events if e.ago <= DAY], by, most)
    previous = popularity([e for e in events if e.ago > DAY], by, most)
    found = {}
    for name in recent.keys() | previous.keys():
        new, old = recent.get(name, {}), previous.get(name, {})
        tops = [{v["video_id"]: v["score"] for v in one.get("top_videos", [])} for one in (new, old)]
        videos = [moved("video_id", video, *(top.get(video, 0.0) for top in tops)) for video in {**tops[0], **tops[1]}]
        videos.sort(key=lambda video: (-video["trending_score"], video["video_id"]))
        found[name] = {
            **moved(by, name, new.get("popularity_score", 0.0), old.get("popularity_score", 0.0)),
            "trending_videos": videos[:most],
            "total_trending_videos": len(videos),
            "unique_users_recent": new.get("unique_users", 0),
            "unique_users_previous": old.get("unique_users", 0),
            "total_events_recent": new.get("total_events", 0),
            "total_events_previous": old.get("total_events", 0),
            "last_updated": "2026-11-21T02:00:00+00:00",
        }
        if by == "category":
            found[name] |= {
                "countries_recent": new.get("countries", []),
                "countries_previous": old.get("countries", []),
            }
    return found


@pytest.mark.parametrize(("by", "most"), [("country", 10), ("category", 5)])
@pytest.mark.parametrize("seed", range(2))
def test_the_documents_are_those_of_the_documented_formulas(seed: int, by: str, most: int) -> None:
    events = lively(seed)
    made = published(events)
    assert made[f"analytics_popularity_by_{by}"] == popularity([e for e in events if e.ago <= DAY], by, most)
    assert made[f"analytics_trending_by_{by}"] == trending(events, by, most)


def test_steady_traffic_rises_by_99_percent_as_documented_because_both_windows_decay_from_now() -> None:
    mali = published(every(5, country="Mali"))["analytics_trending_by_country"]["Mali"]
    assert mali["velocity_percent"] == pytest.approx(98.7, abs=0.2)
    assert mali["trend_direction"] == "up"


def test_a_video_that_was_eleventh_before_looks_new_as_documented() -> None:
    better = [event for k in range(10) for event in every(60, country="Mali", video=f"better{k}") if event.ago > DAY]
    events = [*better, *every(90, country="Mali", video="eleventh")]
    (video,) = (v for v in published(events)["analytics_trending_by_country"]["Mali"]["trending_videos"][:1])
    assert (video["video_id"], video["previous_score"], video["velocity_percent"]) == ("eleventh", 0.0, 100.0)


@pytest.mark.parametrize(
    ("recent", "previous", "expected"),
    [
        (0.0, 0.0, (0.0, 0.0, "stable")),
        (5.0, 0.0, (15.0, 100.0, "up")),
        (-5.0, 0.0, (-5.0, 0.0, "stable")),
        (11.0, 10.0, (12.0, 10.0, "stable")),  # more than 10, not 10
        (9.0, 10.0, (8.0, -10.0, "stable")),
        (8.9, 10.0, (7.8, -11.0, "down")),
        (10.0, -5.0, (-20.0, -300.0, "down")),  # a negative previous score turns the sign
        (-10.0, -5.0, (0.0, 100.0, "up")),
        (1e9, 0.01, (1.001e12, 1e13, "up")),
    ],
)
def test_the_formula_is_followed_to_the_letter(
    recent: float, previous: float, expected: tuple[float, float, str]
) -> None:
    score, velocity, direction = compat(recent, previous)
    assert (score, velocity) == pytest.approx(expected[:2])
    assert direction == expected[2]


def test_nothing_is_tested_in_it() -> None:
    found = ranking(every(5, country="Mali"), COMPAT).trending["country"]
    assert [(one.p_value, [video.p_value for video in one.videos]) for one in found] == [(None, [None])]
