"""What the app's frame and table must hold, in plain Python from raw events: sets of users and posts, nothing stored.

Belongs here: the definitions once more. Does not: the product's queries; attributes of a user's day come from
`oracle.py`.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

from analytics_platform.metrics.app import AppFrame, Audience, Figures, Retention, Service, Slice
from analytics_platform_tests.metrics.oracle import Oracle
from analytics_platform_tests.metrics.product import Events

Row = dict[str, Any]
DIMENSIONS = ("total", "source", "os", "country")
COLUMNS = ("dau", "actions", "views", "likes", "active_posts", "new_users", "new_posts")


# Receiving a message is nothing one does.
ACTIVE: Mapping[str, Callable[[Row], bool]] = {
    "feed": lambda user: user["feed_actions"] > 0,
    "message": lambda user: user["messages_sent"] > 0,
    "app": lambda user: user["feed_actions"] > 0 or user["messages_sent"] > 0,
}


@dataclass(frozen=True)
class Truth:
    """One day: its users with what they did and were, and (user, post) of every view and like."""

    users: Mapping[int, Row]
    seen: frozenset[tuple[int, int]]

    @cached_property
    def _active(self) -> dict[str, set[int]]:
        return {service: {u for u, row in self.users.items() if does(row)} for service, does in ACTIVE.items()}

    def active(self, service: str) -> set[int]:
        """Users of the service that day."""
        return self._active[service]

    def value(self, user: int, dimension: str) -> str:
        """The slice of a dimension that the user is in that day."""
        if dimension == "total":
            return "total"
        found = self.users[user][dimension]
        return "unknown" if found is None else str(found)

    def posts(self, users: Iterable[int]) -> set[int]:
        """Posts that these users viewed or liked."""
        chosen = set(users)
        return {post for user, post in self.seen if user in chosen}


@dataclass
class AppOracle:
    """The computed days, each as the events were when it was computed."""

    zone: ZoneInfo
    days: dict[date, Truth] = field(default_factory=dict)
    _first: dict[tuple[str, date], dict[int, date]] = field(default_factory=dict)

    def compute(self, events: Events, *days: date) -> None:
        """Those days as these events have them."""
        oracle = Oracle(events.feed, events.messages, self.zone)
        self._first.clear()
        for day in days:
            rows = [row for row in oracle.feed(day) if row["action"] in ("view", "like")]
            self.days[day] = Truth(oracle.user_day(day), frozenset((row["user_id"], row["post_id"]) for row in rows))

    # -------------------------------------------------------------- first days

    def first_days(self, service: str, last: date) -> dict[int, date]:
        """Each user's first computed day in the service, of those up to `last`; `post`: each post's."""
        if (service, last) in self._first:
            return self._first[service, last]
        first = self._first[service, last] = {}
        for day in sorted(d for d in self.days if d <= last):
            truth = self.days[day]
            for who in truth.posts(truth.users) if service == "post" else truth.active(service):
                first.setdefault(who, day)
        return first

    # ------------------------------------------------------------------ figures

    def figures(self, service: str, dimension: str, values: set[str] | None, day: date) -> Figures:
        """One service and day, of the users with one of the values (None: all)."""
        truth = self.days[day]

        def within(user: int) -> bool:
            return values is None or truth.value(user, dimension) in values

        users = {u for u in truth.active(service) if within(u)}
        rows = [truth.users[u] for u in users]
        views, likes = sum(r["views"] for r in rows), sum(r["likes"] for r in rows)
        messages = sum(r["messages_sent"] for r in rows)
        first = self.first_days(service, day)
        feed = service == "feed"
        posts = self.first_days("post", day)
        return Figures(
            dau=len(users),
            actions={"feed": views + likes, "message": messages, "app": views + likes + messages}[service],
            views=views if feed else None,
            likes=likes if feed else None,
            active_posts=len(truth.posts(users)) if feed else None,
            new_users=sum(first[u] == day for u in users),
            new_posts=sum(d == day for d in posts.values()) if feed and dimension == "total" else None,
        )

    def values(self, service: str, dimension: str, days: Iterable[date]) -> set[str]:
        """The values that active users of the service have on any of the days."""
        found = {"total"} if dimension == "total" else set()
        for day in days:
            if truth := self.days.get(day):
                found |= {truth.value(user, dimension) for user in truth.active(service)}
        return found

    def table(self, first: date, last: date) -> list[Row]:
        """The rows of the table, in its order."""
        rows: list[Row] = []
        within = sorted(d for d in self.days if first <= d <= last)
        for dimension in DIMENSIONS:
            for service in ("app", "feed", "message"):
                # By code point, as both engines compare bytes of UTF-8.
                for value in sorted(self.values(service, dimension, within), key=str.encode):
                    for day in within:
                        if value not in self.values(service, dimension, [day]):
                            continue
                        figures = self.figures(service, dimension, {value}, day)
                        key = {"event_date": day, "service": service, "dimension": dimension, "dimension_value": value}
                        rows.append(key | {name: getattr(figures, name) for name in COLUMNS})
        return rows

    def frame(self, day: date) -> AppFrame:
        """The 31 days ending with `day`."""
        horizon = tuple(day - timedelta(days=30 - k) for k in range(31))
        computed = [d for d in horizon if d in self.days]
        series: dict[Slice, tuple[Figures, ...]] = {}

        def add(service: Service, dimension: str, value: str, values: set[str]) -> None:
            series[Slice(service, dimension, value)] = tuple(
                self.figures(service.value, dimension, values, d) if d in self.days else Figures() for d in horizon
            )

        for service in Service:
            for dimension in DIMENSIONS[:3]:
                for value in self.values(service.value, dimension, computed):
                    add(service, dimension, value, {value})
            countries = self.values(service.value, "country", computed)
            actions: Counter[str] = Counter()
            for country in countries - {"other"}:
                found = [self.figures(service.value, "country", {country}, d).actions for d in computed]
                actions[country] = sum(n or 0 for n in found)
            top = sorted(actions, key=lambda c: (-actions[c], c))[:5]
            for country in top:
                add(service, "country", country, {country})
            if rest := countries - set(top):
                add(service, "country", "other", rest)
        known = day in self.days
        everyone = sum(r["views"] + r["likes"] + r["messages_sent"] for d in self._until(day) for r in self._rows(d))
        return AppFrame(
            days=horizon,
            series=series,
            users_ever=len(self.first_days("app", day)) if known else None,
            actions_ever=everyone if known else None,
            audience=self.audience(day),
            audience_week_ago=self.audience(day - timedelta(days=7)),
            retention=tuple(self.retention(day)),
        )

    def _until(self, day: date) -> list[date]:
        return [d for d in self.days if d <= day]

    def _rows(self, day: date) -> Iterable[Row]:
        return self.days[day].users.values()

    # ----------------------------------------------------------------- audience

    def audience(self, day: date) -> Audience:
        """Sets of users by week, None where a day of them is missing."""

        def users(ago: int, count: int) -> set[int] | None:
            """Active on any of the `count` days ending `ago` days before."""
            span = [day - timedelta(days=ago + k) for k in range(count)]
            if not all(d in self.days for d in span):
                return None
            return set().union(*(self.days[d].active("app") for d in span))

        week, before, month = users(0, 7), users(7, 7), users(0, 30)
        today = self.days.get(day)
        both = week is not None and before is not None
        begin = day - timedelta(days=6)
        first = self.first_days("app", day)
        new = {u for u in week or () if first[u] >= begin}
        retained = (week or set()) & (before or set())
        return Audience(
            dau=len(today.active("app")) if today else None,
            wau=None if week is None else len(week),
            mau=None if month is None else len(month),
            retained=len(retained) if both else None,
            new=len(new) if both else None,
            returned=len((week or set()) - retained - new) if both else None,
            gone=len((before or set()) - (week or set())) if both else None,
            both=len(today.active("feed") & today.active("message")) if today else None,
        )

    def retention(self, day: date) -> Iterable[Retention]:
        """Cohorts of 1 and 7 days ago: total, then by source."""
        if day not in self.days:
            return
        first = self.first_days("app", day)
        today = self.days[day].active("app")
        for age in (1, 7):
            born = day - timedelta(days=age)
            if born not in self.days:
                continue
            cohort = {u for u, d in first.items() if d == born}
            yield Retention("total", age, len(cohort), len(cohort & today))
            sources = {u: self.days[born].value(u, "source") for u in cohort}
            for source in sorted(set(sources.values())):
                of = {u for u in cohort if sources[u] == source}
                yield Retention(source, age, len(of), len(of & today))
