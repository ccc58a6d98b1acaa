"""Events made up for rankings, counted in plain Python into the rows that a ranking is made of."""

import math
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from analytics_platform.rankings.plan import FLOOR, MILLION, RANKED_BY, UNKNOWN, Plan, naive_utc
from analytics_platform.rankings.ranked import rank
from analytics_platform.rankings.ranking import Ranking

AS_OF = datetime(2026, 11, 21, 2, tzinfo=UTC)
DAY = timedelta(days=1)
NUMBERS = (
    "score_recent",
    "score_previous",
    "events_recent",
    "events_previous",
    "users_recent",
    "users_previous",
    "audience_previous",
    "audience_squares",
    "videos_recent",
    "completion_recent",
    "completions_recent",
)
SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("kind", "ranked_by", "name", "member")),
        *((name, pa.int64()) for name in NUMBERS),
    ]
)


@dataclass(frozen=True)
class Event:
    """`ago`: how long before `AS_OF`, above 0."""

    ago: timedelta
    type: str = "video_view"
    video: str | None = "v1"
    country: str = "Mali"
    category: str = "sport"
    person: str = "someone"
    rate: float | None = None

    @property
    def day(self) -> int:
        """Slice of 24 hours, 0 is the recent one. An event right at a border is of the newer slice."""
        return math.ceil(self.ago / DAY) - 1


def table(rows: Iterable[dict[str, object]]) -> pa.Table:
    """Rows as a warehouse would give them."""
    return pa.Table.from_pylist(list(rows), schema=SCHEMA)


def millionths(event: Event, plan: Plan) -> int:
    """The event's score, as the design says: weight x max(exp(-age / decay), floor), in whole millionths."""
    moment = naive_utc(AS_OF) - event.ago
    age = (plan.anchors(AS_OF)[1 if event.day else 0] - moment) / DAY
    return round(plan.weights.get(event.type, 0.0) * max(math.exp(-age / plan.decay_days), FLOOR) * MILLION)


def counted(events: Sequence[Event], plan: Plan) -> pa.Table:
    """All rows, every video among them; slices are days."""
    items: dict[tuple[str, str, str, str | None], list[Event]] = defaultdict(list)
    for event in events:
        for ranked_by in RANKED_BY:
            name = (event.country if ranked_by == "country" else event.category) or UNKNOWN
            items["group", ranked_by, name, None].append(event)
            items["type", ranked_by, name, event.type].append(event)
            if event.video:
                items["video", ranked_by, name, event.video].append(event)
            if ranked_by == "category":
                items["country", ranked_by, name, event.country or UNKNOWN].append(event)
    return table(
        {"kind": kind, "ranked_by": ranked_by, "name": name, "member": member} | _numbers(its, plan, kind)
        for (kind, ranked_by, name, member), its in items.items()
    )


def _numbers(events: Sequence[Event], plan: Plan, kind: str) -> dict[str, object]:
    recent, previous = [e for e in events if e.day == 0], [e for e in events if 1 <= e.day <= plan.slices]
    audiences = [len({e.person for e in previous if e.day == day}) for day in range(1, plan.slices + 1)]
    of_group = kind == "group"
    rates = [e.rate for e in recent if of_group and e.type == "video_view" and e.rate is not None and 0 < e.rate <= 1]
    return {
        "score_recent": sum(millionths(e, plan) for e in recent),
        "score_previous": sum(millionths(e, plan) for e in previous),
        "events_recent": len(recent),
        "events_previous": len(previous),
        "users_recent": len({e.person for e in recent}),
        "users_previous": len({e.person for e in previous}),
        "audience_previous": sum(audiences),
        "audience_squares": sum(many * many for many in audiences),
        "videos_recent": len({e.video for e in recent if e.video}) if of_group else None,
        "completion_recent": sum(round(rate * MILLION) for rate in rates),
        "completions_recent": len(rates),
    }


def ranking(events: Sequence[Event], plan: Plan | None = None) -> Ranking:
    """From events to lists."""
    plan = plan or Plan()
    return rank(counted(events, plan), plan, AS_OF)


def every(minutes: float, days: float = 3, **of: Any) -> list[Event]:
    """Steady traffic: a view every so many minutes, each by somebody else."""
    many = round(days * 24 * 60 / minutes)
    return [Event(timedelta(minutes=(k + 0.5) * minutes), **({"person": f"{of}{k}"} | of)) for k in range(many)]


def lively(seed: int, many: int = 3000) -> list[Event]:
    """Events of all kinds, from three countries and five categories, over three days."""
    chance = random.Random(seed)
    types = Counter(
        video_view=51, video_skip=19, video_share=13, video_favorite=10, cagnotte_detail_view=9, video_replay=4, other=2
    )
    events = []
    for _ in range(many):
        kind = chance.choices(list(types), list(types.values()))[0]
        events.append(
            Event(
                timedelta(seconds=chance.uniform(1, 3 * 86_400 - 1)),
                kind,
                None if kind == "cagnotte_detail_view" else f"v{int(chance.paretovariate(0.6)) % 400}",
                chance.choice(("Mali", "Cameroun", "Côte d'Ivoire", "")),
                chance.choice(("sport", "santé", "école", "arts", "")),
                f"p{chance.randrange(700)}",
                chance.choice((None, 0.25, 0.5, 1.0)),
            )
        )
    return events
