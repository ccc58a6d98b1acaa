"""A simulated history as flat columns, so that a test can ask it questions without a database.

Belongs here: gathering the days of a run and counting in them. Does not: any assertion.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Self
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from analytics_platform.simulate.clock import Window
from analytics_platform.simulate.generator import generate
from analytics_platform.simulate.scenario import Scenario

MOSCOW = ZoneInfo("Europe/Moscow")
FIRST = date(2026, 9, 1)  # a Tuesday

Column = NDArray[Any]


def scenario(days: int, users: int, seed: int = 7, **others: Any) -> Scenario:
    """A scenario in Moscow's time from 1 September 2026, a Tuesday."""
    settled: dict[str, Any] = {"first_day": FIRST, "zone": MOSCOW} | others
    return Scenario(days=days, users=users, seed=seed, **settled)


def seconds(window: Window) -> tuple[int, int]:
    """The window as Unix seconds."""
    return int(window.start.timestamp()), int(window.end.timestamp())


@dataclass(frozen=True)
class History:
    """All events of a run; `day` = local day index, `second` = Unix seconds; text columns are codes of `words`."""

    scenario: Scenario
    feed: dict[str, Column]
    messages: dict[str, Column]
    words: dict[str, list[str]]

    @classmethod
    def of(cls, wanted: Scenario, *columns: str) -> Self:
        """The run of that scenario with users, posts, receivers, times and the named attributes."""
        feed: dict[str, list[Column]] = {}
        messages: dict[str, list[Column]] = {}
        words: dict[str, list[str]] = {}
        for index, day in enumerate(generate(wanted)):
            for gathered, table in ((feed, day.feed), (messages, day.messages)):
                for name in ("user_id", "post_id", "receiver_id", "action", "time", *columns):
                    if name in table.schema.names:
                        column = table[name].combine_chunks()
                        if hasattr(column, "dictionary"):  # two million Python strings would take seconds
                            words[name] = column.dictionary.to_pylist()
                            column = column.indices
                        gathered.setdefault(name, []).append(column.to_numpy(zero_copy_only=False))
                gathered.setdefault("day", []).append(np.full(table.num_rows, index))
        whole_feed, whole_messages = (
            {name: np.concatenate(parts) for name, parts in side.items()} for side in (feed, messages)
        )
        for side in (whole_feed, whole_messages):
            side["second"] = side["time"].astype("datetime64[s]").astype(np.int64)
        whole_feed["like"] = whole_feed["action"] == words["action"].index("like")
        return cls(wanted, whole_feed, whole_messages, words)

    def having(self, side: dict[str, Column], name: str, word: str) -> Column:
        """Which rows have that word in the text column."""
        return np.asarray(side[name] == self.words[name].index(word))

    def daily_users(self, side: dict[str, Column]) -> Column:
        """Distinct users per day."""
        return self._per_day(np.unique(side["day"].astype(np.int64) << 32 | side["user_id"]) >> 32)

    def daily_rows(self, side: dict[str, Column]) -> Column:
        """Rows per day."""
        return self._per_day(side["day"])

    def first_days(self) -> tuple[Column, Column]:
        """Feed users and the day each was first seen."""
        users, where = np.unique(self.feed["user_id"], return_index=True)
        return users, self.feed["day"][where]  # rows are in order of time

    def returned(self, users: Column, day: int) -> float:
        """The share of `users` who are in the feed that day."""
        return float(np.isin(users, self.feed["user_id"][self.feed["day"] == day]).mean())

    def rows_in(self, side: dict[str, Column], window: Window, shift: timedelta = timedelta()) -> int:
        """Rows within the window, moved by `shift`."""
        low, high = (moment + int(shift.total_seconds()) for moment in seconds(window))
        return int(np.count_nonzero((side["second"] >= low) & (side["second"] < high)))

    def local_hours(self, side: dict[str, Column]) -> Column:
        """Rows per hour of the local clock, 24 numbers; for zones without a change of the clock in the span."""
        offset = self.scenario.window.start.astimezone(self.scenario.zone).utcoffset() or timedelta()
        return np.bincount((side["second"] + int(offset.total_seconds())) // 3600 % 24, minlength=24)

    def _per_day(self, days: Column) -> Column:
        return np.bincount(days, minlength=self.scenario.days)
