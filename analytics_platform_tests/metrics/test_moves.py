"""What is marked as unusual and what stands out: by hand, over many seeds of quiet data, and on planted incidents."""

import math
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from datetime import date
from functools import cache

import numpy as np
import pytest

from analytics_platform.metrics.app import HORIZON_DAYS, METRICS, AppFrame, Audience, Figures, Retention, Service, Slice
from analytics_platform.metrics.moves import Move, moves, stands_out
from analytics_platform_tests.reports.app_sample import APP, CHAT, DAYS, FEED, frame, scaled
from analytics_platform_tests.simulate.history import Column, History, scenario

VALUES = {
    "source": {"ads": 0.4, "organic": 0.6},
    "os": {"iOS": 0.35, "Android": 0.65},
    "country": {"Russia": 0.84, "Ukraine": 0.06, "Belarus": 0.05, "Kazakhstan": 0.03, "other": 0.02},
}
Plant = Callable[[Slice, Figures], Figures]


@cache
def quiet(seed: int, *, strays: float = 0.02, size: float = 1.0) -> AppFrame:
    """A month without incidents: the week's rhythm, a trend, days that stray, slices that stray from their shares."""
    rng = np.random.default_rng(seed)

    def stray(by: float = strays) -> Column:
        return np.exp(rng.normal(0, by, HORIZON_DAYS))

    rhythm = np.exp(np.tile(rng.normal(0, 0.08, 7), 5)[:HORIZON_DAYS] + rng.normal(0, 0.003) * np.arange(HORIZON_DAYS))
    readers = rng.poisson(18_000 * size * rhythm * stray())
    writers = rng.poisson(2_100 * size * rhythm * stray())
    views = rng.poisson(readers * 34 * stray(0.01))
    likes = rng.poisson(views * 0.21 * stray(0.01))
    messages = rng.poisson(writers * 6 * stray())
    posts, born = rng.poisson(220 * stray()), rng.poisson(90 * stray())
    new = {service: rng.poisson(n * size * stray()) for service, n in zip(Service, (1_300, 1_060, 420), strict=True)}

    def figures(service: Service, share: Column, day: int, total: bool) -> Figures:
        def part(count: Column) -> int:
            return round(float(count[day] * share[day]))

        match service:
            case Service.APP:
                users, actions = part(readers + writers * 0.9), part(views) + part(likes) + part(messages)
                return Figures(users, actions, new_users=part(new[service]))
            case Service.FEED:
                seen, liked, first = part(views), part(likes), part(new[service])
                fresh = int(born[day]) if total else None
                return Figures(part(readers), seen + liked, seen, liked, int(posts[day]), first, fresh)
        return Figures(part(writers), part(messages), new_users=part(new[service]))

    def series(service: Service, share: Column, total: bool = False) -> tuple[Figures, ...]:
        return tuple(figures(service, share, day, total) for day in range(HORIZON_DAYS))

    found = {Slice(service): series(service, np.ones(HORIZON_DAYS), total=True) for service in Service}
    for service in Service:
        for dimension, values in VALUES.items():
            # A share of some hundred users strays by chance alone.
            drawn = [share * stray(strays + 0.3 / math.sqrt(share * 2_100 * size)) for share in values.values()]
            for value, share in zip(values, drawn, strict=True):
                found[Slice(service, dimension, value)] = series(service, share / sum(drawn))
    return of(found)


def planted(seed: int, plant: Plant) -> AppFrame:
    """A quiet month with `plant` done to totals and slices of the last day.

    A dimension whose slices `plant` leaves as they are gets the total's change in all of them alike.
    """
    whole = quiet(seed)
    last = {where: series[-1] for where, series in whole.series.items()}
    after = {where: plant(where, figures) for where, figures in last.items()}
    for service in Service:
        total = Slice(service)
        for dimension in VALUES:
            wheres = whole.slices(service, dimension)
            if all(after[w] == last[w] for w in wheres):
                after |= {w: _alike(last[w], last[total], after[total]) for w in wheres}
    return of({where: (*series[:-1], after[where]) for where, series in whole.series.items()})


def _alike(figures: Figures, before: Figures, after: Figures) -> Figures:
    def changed(name: str) -> int | None:
        own: int | None
        own, old, new = (getattr(f, name) for f in (figures, before, after))
        return own if not own or not old else round(own * new / old)

    return Figures(**{f.name: changed(f.name) for f in fields(Figures)})


def of(series: dict[Slice, tuple[Figures, ...]], days: tuple[date, ...] = DAYS) -> AppFrame:
    retention: tuple[Retention, ...] = ()
    return AppFrame(days, series, None, None, Audience(), Audience(), retention)


def one(series: Sequence[float | None], metric: str = "views", dau: int = 10_000) -> Move | None:
    """The move of one total with those values, oldest first; earlier days are not computed."""
    known = [Figures() if v is None else Figures(**{"dau": dau, metric: round(v)}) for v in series]
    days = (Figures(),) * (HORIZON_DAYS - len(known)) + tuple(known)
    return next((m for m in moves(of({FEED: days})) if m.metric == metric), None)


def test_the_expected_value_is_the_usual_one_of_that_weekday() -> None:
    found = {(m.where, m.metric): m for m in moves(frame())}
    views = found[FEED, "views"]
    assert views.value == 623_236
    assert views.expected == pytest.approx(610_000)
    assert views.change == pytest.approx(623_236 / 610_000 - 1)
    assert not views.unusual
    assert found[FEED, "ctr"].expected == pytest.approx(126_000 / 610_000)
    assert {m.metric for m in found.values() if m.where == FEED} == set(METRICS)
    assert not any(m.unusual for m in found.values())
    # Saturdays and Sundays are half as busy; a Friday is compared with Fridays, however it differs from the day before.
    weekend: list[float | None] = [5_000 if day.weekday() >= 5 else 10_000 for day in DAYS]
    friday = one(weekend)
    assert friday is not None
    assert friday.expected == pytest.approx(10_000)
    assert not friday.unusual


def test_a_steady_trend_is_expected_to_go_on() -> None:
    growing = one([100_000 * 1.01**day for day in range(HORIZON_DAYS)])
    assert growing is not None
    assert growing.expected == pytest.approx(growing.value, rel=1e-3)
    assert not growing.unusual


def test_quiet_days_are_rarely_marked() -> None:
    frames = [quiet(seed, size=size) for seed in range(30) for size in (1.0, 0.1)]
    found = [moves(f) for f in frames]
    marked = [[m for m in of_frame if m.unusual] for of_frame in found]
    assert sum(map(len, found[:2])) / 2 > 150
    # Less than one false mark in six reports of some 190 figures, and hardly ever a false headline.
    assert sum(map(len, marked)) / len(frames) < 1 / 6
    assert sum(stands_out(f, m) is not None for f, m in zip(frames, found, strict=True)) <= 2


@pytest.mark.parametrize("size", [0.7, 0.75, 0.8, 1.3])
def test_a_fifth_more_or_less_is_found(size: float) -> None:
    found = 0
    for seed in range(25):
        whole = quiet(seed)
        today = whole.series[FEED][-1]
        today = replace(today, dau=round((today.dau or 0) * size))
        changed = of({**whole.series, FEED: (*whole.series[FEED][:-1], today)})
        move = next(m for m in moves(changed) if (m.where, m.metric) == (FEED, "dau"))
        found += move.unusual and (move.change > 0) == (size > 1)
    assert found >= 24


@pytest.mark.parametrize("factor", [0.0, 0.5, 2.5])
def test_an_incident_of_last_week_neither_marks_this_week_nor_hides_it(factor: float) -> None:
    false, found = 0, 0
    for seed in range(25):
        whole = quiet(seed)
        past = list(whole.series[FEED])
        past[-8] = scaled(past[-8], factor)
        after = of({**whole.series, FEED: tuple(past)})
        false += any(m.unusual for m in moves(after) if (m.where, m.metric) == (FEED, "views"))
        past[-1] = scaled(past[-1], 0.7)
        again = of({**whole.series, FEED: tuple(past)})
        found += any(m.unusual for m in moves(again) if (m.where, m.metric) == (FEED, "views"))
    assert false <= 1
    assert found >= 24


def test_nothing_where_much_is_usual_is_the_strongest_move() -> None:
    gone, fallen = one([10_000.0] * 30 + [0]), one([10_000.0] * 30 + [1_000])
    assert gone is not None
    assert fallen is not None
    assert gone.unusual
    assert gone.change == -1
    assert gone.score < fallen.score < -4.5
    assert math.isfinite(gone.score)
    # And the other way round: what never was and is there.
    come = one([0.0] * 30 + [10_000])
    assert come is not None
    assert come.unusual
    assert come.score > 4.5
    assert math.isfinite(come.change)
    none = one([0.0] * 31)
    assert none is not None
    assert not none.unusual


def test_few_events_say_nothing() -> None:
    for metric, dau in (("dau", 20), ("new_users", 10_000)):
        small = one([20.0] * 30 + [2], metric, dau)
        assert small is not None
        assert not small.unusual
    # A thousand views by five users are five users.
    few = one([1_000.0] * 30 + [100], "views", 5)
    assert few is not None
    assert not few.unusual


@pytest.mark.parametrize(("known", "told"), [(1, False), (8, False), (15, False), (16, True), (31, True)])
def test_a_short_history_cannot_tell(known: int, told: bool) -> None:
    sample = frame(known=known)
    found = moves(sample)
    assert bool(found) is told
    assert stands_out(sample, found) is None
    values = [10_000.0] * (known - 1) + [1_000.0]
    move = one(values)
    assert (move is not None and move.unusual) is told


def test_days_that_are_missing_are_left_out() -> None:
    values: list[float | None] = [10_000.0] * 31
    for day in (0, 3, 9, 16, 23, 29):
        values[day] = None
    move = one(values)
    assert move is not None
    assert move.expected == pytest.approx(10_000)
    values[-1] = None
    assert one(values) is None
    # No same weekday is left to compare with.
    assert one([None if day % 7 == 2 and day < 30 else 10_000.0 for day in range(31)]) is None


def test_an_os_that_falls_is_named_with_its_part_of_the_difference() -> None:
    def half_of_ios(where: Slice, figures: Figures) -> Figures:
        if where.dimension == "os" and where.value == "iOS":
            return scaled(figures, 0.2)
        return scaled(figures, 1 - 0.35 * 0.8) if where.dimension == "total" else figures

    for seed in range(10):
        whole = planted(seed, half_of_ios)
        found = stands_out(whole, moves(whole))
        assert found is not None
        assert found.move.where == APP
        assert found.move.metric in ("dau", "actions")
        assert found.move.change == pytest.approx(-0.28, abs=0.08)
        assert found.carrier == Slice(Service.APP, "os", "iOS")
        assert found.share is not None
        assert 0.8 < found.share <= 1


def test_a_country_in_the_dark_is_named_although_most_users_are_there() -> None:
    def dark(where: Slice, figures: Figures) -> Figures:
        if where.dimension == "country" and where.value == "Russia":
            return scaled(figures, 0.6)
        return scaled(figures, 1 - 0.84 * 0.4) if where.dimension == "total" else figures

    for seed in range(10):
        whole = planted(seed, dark)
        found = stands_out(whole, moves(whole))
        assert found is not None
        assert (found.carrier and found.carrier.value) == "Russia"


def test_a_campaign_is_told_by_its_newcomers_from_ads() -> None:
    def campaign(where: Slice, figures: Figures) -> Figures:
        usual, more = figures.new_users or 0, 5 * 0.4
        if where.dimension == "source":
            more = 5.0 if where.value == "ads" else 0.0
        elif where.dimension != "total":
            return figures
        if where.service is Service.MESSAGE:
            return figures
        new = round(usual * (1 + more))
        return replace(figures, new_users=new, dau=(figures.dau or 0) + new - usual)

    for seed in range(10):
        whole = planted(seed, campaign)
        found = stands_out(whole, moves(whole))
        assert found is not None
        assert found.move.metric == "new_users"
        assert found.carrier is not None
        assert (found.carrier.dimension, found.carrier.value) == ("source", "ads")


def test_a_slide_of_likes_per_view_everywhere_is_told_as_such() -> None:
    def slide(where: Slice, figures: Figures) -> Figures:
        likes = None if figures.likes is None else round(figures.likes * 0.8)
        actions = figures.actions if likes is None else (figures.views or 0) + likes
        return replace(figures, likes=likes, actions=actions)

    for seed in range(10):
        whole = planted(seed, slide)
        found = stands_out(whole, moves(whole))
        assert found is not None
        assert (found.move.where, found.move.metric) == (FEED, "ctr")
        assert found.carrier is None, "no slice took more part than the others"


def test_without_an_unusual_total_a_sizeable_slice_is_named_and_a_small_one_is_not() -> None:
    for value, named in (("Ukraine", True), ("Kazakhstan", False)):
        whole = quiet(3, strays=0.03)
        where = Slice(Service.FEED, "country", value)
        days = whole.series[where]
        changed = of({**whole.series, where: (*days[:-1], scaled(days[-1], 0.1))})
        found = moves(changed)
        assert any(m.unusual for m in found if m.where == where)
        most = stands_out(changed, found)
        assert (most is not None and most.move.where == where) is named
        assert most is None or (most.carrier, most.share) == (None, None)


def test_what_follows_from_a_fall_of_users_does_not_outrank_it() -> None:
    def fewer(where: Slice, figures: Figures) -> Figures:
        return scaled(figures, 0.7) if where.service is not Service.MESSAGE else figures

    whole = planted(1, fewer)
    found = moves(whole)
    assert sum(m.unusual for m in found) > 20
    most = stands_out(whole, found)
    assert most is not None
    assert most.move.metric == "dau"
    assert CHAT not in {m.where for m in found if m.unusual}


# --------------------------------------------------------- the simulated product


def daily(history: History, upto: int) -> AppFrame:
    """The frame of a simulated day: users, events and newcomers of the feed, in total and by source and country."""
    first = np.full(int(history.feed["user_id"].max()) + 1, -1)
    users, came = history.first_days()
    first[users] = came
    by_where: dict[Slice, list[Figures]] = {}
    days = range(upto - HORIZON_DAYS + 1, upto + 1)
    for day in days:
        of_day = history.feed["day"] == day
        side = {name: history.feed[name][of_day] for name in ("user_id", "like", "source", "country")}
        wheres = {FEED: np.ones(side["like"].size, bool)}
        for dimension in ("source", "country"):
            for word in history.words[dimension]:
                wheres[Slice(Service.FEED, dimension, word)] = history.having(side, dimension, word)
        for where, rows in wheres.items():
            active, count = np.unique(side["user_id"][rows]), int(rows.sum())
            likes = int(side["like"][rows].sum())
            new = int((first[active] == day).sum())
            by_where.setdefault(where, []).append(Figures(active.size, count, count - likes, likes, new_users=new))
    dates = tuple(list(history.scenario.dates)[day] for day in days)
    return of({where: tuple(figures) for where, figures in by_where.items()}, dates)


def test_the_simulated_products_incidents_are_told() -> None:
    history = History.of(scenario(47, 6_000), "source", "country")
    first = next(iter(history.scenario.dates))
    incidents = {
        i.kind.value: (i.start.astimezone(history.scenario.zone).date() - first).days for i in history.scenario.truth()
    }
    campaign, dark = incidents["campaign"], incidents["dark_city"]
    told = {}
    for day in (campaign, campaign + 3, dark):
        whole = daily(history, day)
        told[day] = stands_out(whole, moves(whole))
    newcomers, usual, cities = told[campaign], told[campaign + 3], told[dark]
    assert newcomers is not None
    assert (newcomers.move.metric, newcomers.carrier and newcomers.carrier.value) == ("new_users", "ads")
    assert usual is None
    assert cities is not None
    assert (cities.move.metric, cities.carrier and cities.carrier.value) == ("dau", "Russia")
