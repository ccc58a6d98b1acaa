"""The audience of days against plain sets of users, on both engines: ids close together and far apart, days missing.

The rows of facts/user_day and facts/first_seen are made up here; that the graph makes such rows is tested elsewhere.
"""

import importlib.util
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Protocol

import pytest

from analytics_platform.metrics import audience_bits
from analytics_platform.metrics.app import Service
from analytics_platform.metrics.audience import AGES, AudienceDay, Questions, Return, audience_days, read_audience
from analytics_platform.metrics.tables import FIRST_SEEN, user_day_table
from analytics_platform.queries import Query
from analytics_platform_tests.metrics.app_product import DAY, Rewritable, fresh
from analytics_platform_tests.metrics.product import Events, dates
from analytics_platform_tests.queries.clickhouse import ClickHouse
from analytics_platform_tests.queries.duck import DuckDB
from analytics_platform_tests.services import absent

FIRST = date(2026, 2, 1)
SPAN = 80
TABLES = (user_day_table(), FIRST_SEEN)
ZEROS = {name: 0 for name, _ in user_day_table().columns}
TEXTS = {"os": "iOS", "country": "Peru", "source": "ads"}
Row = dict[str, object]


class Answering(Protocol):
    """Either engine."""

    def put(self, name: str, rows: Sequence[Row]) -> None: ...

    def rows(self, query: Query) -> list[Row]: ...


@dataclass
class Asked:
    """An engine as a warehouse, and the names of the statements it answered."""

    engine: str
    answering: Answering
    names: list[str] = field(default_factory=list)

    def rows(self, query: Query) -> list[Row]:
        self.names.append(query.name)
        return self.answering.rows(query)


@dataclass
class World:
    """Who did what by day: users of the feed, senders, and those who only received; computed days by table."""

    feed: dict[date, set[int]]
    sent: dict[date, set[int]]
    received: dict[date, set[int]]
    users: set[date]
    arrivals: set[date]
    _born: dict[Service, dict[int, date]] = field(default_factory=dict)

    def active(self, service: Service, day: date) -> set[int]:
        """By definition."""
        feed, sent = self.feed.get(day, set()), self.sent.get(day, set())
        return {Service.APP: feed | sent, Service.FEED: feed, Service.MESSAGE: sent}[service]

    def first_days(self, service: Service) -> dict[int, date]:
        """The first active day by user."""
        if service not in self._born:
            found: dict[int, date] = {}
            for day in sorted(self.feed, reverse=True):
                found |= dict.fromkeys(self.active(service, day), day)
            self._born[service] = found
        return self._born[service]

    def expected(self, service: Service, day: date) -> AudienceDay:
        """All figures of a day, from sets."""
        born = self.first_days(service)

        def within(count: int, ago: int = 0) -> set[int]:
            return {u for k in range(ago, ago + count) for u in self.active(service, day - timedelta(days=k))}

        def known(value: int, count: int, of: set[date] = self.users) -> int | None:
            return value if {day - timedelta(days=k) for k in range(count)} <= of else None

        week, before = within(7), within(7, 7)
        fresh = {u for u, at in born.items() if day - timedelta(days=7) < at <= day}
        retained, new = known(len(week & before), 14), known(len(fresh), 14, self.arrivals)
        back = known(len(week - before - fresh), 14)
        returns = []
        for age in AGES:
            at = day - timedelta(days=age)
            cohort = {u for u, start in born.items() if start == at}
            sure = day in self.users and at in self.arrivals
            active = cohort & self.active(service, day)
            returns.append(Return(age, len(cohort), len(active)) if sure else Return(age))
        return AudienceDay(
            day=day,
            dau=known(len(self.active(service, day)), 1),
            wau=known(len(week), 7),
            mau=known(len(within(30)), 30),
            retained=retained,
            new=new,
            resurrected=None if new is None else back,
            churned=known(len(before - week), 14),
            retention=tuple(returns),
        )

    def fill(self, engine: Answering) -> None:
        """Put all of it into an engine."""
        facts: list[Row] = []
        seen: list[Row] = []
        rng = random.Random(5)
        for day in sorted(self.feed):
            for user in sorted(self.feed[day] | self.sent[day] | self.received[day]):
                did = {
                    "feed_actions": rng.randint(1, 9) if user in self.feed[day] else 0,
                    "messages_sent": rng.randint(1, 9) if user in self.sent[day] else 0,
                    "messages_received": 1,
                }
                own = {"event_date": day, "user_id": user, "attributes_time": None}
                facts.append({**ZEROS, **TEXTS, **did, **own})
        for kind, by_day in (("feed", self.feed), ("message", self.sent), ("post", self.received)):
            known: set[int] = set()
            for day, users in sorted(by_day.items()):
                # Now and then a row too many, as days computed in another order leave.
                chosen = {user for user in users if user not in known or rng.random() < 0.1}
                known |= users
                seen += [{"event_date": day, "kind": kind, "id": user, **TEXTS} for user in sorted(chosen)]
        engine.put("results.user_day", facts)
        engine.put("results.first_seen", seen)
        moment = {"rows": 1, "basis": "UTC", "computed_at": datetime(2026, 6, 1)}  # noqa: DTZ001 - naive UTC
        ledger = [("user_day", day) for day in self.users] + [("first_seen", day) for day in self.arrivals]
        engine.put("results.computed_days", [{"table_name": t, "event_date": d, **moment} for t, d in sorted(ledger)])


def world(ids: Sequence[int], seed: int, *, missing: Sequence[int] = (), silent: Sequence[int] = ()) -> World:
    """SPAN days of users with habits of their own. `missing` days are not computed, `silent` ones are empty."""
    rng = random.Random(seed)
    habit = {user: (rng.random() ** 3, rng.random() ** 5, rng.randrange(SPAN)) for user in ids}
    gone = {FIRST + timedelta(days=k) for k in (*missing, *silent)}
    feed: dict[date, set[int]] = {}
    sent: dict[date, set[int]] = {}
    received: dict[date, set[int]] = {}
    for k, day in enumerate(dates(FIRST, SPAN)):
        there = [] if day in gone else [user for user, (_, _, start) in habit.items() if start <= k or user % 3 == 0]
        feed[day] = {user for user in there if rng.random() < habit[user][0]}
        sent[day] = {user for user in there if rng.random() < habit[user][1]}
        received[day] = {user for user in there if rng.random() < 0.1}
    computed = set(dates(FIRST, SPAN)) - {FIRST + timedelta(days=k) for k in missing}
    # The first days lag behind by one.
    return World(feed, sent, received, computed, computed - {FIRST + timedelta(days=SPAN - 1)})


CLOSE = range(1, 131)
FAR = sorted({0, 2**32 - 1, *random.Random(1).sample(range(2**32), 120)})
WORLDS: dict[str, Callable[[], World]] = {
    "close": lambda: world(CLOSE, 1),
    "far": lambda: world(FAR, 2),
    "gaps": lambda: world(range(4_294_967_200, 4_294_967_296), 3, missing=(11, 50, 51), silent=(20, 40, 64)),
    "nobody": lambda: world((), 4),
}


@pytest.fixture(params=["duckdb", "clickhouse"])
def opened(request: pytest.FixtureRequest) -> Iterator[Asked]:
    if request.param == "duckdb":
        with DuckDB(TABLES) as duckdb:
            yield Asked("duckdb", duckdb)
    else:
        if importlib.util.find_spec("chdb") is None:
            absent("ClickHouse's embedded engine not installed (pip install chdb)")
        with ClickHouse(TABLES) as clickhouse:
            yield Asked("clickhouse", clickhouse)


@pytest.mark.parametrize("name", WORLDS)
def test_every_figure_is_that_of_the_sets(opened: Asked, name: str) -> None:
    made = WORLDS[name]()
    made.fill(opened.answering)
    for service in Service:
        for first, last in ((0, SPAN + 2), (45, 52), (SPAN - 1, SPAN - 1), (-40, -31)):
            asked = FIRST + timedelta(days=first), FIRST + timedelta(days=last)
            found = read_audience(opened, *asked, service)
            assert [of.day for of in found] == dates(asked[0], last - first + 1)
            for of in found:
                assert of == made.expected(service, of.day), f"{service} of {name}"
    by_bits = opened.engine == "duckdb" and name in ("close", "gaps")
    assert ("audience_bits" in opened.names) == by_bits, "ids close together are counted as bits, by DuckDB"


def test_weeks_add_up_and_figures_are_not_all_the_same() -> None:
    with DuckDB(TABLES) as duckdb:
        world(CLOSE, 1).fill(duckdb)
        found = read_audience(Asked("duckdb", duckdb), FIRST + timedelta(days=35), FIRST + timedelta(days=SPAN - 2))
    for of in found:
        assert None not in (of.wau, of.mau, of.new, of.retained, of.resurrected, of.churned)
        assert of.wau == (of.retained or 0) + (of.new or 0) + (of.resurrected or 0)
        assert 0 < (of.stickiness or 0) < 1
    for name in ("new", "retained", "resurrected", "churned"):
        assert len({getattr(of, name) for of in found}) > 2, name
    for k in range(len(AGES)):
        assert any(of.retention[k].active for of in found), AGES[k]


def test_the_app_report_says_the_same(engine: Rewritable, weeks: Events) -> None:
    app = fresh(engine)
    engine.hold(weeks)
    app.compute(weeks, *dates(DAY - timedelta(days=40), 41))
    frame = app.frame(DAY)
    before, of = read_audience(Asked("duckdb", engine.engine), DAY - timedelta(days=7), DAY)[::7]
    for found, said in ((of, frame.audience), (before, frame.audience_week_ago)):
        assert said.mau
        assert (found.dau, found.wau, found.mau) == (said.dau, said.wau, said.mau)
        figures = (found.retained, found.new, found.resurrected, found.churned)
        assert figures == (said.retained, said.new, said.returned, said.gone)
    totals = {r.age_days: (r.cohort, r.active) for r in frame.retention if r.source == "total"}
    assert totals
    assert {r.age_days: (r.cohort, r.active) for r in of.retention if r.age_days in totals} == totals


@pytest.mark.parametrize("service", Service)
def test_bits_make_the_rows_of_the_statement(service: Service) -> None:
    with DuckDB(TABLES) as duckdb:
        world(CLOSE, 7, silent=(30, 31)).fill(duckdb)
        ask = Questions(FIRST + timedelta(days=3), FIRST + timedelta(days=SPAN), service)
        calendar = dates(ask.cohorts_from, 30 + SPAN - 2)
        for bounds in ((0, 191), (64, 127)):
            counted = audience_bits.count(duckdb.rows(ask.bits(*bounds)), calendar, ask.first, AGES)
            assert counted == (duckdb.rows(ask.figures()) if bounds == (0, 191) else None)


def test_ids_that_come_between_two_statements_are_not_lost() -> None:
    with DuckDB(TABLES) as duckdb:

        @dataclass
        class Overtaken(Asked):
            def rows(self, query: Query) -> list[Row]:
                found = super().rows(query)
                if query.name == "audience_ids":
                    world(range(100_000, 100_010), 8).fill(duckdb)
                return found

        world(CLOSE, 7).fill(duckdb)
        asked = Overtaken("duckdb", duckdb)
        [of] = read_audience(asked, *(FIRST + timedelta(days=60),) * 2)
        assert asked.names[-2:] == ["audience_bits", "audience"]
        [again] = read_audience(Asked("duckdb", duckdb), of.day, of.day)
        assert of == again


def test_a_missing_day_takes_the_figures_that_need_it_and_no_others() -> None:
    counts = dict.fromkeys(("dau", "wau", "mau", "wau_before", "retained", "arrived"), 5)
    counts |= {f"{kind}_{age}": 3 for kind in ("cohort", "active") for age in AGES}
    day = FIRST + timedelta(days=40)
    every = {day - timedelta(days=k) for k in range(40)}

    def without(users: int | None = None, arrivals: int | None = None) -> set[str]:
        lacking = [every - {day - timedelta(days=k)} if k is not None else every for k in (users, arrivals)]
        [of] = audience_days([{"event_date": day, **counts}], day, day, *lacking)
        names = ("dau", "wau", "mau", "stickiness", "retained", "new", "resurrected", "churned")
        shares = {f"d{part.age_days}" for part in of.retention if part.share is None}
        return {name for name in names if getattr(of, name) is None} | shares

    weekly = {"retained", "resurrected", "churned"}
    assert without() == set()
    assert without(users=0) == {"dau", "wau", "mau", "stickiness", *weekly, "d1", "d7", "d30"}
    assert without(users=6) == {"wau", "mau", "stickiness", *weekly}
    assert without(users=7) == without(users=13) == {"mau", "stickiness", *weekly}
    assert without(users=14) == without(users=29) == {"mau", "stickiness"}
    assert without(users=30) == set()
    assert without(arrivals=0) == {"new", "resurrected"}
    assert without(arrivals=1) == {"new", "resurrected", "d1"}
    assert without(arrivals=7) == {"new", "resurrected", "d7"}
    assert without(arrivals=30) == {"d30"}
    assert without(arrivals=14) == set()


def test_a_day_of_nobody_has_zeros_and_no_ratio() -> None:
    day = FIRST + timedelta(days=40)
    computed = {day - timedelta(days=k) for k in range(31)}
    [of] = audience_days([], day, day, computed, computed)
    assert (of.dau, of.wau, of.mau, of.new, of.stickiness) == (0, 0, 0, 0, None)
    assert of.retention == tuple(Return(age, 0, 0) for age in AGES)
    assert [part.share for part in of.retention] == [None] * len(AGES)


def test_no_days_no_question() -> None:
    with DuckDB(TABLES) as duckdb:
        asked = Asked("duckdb", duckdb)
        assert read_audience(asked, FIRST, FIRST - timedelta(days=1)) == ()
        assert asked.names == []
