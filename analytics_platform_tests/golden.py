"""The documented day of the app report, 20 October 2023, as events: load it, and every figure of the sample is there.

Belongs here: making the events, the sample's figures. Does not: assertions, what a report makes of them.

The day has all its events (751,990 of the feed, 12,892 messages). Of the past there is what the figures need: one day,
before the month shown, on which everybody else comes for the first time; and totals without events of three more - the
day before and the week before (made up, of a plausible size), and one long ago with the rest of all actions ever.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from analytics_platform.metrics import app_queries, facts, slices
from analytics_platform.metrics.app import Figures, Service
from analytics_platform.metrics.dimensions import Labels
from analytics_platform.metrics.events import FEED_ACTIONS, MESSAGE_ACTIONS, EventTable, arrow_schema
from analytics_platform.metrics.tables import (
    APP_DAILY,
    FEED_DAILY,
    FIRST_SEEN,
    POST_DAY,
    daily_slices_table,
    user_day_table,
)
from analytics_platform.queries import Query, compose
from analytics_platform.warehouses.base import EventLoad, Warehouse

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

ZONE = ZoneInfo("Europe/Moscow")
DAY = date(2023, 10, 20)
YESTERDAY, WEEK_AGO = DAY - timedelta(days=1), DAY - timedelta(days=7)
_PAST, _LONG_AGO = DAY - timedelta(days=40), date(2023, 8, 1)

USERS_EVER, ACTIONS_EVER, BOTH = 140_061, 52_578_384, 239
# The sample's; new users of the whole app are not in it (here: those of the feed, and chat's that are new to both).
TOTALS = {
    Service.APP: Figures(dau=20_200, actions=764_882, new_users=1_181),
    Service.FEED: Figures(18_379, 751_990, 623_236, 128_754, 220, 1_064, 90),
    Service.MESSAGE: Figures(dau=2_060, actions=12_892, new_users=417),
}
# Feed of the day before: the sample of the feed report. The rest is made up.
EARLIER = {
    YESTERDAY: {
        Service.APP: Figures(dau=20_577, actions=701_156),
        Service.FEED: Figures(18_706, 688_143, 569_448, 118_695, 215),
        Service.MESSAGE: Figures(dau=2_121, actions=13_013),
    },
    WEEK_AGO: {
        Service.APP: Figures(dau=20_255, actions=748_600),
        Service.FEED: Figures(18_500, 736_000, 610_000, 126_000, 224),
        Service.MESSAGE: Figures(dau=2_000, actions=12_600),
    },
}

_CHAT_ONLY_NEW = 117  # new to the app and not in the feed that day
_COUNTRIES = {
    "Russia": 860,
    "Ukraine": 60,
    "Belarus": 25,
    "Kazakhstan": 20,
    "Azerbaijan": 15,
    "Finland": 12,
    "Latvia": 8,
}


@dataclass(frozen=True)
class _Users:
    """User ids from 1 on, by what they do: [known before, feed and chat] [new to both, feed] [new to both, chat]."""

    known: int = USERS_EVER - 1_064 - _CHAT_ONLY_NEW
    feed_new: int = 1_064
    chat_new: int = _CHAT_ONLY_NEW

    @property
    def feed(self) -> "np.ndarray[tuple[int], np.dtype[np.uint32]]":
        """Active in the feed on the day: some known users, and the new ones."""
        import numpy as np

        old = np.arange(1, 18_379 - self.feed_new + 1)
        return np.concatenate([old, self.known + 1 + np.arange(self.feed_new)]).astype(np.uint32)

    @property
    def chat(self) -> "np.ndarray[tuple[int], np.dtype[np.uint32]]":
        """Senders of the day: 239 of the feed's, then known users who are not, then the new ones.

        The last 300 known ones never wrote before; with the new ones they are chat's 417 new users.
        """
        import numpy as np

        known = 2_060 - self.chat_new
        return np.concatenate(
            [1 + np.arange(BOTH), 50_000 + np.arange(known - BOTH), self.known + self.feed_new + 1 + np.arange(117)]
        ).astype(np.uint32)


def load(warehouse: Warehouse) -> None:
    """Load the events and compute every table of the day. About three seconds.

    Afterwards `read_app_frame(warehouse, DAY)` has the sample's figures. The warehouse should be empty.
    """
    import numpy as np

    warehouse.prepare()
    users, chance = _Users(), np.random.default_rng(20_231_020)
    feed = [_past_feed(users), _feed(users, chance)]
    messages = [_past_messages(users), _messages(users, chance)]
    warehouse.load([EventLoad(FEED_ACTIONS, feed), EventLoad(MESSAGE_ACTIONS, messages)], ZONE)
    for day in (_PAST, DAY):
        compute(warehouse, day)
    for day, totals in EARLIER.items():
        warehouse.replace_day(APP_DAILY, day, _stored(day, totals))
        total = totals[Service.FEED]
        stored = {"dau": total.dau, "views": total.views, "likes": total.likes, "ctr": total.ctr, "event_date": day}
        text = "SELECT $event_date AS event_date, $dau AS dau, $views AS views, $likes AS likes, $ctr AS ctr"
        warehouse.replace_day(FEED_DAILY, day, Query("stored", text, stored))
    [so_far] = warehouse.rows(app_queries.totals(DAY))
    counted = so_far["actions_ever"]
    rest = ACTIONS_EVER - (counted if isinstance(counted, int) else 0)
    warehouse.replace_day(APP_DAILY, _LONG_AGO, _stored(_LONG_AGO, {Service.APP: Figures(dau=1, actions=rest)}))


def compute(warehouse: Warehouse, day: date) -> None:
    """Every daily table of that day, in the order of the graph."""
    current = warehouse.current_days(user_day_table(), *facts.lookback(day))
    warehouse.replace_day(user_day_table(), day, facts.user_day(day, ZONE, current))
    warehouse.replace_day(daily_slices_table(), day, slices.daily_slices(day, Labels()))
    warehouse.replace_day(FEED_DAILY, day, compose("feed_daily", {"event_date": day}))
    warehouse.replace_day(POST_DAY, day, app_queries.post_day(day, ZONE))
    left = app_queries.first_seen_left(day)
    warehouse.replace_day(FIRST_SEEN, day, app_queries.first_seen(day), also=left)
    warehouse.replace_day(APP_DAILY, day, app_queries.app_daily(day))


def _stored(day: date, totals: dict[Service, Figures]) -> Query:
    """Totals of a day as rows of frames/app_daily."""
    params: dict[str, object] = {"day": day}
    rows = []
    for service, figures in totals.items():
        names = ("dau", "actions", "views", "likes", "active_posts")
        params |= {f"{service}_{name}": getattr(figures, name) or 0 for name in names}
        rows.append(
            f"SELECT CAST($day AS DATE) AS event_date, '{service}' AS service, 'total' AS dimension, "
            "'total' AS dimension_value, " + ", ".join(f"${service}_{name} AS {name}" for name in names)
        )
    return Query("stored", " UNION ALL ".join(rows), params)


# -------------------------------------------------------------------- events


def _feed(users: _Users, chance: "np.random.Generator") -> "pa.RecordBatch":
    """Every active user at least once, every post of 130 old and 90 new ones, 623,236 views and then likes."""
    import numpy as np

    rows, feed = 751_990, users.feed
    who = np.concatenate([feed, feed[(chance.random(rows - len(feed)) ** 1.5 * len(feed)).astype(int)]])
    post = np.concatenate([np.arange(220), (chance.random(rows - 220) ** 2 * 220).astype(int)]) + 1
    return _batch(FEED_ACTIONS, DAY, who, chance.random(rows), post_id=post, views=623_236)


def _messages(users: _Users, chance: "np.random.Generator") -> "pa.RecordBatch":
    """Every sender at least once; a third of the receivers only receive."""
    import numpy as np

    rows, chat = 12_892, users.chat
    who = np.concatenate([chat, chance.choice(chat, rows - len(chat))])
    receivers = np.concatenate([chance.choice(chat, rows * 2 // 3), 100_000 + np.arange(rows // 3 + 1) % 900])
    return _batch(MESSAGE_ACTIONS, DAY, who, chance.random(rows), receiver_id=receivers[:rows])


def _past_feed(users: _Users) -> "pa.RecordBatch":
    """Everybody known looks at one of the old posts, numbers 1 to 130."""
    import numpy as np

    who = np.arange(1, users.known + 1)
    return _batch(FEED_ACTIONS, _PAST, who, who / len(who) * 0.99, post_id=who % 130 + 1, views=len(who))


def _past_messages(users: _Users) -> "pa.RecordBatch":
    """The known senders of the day but 300 write to their neighbour."""
    import numpy as np

    who = users.chat[: 2_060 - 417]
    return _batch(MESSAGE_ACTIONS, _PAST, who, np.linspace(0, 0.99, len(who)), receiver_id=who + 1)


def _batch(
    table: EventTable,
    day: date,
    who: "np.ndarray[tuple[int], np.dtype[np.integer]]",
    moment: "np.ndarray[tuple[int], np.dtype[np.floating]]",
    *,
    views: int = 0,
    **ids: "np.ndarray[tuple[int], np.dtype[np.integer]]",
) -> "pa.RecordBatch":
    """Events of those users at those shares of the day; what a user is follows from the id."""
    import numpy as np
    import pyarrow as pa

    # Moscow is three hours ahead all year.
    start = np.datetime64(datetime(day.year, day.month, day.day) - timedelta(hours=3), "us")  # noqa: DTZ001
    number = who.astype(np.int64)
    shares = np.cumsum(list(_COUNTRIES.values()))
    country = np.searchsorted(shares, number * 7_919 % 1_000, side="right")
    columns: dict[str, object] = {
        "user_id": who.astype(np.uint32),
        "time": start + (moment * 86_400_000_000).astype("timedelta64[us]"),
        "gender": number % 2,
        "age": 14 + number * 31 % 50,
        "exp_group": number % 5,
        "country": _words(country, _COUNTRIES),
        "city": _words(number * 0, ["unknown"]),
        "os": _words((number * 13 % 100 < 35).astype(int), ["Android", "iOS"]),
        "source": _words((number * 17 % 100 < 45).astype(int), ["organic", "ads"]),
        **{name: values.astype(np.uint32) for name, values in ids.items()},
    }
    if views:
        columns["action"] = _words((np.arange(len(who)) >= views).astype(int), ["view", "like"])
    schema = arrow_schema(table)
    return pa.record_batch([pa.array(columns[f.name]).cast(f.type) for f in schema], schema=schema)


def _words(codes: "np.ndarray[tuple[int], np.dtype[np.integer]]", words: Iterable[str]) -> "pa.DictionaryArray":
    import numpy as np
    import pyarrow as pa

    return pa.DictionaryArray.from_arrays(codes.astype(np.int8), list(words))
