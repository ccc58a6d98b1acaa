"""The lists of a ranking: by country, or by category.

Belongs here: which groups and videos are listed, with what, in which order. Does not: formulas of trends
(`trends.py`). Imported lazily only: pyarrow and numpy are behind its imports.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from analytics_platform.rankings import trends
from analytics_platform.rankings.items import Items
from analytics_platform.rankings.plan import MILLION, TOP_VIDEOS, Mode, Plan, Which
from analytics_platform.rankings.ranking import Popular, TopVideo, Trend, Trending

if TYPE_CHECKING:
    import pyarrow as pa

# Groups, by group its listed videos, and how many there are without the limit.
_Found = tuple[Iterable[Trend], Mapping[str, Sequence[Trend]], Mapping[str, int]]


@dataclass(frozen=True)
class List:
    """What was counted for one of the rankings; `most`: videos shown of a group."""

    plan: Plan
    most: int
    groups: Items
    videos: Items
    types: Items
    places: Items

    @classmethod
    def of(cls, counted: "pa.Table", plan: Plan, ranked_by: str) -> "List":
        """The rows of that ranking: by `country` or `category`."""
        kinds = (Items.of(counted, kind, ranked_by) for kind in ("group", "video", "type", "country"))
        return cls(plan, TOP_VIDEOS[ranked_by], *kinds)

    def unknown_types(self) -> Mapping[str, int]:
        """Events of both windows by type, of the types without a weight."""
        found: Counter[str] = Counter()
        for column in ("events_recent", "events_previous"):
            for events in self.types.by_group(column).values():
                found.update({name: many for name, many in events.items() if name not in self.plan.weights})
        return dict(sorted(found.items()))

    def popular(self) -> tuple[Popular, ...]:
        """The groups with events in the recent window, highest score first, equals by name."""
        breakdowns, countries = self.types.by_group("events_recent"), self.places.by_group("events_recent")
        tops = self._tops("recent")
        found = []
        for row in range(len(self.groups)):
            if not self.groups.count("events_recent", row):
                continue
            name = self.groups.name(row)
            found.append(
                Popular(
                    name=name,
                    score=self._score(self.groups, row, "recent"),
                    users=self.groups.count("users_recent", row),
                    events=self.groups.count("events_recent", row),
                    videos=self.groups.count("videos_recent", row),
                    completion_rate=_completion_rate(self.groups, row),
                    breakdown=breakdowns.get(name, {}),
                    countries=tuple(countries.get(name, {})),
                    top_videos=self._top_videos(tops.get(name, ())),
                )
            )
        return tuple(sorted(found, key=lambda one: (-one.score, one.name)))

    def trending(self) -> tuple[Trending, ...]:
        """The groups with events in either window, highest trending score first, equals by name."""
        recent, previous = self.places.by_group("events_recent"), self.places.by_group("events_previous")
        if self.plan.mode is Mode.COMPAT:
            groups, videos, many = self._compat()
        else:
            groups, videos, many = self._normalised()
        found = [
            Trending(
                **vars(trend),
                videos=tuple(videos.get(trend.name, ())),
                videos_trending=many.get(trend.name, 0),
                countries_recent=tuple(recent.get(trend.name, {})),
                countries_previous=tuple(previous.get(trend.name, {})),
            )
            for trend in groups
        ]
        return tuple(sorted(found, key=_by_trend))

    def _normalised(self) -> _Found:
        """Groups, their rising videos at the top, and how many rise: over all videos that have an audience."""
        moved, rising = trends.normalised(self.groups, self.plan), trends.normalised(self.videos, self.plan)
        groups = (_moved(self.groups, moved, row, self.groups.name(row)) for row in range(len(self.groups)))
        tops = self.videos.best(rising.trending_score, rising.up, self.most)
        many = Counter(self.videos.name(row) for row in rising.up.nonzero()[0].tolist())
        return groups, {name: list(self._moved_videos(rising, rows)) for name, rows in tops.items()}, many

    def _moved_videos(self, moved: trends.Movements, rows: Sequence[int]) -> Iterator[Trend]:
        for row, video_id in zip(rows, self.videos.members(rows), strict=True):
            yield _moved(self.videos, moved, row, video_id)

    def _compat(self) -> _Found:
        """Groups, and the videos of the top lists of both windows: one that is not in a list has nothing there."""
        groups = (
            _compat(
                self.groups,
                row,
                self.groups.name(row),
                self._score(self.groups, row, "recent"),
                self._score(self.groups, row, "previous"),
            )
            for row in range(len(self.groups))
        )
        recent, previous = self._tops("recent"), self._tops("previous")
        videos: dict[str, list[Trend]] = {}
        many: dict[str, int] = {}
        for name in recent.keys() | previous.keys():
            new, old = recent.get(name, ()), previous.get(name, ())
            rows = sorted({*new, *old})
            compared = [
                _compat(
                    self.videos,
                    row,
                    video_id,
                    self._score(self.videos, row, "recent") if row in new else 0.0,
                    self._score(self.videos, row, "previous") if row in old else 0.0,
                )
                for row, video_id in zip(rows, self.videos.members(rows), strict=True)
            ]
            videos[name] = sorted(compared, key=_by_trend)[: self.most]
            many[name] = len(compared)
        return groups, videos, many

    def _tops(self, which: Which) -> Mapping[str, Sequence[int]]:
        """By group, the rows of the videos with the highest scores in that window."""
        counts = self.videos.counts
        return self.videos.best(counts[f"score_{which}"], counts[f"events_{which}"] > 0, self.most)

    def _top_videos(self, rows: Sequence[int]) -> tuple[TopVideo, ...]:
        return tuple(
            TopVideo(
                video_id,
                self._score(self.videos, row, "recent"),
                self.videos.count("users_recent", row),
                self.videos.count("events_recent", row),
            )
            for row, video_id in zip(rows, self.videos.members(rows), strict=True)
        )

    def _score(self, items: Items, row: int, which: Which) -> float:
        score = items.count(f"score_{which}", row) / MILLION / self.plan.days(which)
        # The replaced worker compares scores that are rounded already.
        return round(score, 2) if self.plan.mode is Mode.COMPAT else score


def _by_trend(trend: Trend) -> tuple[float, str]:
    return -trend.trending_score, trend.name


def _completion_rate(items: Items, row: int) -> float | None:
    many = items.count("completions_recent", row)
    return items.count("completion_recent", row) / MILLION / many if many else None


def _compat(items: Items, row: int, name: str, recent: float, previous: float) -> Trend:
    score, velocity, direction = trends.compat(recent, previous)
    return Trend(name, score, recent, previous, velocity, direction, None, *_audience(items, row))


def _moved(items: Items, moved: trends.Movements, row: int, name: str) -> Trend:
    p_value = float(moved.p_value[row])
    return Trend(
        name,
        float(moved.trending_score[row]),
        float(moved.recent[row]),
        float(moved.previous[row]),
        float(moved.velocity[row]),
        moved.direction(row),
        None if math.isnan(p_value) else p_value,
        *_audience(items, row),
    )


def _audience(items: Items, row: int) -> tuple[int, int, int, int]:
    columns = ("users_recent", "users_previous", "events_recent", "events_previous")
    users_recent, users_previous, events_recent, events_previous = (items.count(name, row) for name in columns)
    return users_recent, users_previous, events_recent, events_previous
