"""What is counted for rankings once more, in plain Python over a list of events, written from the definitions.

Belongs here: every figure of `rankings/counting.py`. Does not: any SQL, any expected number.
"""

import math
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from analytics_platform.rankings.plan import TOP_VIDEOS, Mode, Plan

Event = Mapping[str, Any]
Key = tuple[str, str, str, str | None]
"""Kind, ranked by, name, member."""

_DAY = timedelta(days=1)


@dataclass
class _Part:
    """One window of one row."""

    score: int = 0
    events: int = 0
    persons: set[tuple[str, str]] = field(default_factory=set)
    videos: set[str] = field(default_factory=set)
    rates: list[int] = field(default_factory=list)


@dataclass
class _Counted:
    recent: _Part = field(default_factory=_Part)
    previous: _Part = field(default_factory=_Part)
    by_slice: dict[int, set[tuple[str, str]]] = field(default_factory=lambda: defaultdict(set))

    @property
    def audience(self) -> list[int]:
        return [len(persons) for persons in self.by_slice.values()]


def counted(events: Collection[Event], plan: Plan, as_of: datetime) -> dict[Key, dict[str, int | None]]:
    """The rows of `ranking_query` by what they are of. `as_of`: naive UTC."""
    begin = as_of - plan.recent
    rows: dict[Key, _Counted] = defaultdict(_Counted)
    odd = 0
    for event in events:
        time = event["time"]
        if not begin - plan.previous <= time < as_of:
            continue
        is_recent = time >= begin
        rate = _rate(event)
        if is_recent and event["event_type"] == "video_view" and rate == "odd":
            odd += 1
        for key in _keys(event):
            row = rows[key]
            part = row.recent if is_recent else row.previous
            part.events += 1
            part.score += _score(event, plan, as_of if is_recent or plan.mode is Mode.COMPAT else begin)
            part.persons.add(_person(event))
            if not is_recent:
                row.by_slice[(begin - time - timedelta(microseconds=1)) // plan.recent].add(_person(event))
            if event.get("video_id"):
                part.videos.add(event["video_id"])
            if event["event_type"] == "video_view" and isinstance(rate, int):
                part.rates.append(rate)
    kept = _kept(rows, plan)
    found = {key: _figures(key[0], row) for key, row in rows.items() if key[0] != "video" or key in kept}
    if odd:
        found["odd", "", "", "completion_rate"] = {**dict.fromkeys(_FIGURES), "events_recent": odd}
    return found


_FIGURES = (
    *("score_recent", "score_previous", "events_recent", "events_previous", "users_recent", "users_previous"),
    *("audience_previous", "audience_squares", "videos_recent", "completion_recent", "completions_recent"),
)


def _keys(event: Event) -> Sequence[Key]:
    names = {by: event.get(by) for by in ("country", "category")}
    named = {by: "Unknown" if name in (None, "", "unknown") else str(name) for by, name in names.items()}
    keys: list[Key] = [("country", "category", named["category"], named["country"])]
    for by, name in named.items():
        keys += [("group", by, name, None), ("type", by, name, event["event_type"])]
        if event.get("video_id"):
            keys.append(("video", by, name, event["video_id"]))
    return keys


def _person(event: Event) -> tuple[str, str]:
    for kind in ("user_id", "session_id"):
        if event.get(kind):
            return kind, event[kind]
    return "anonymous", ""


def _score(event: Event, plan: Plan, anchor: datetime) -> int:
    weight = plan.weights.get(event["event_type"], 0.0)
    age = max(anchor - event["time"], timedelta())
    factor = max(
        math.exp(-(age / timedelta(microseconds=1)) / (plan.decay_days * (_DAY / timedelta(microseconds=1)))), 0.01
    )
    return math.floor(weight * factor * 1_000_000 + 0.5)


def _rate(event: Event) -> int | str | None:
    """In millionths; `odd` for one that cannot be."""
    rate, watched, length = (event.get(name) for name in ("completion_rate", "watch_duration", "video_duration"))
    if rate is None:
        if watched is None or length is None or not (math.isfinite(watched) and math.isfinite(length)) or length <= 0:
            return None
        rate = min(watched / length, 1.0)
        if rate <= 0:
            return None
    if not 0 <= rate <= 1:
        return "odd"
    return math.floor(rate * 1_000_000 + 0.5) if rate > 0 else None


def _kept(rows: Mapping[Key, _Counted], plan: Plan) -> set[Key]:
    videos = {key: row for key, row in rows.items() if key[0] == "video"}
    kept = {key for key, row in videos.items() if len(row.recent.persons) + sum(row.audience) >= plan.min_audience}
    for group in {key[:3] for key in videos}:
        for which in ("recent", "previous"):
            parts = {key: getattr(row, which) for key, row in videos.items() if key[:3] == group}
            shown = sorted((k for k, part in parts.items() if part.events), key=lambda k: (-parts[k].score, str(k[3])))
            kept.update(shown[: TOP_VIDEOS[group[1]]])
    return kept


def _figures(kind: str, row: _Counted) -> dict[str, int | None]:
    whole, audience = kind == "group", kind in ("group", "video")
    figures = (
        *(row.recent.score, row.previous.score, row.recent.events, row.previous.events),
        len(row.recent.persons) if audience else None,
        len(row.previous.persons) if audience else None,
        sum(row.audience) if audience else None,
        sum(n * n for n in row.audience) if audience else None,
        len(row.recent.videos) if whole else None,
        sum(row.recent.rates) if whole else None,
        len(row.recent.rates) if whole else None,
    )
    return dict(zip(_FIGURES, figures, strict=True))
