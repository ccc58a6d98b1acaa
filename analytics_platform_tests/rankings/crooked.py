"""Events of videos in which whatever may be missing, odd or on a border is so now and then.

Belongs here: making them. Does not: what is counted of them (`oracle.py`), ordinary traffic (`planted.py`).
"""

import random
from datetime import datetime, timedelta
from typing import Any

from analytics_platform.metrics.events import USER_EVENTS, Kind

MOMENT, HOUR = timedelta(microseconds=1), timedelta(hours=1)


def event(time: datetime, kind: str = "video_view", /, **more: object) -> dict[str, Any]:
    """One event of a user of Mali unless told otherwise."""
    return {"event_type": kind, "time": time, "country": "Mali", "category": "art", "user_id": "u1"} | more


def events(seed: int, as_of: datetime, number: int = 700) -> list[dict[str, Any]]:
    """Of 80 hours around `as_of` (naive UTC): a third of them on the border of a window or a moment beside one."""
    chance = random.Random(seed)
    borders = [as_of - k * HOUR for k in (0, 1, 2, 24, 26, 48, 62, 72)]
    ids = ("1", "2", "3", "4", "5", "6", "", None)
    made = []
    for number_of_it in range(number):
        time = as_of - chance.random() * 80 * HOUR + HOUR
        if chance.random() < 0.3:
            time = chance.choice(borders) + chance.choice((-1, 0, 1)) * MOMENT
        made.append(
            event(
                time,
                chance.choice(("video_view", "video_view", "video_share", "video_skip", "video_favorite", "odd type")),
                event_id=number_of_it,
                video_id=chance.choice((None, "", *(f"v{int(chance.paretovariate(0.7)) % 50}" for _ in range(6)))),
                country=chance.choice((None, "", "unknown", "Unknown", "Mali", "Sénégal", "O'Brien; $x {a:String}")),
                category=chance.choice((None, "", "art", "日本", *(f"c{n}" for n in range(28)))),
                user_id=chance.choice(ids),
                session_id=chance.choice(ids),
                completion_rate=chance.choice((None, None, 0.0, 1.0, 0.5, 1 / 3, -0.1, 1.0000001, float("nan"))),
                watch_duration=chance.choice((None, 0.0, -1.0, 10.0, 33.3, float("inf"))),
                video_duration=chance.choice((None, 0.0, 30.0, -5.0, 7.7, float("nan"))),
            )
        )
    return made


def as_loaded(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same as a load leaves them: texts of few values are `unknown` where they are missing, numbers are numbers."""
    texts = [c.name for c in USER_EVENTS.columns if c.kind is Kind.TEXT]
    numbers = [c.name for c in USER_EVENTS.columns if c.kind is Kind.FLOAT]
    plain = [{**row, **{name: row.get(name) or "unknown" for name in texts}} for row in rows]
    return [{**row, **{n: 2.5 if row.get(n) != row.get(n) else row.get(n) for n in numbers}} for row in plain]
