"""The app's frame and table of all slices against the oracle: every figure of every slice and day.

Simulated weeks in a zone with a day of 23 hours, hand-made events, and days that are not computed.
"""

from datetime import timedelta
from itertools import pairwise

import pytest

from analytics_platform.metrics import app_queries
from analytics_platform.metrics.app import OTHER, Figures, Service, Slice
from analytics_platform.metrics.catalog import METRICS
from analytics_platform.metrics.tables import APP_DAILY, FIRST_SEEN, POST_DAY
from analytics_platform_tests.metrics.app_product import BERLIN, DAY, WORLD, Rewritable, at, computed, fresh
from analytics_platform_tests.metrics.product import Events, dates, feed, message

FEED, CHAT, APP = Slice(Service.FEED), Slice(Service.MESSAGE), Slice(Service.APP)


def test_weeks_agree_in_every_figure(engine: Rewritable, weeks: Events) -> None:
    app = fresh(engine)
    engine.hold(weeks)
    app.compute(weeks, *dates(DAY - timedelta(days=40), 44))
    frame = app.frame(DAY)
    assert frame.audience.returned is not None
    assert frame.audience_week_ago.mau is not None
    assert all(share.cohort for share in frame.retention if share.source == "total")
    for service in Service:
        assert [s.value for s in frame.slices(service, "country")][-1] == OTHER
        assert len(frame.slices(service, "country")) == 6
    app.assert_frame(DAY, DAY - timedelta(days=9), DAY + timedelta(days=3))
    app.assert_table()
    app.assert_table(DAY - timedelta(days=3), DAY)


# ---------------------------------------------------------------- hand-made


def test_whoever_only_received_is_not_active_and_not_new(engine: Rewritable) -> None:
    events = Events([feed(1, at(1))], [message(1, 2, at(0)), message(2, 1, at(8))])
    app = computed(engine, events, 8, 1, 0)
    app.assert_frame(DAY, DAY - timedelta(days=1))
    app.assert_table()
    frame = app.frame(DAY)
    assert frame.at(APP, DAY) == Figures(dau=1, actions=1, new_users=0)
    assert frame.at(CHAT, DAY) == Figures(dau=1, actions=1, new_users=1)
    assert frame.at(FEED, DAY) == Figures(0, 0, 0, 0, 0, 0, 0)
    assert frame.users_ever == 2


def test_attributes_that_change_within_a_day_make_one_user_in_one_slice(engine: Rewritable) -> None:
    events = Events(
        [
            feed(1, at(0, 9), post=5, os="Android", country="Chad", source="organic"),
            feed(1, at(0, 10), "like", post=6, os="iOS", country="Peru"),
            feed(1, at(0, 10), "like", post=7, os="iOS", country="Oman"),
        ],
        [message(1, 9, at(0, 11), os="Windows", country="Mali", source="ads")],
    )
    app = computed(engine, events, 0)
    app.assert_frame(DAY)
    frame = app.frame(DAY)
    assert frame.slices(Service.FEED, "country") == (Slice(Service.FEED, "country", "Mali"),)
    assert frame.at(Slice(Service.FEED, "os", "Windows"), DAY) == Figures(1, 3, 1, 2, 3, 1, None)
    app.assert_table()


def test_neither_a_view_nor_a_like_makes_an_active_user_without_actions_and_posts(engine: Rewritable) -> None:
    app = computed(engine, Events([feed(1, at(0), "share", post=4), feed(2, at(0), post=5)]), 0)
    app.assert_frame(DAY)
    assert app.frame(DAY).at(FEED, DAY) == Figures(2, 1, 1, 0, 1, 2, 1)


def test_a_missing_text_reads_unknown(engine: Rewritable) -> None:
    events = Events([feed(1, at(0), os=None, country=None, source=None)], [message(2, 1, at(0), country="unknown")])
    app = computed(engine, events, 0)
    app.assert_frame(DAY)
    assert app.frame(DAY).at(Slice(Service.APP, "country", "unknown"), DAY).dau == 2
    assert app.frame(DAY + timedelta(days=1)).days[-2] == DAY


def test_a_day_is_the_local_one(engine: Rewritable) -> None:
    midnight, moment = at(2, 0), timedelta(microseconds=1)
    events = Events([feed(1, midnight - moment, post=1), feed(2, midnight, post=2), feed(3, at(1, 0) - moment, post=3)])
    app = computed(engine, events, 3, 2, 1)
    app.assert_frame(DAY - timedelta(days=1))
    assert [f.new_posts for f in app.frame(DAY).series[FEED][-4:]] == [1, 2, 0, None]


def test_a_post_and_a_user_of_the_same_number_are_two(engine: Rewritable) -> None:
    events = Events([feed(7, at(2), post=3), feed(3, at(1), post=7), feed(3, at(0), post=3)], [message(7, 3, at(0))])
    for order in ((2, 1, 0), (0, 1, 2), (1, 2, 0)):
        computed(engine, events, *order).assert_frame(DAY)


def test_countries_beyond_five_are_one_line_with_each_post_once(engine: Rewritable) -> None:
    rows = [feed(10 * k + u, at(u % 3), post=u, country=WORLD[k]) for k in range(7) for u in range(9 - k)]
    app = computed(engine, Events(rows, [message(60, 1, at(0), country="Iran")]), 2, 1, 0)
    app.assert_frame(DAY)
    app.assert_table()
    frame = app.frame(DAY)
    assert [s.value for s in frame.slices(Service.FEED, "country")] == [*WORLD[:5], OTHER]
    # The messenger's countries are ranked by messages.
    assert [s.value for s in frame.slices(Service.MESSAGE, "country")] == ["Iran"]
    other = frame.at(Slice(Service.FEED, "country", OTHER), DAY)
    assert (other.dau, other.active_posts) == (3, 2), "posts 0 and 3; 0 was seen from both countries"


@pytest.mark.parametrize("countries", [7, 2, 0])
def test_a_country_that_is_called_other_is_among_the_rest(engine: Rewritable, countries: int) -> None:
    rows = [feed(k, at(0), post=k, country=WORLD[k]) for k in range(countries)]
    rows += [feed(100 + k, at(0), post=k, country=OTHER) for k in range(20)]
    app = computed(engine, Events(rows), 0)
    app.assert_frame(DAY)
    app.assert_table()
    frame = app.frame(DAY)
    lines = frame.slices(Service.FEED, "country")
    assert [s.value for s in lines] == [*sorted(WORLD[:countries])[:5], OTHER]
    assert sum(frame.at(s, DAY).dau or 0 for s in lines) == frame.at(FEED, DAY).dau == 20 + countries
    assert frame.at(lines[-1], DAY).active_posts == 20
    [row] = [r for r in app.engine.rows(app_queries.app_table(DAY, DAY)) if r["dimension_value"] == OTHER][:1]
    assert row["dau"] == 20, "the table has every country under its own name"


def test_slices_of_a_dimension_add_up_to_the_total(engine: Rewritable, weeks: Events) -> None:
    app = computed(engine, weeks, *range(7, -1, -1))
    frame = app.frame(DAY)
    for service in Service:
        for day in frame.days[-8:]:
            total = frame.at(Slice(service), day)
            for dimension in ("source", "os", "country"):
                parts = [frame.at(s, day) for s in frame.slices(service, dimension)]
                for name in ("dau", "actions", "new_users"):
                    assert sum(getattr(p, name) for p in parts) == getattr(total, name)


# ------------------------------------------------------------- what is missing


def test_without_any_computed_day_every_figure_is_missing(engine: Rewritable) -> None:
    app = fresh(engine)
    app.assert_frame(DAY)
    frame = app.frame(DAY)
    assert set(frame.series) == {APP, FEED, CHAT}
    assert {f for figures in frame.series.values() for f in figures} == {Figures()}
    assert (frame.users_ever, frame.actions_ever, frame.retention) == (None, None, ())
    assert app.engine.rows(app_queries.app_table(DAY, DAY)) == []


def test_computed_days_without_events_are_zeros(engine: Rewritable) -> None:
    app = computed(engine, Events(), *range(30))
    app.assert_frame(DAY)
    frame = app.frame(DAY)
    assert frame.at(FEED, DAY) == Figures(0, 0, 0, 0, 0, 0, 0)
    assert (frame.users_ever, frame.actions_ever, frame.audience.mau, frame.audience.returned) == (0, 0, 0, 0)
    assert [(r.source, r.age_days, r.cohort, r.share) for r in frame.retention] == [
        ("total", 1, 0, None),
        ("total", 7, 0, None),
    ]


def test_a_missing_day_makes_what_needs_it_unknown_and_no_more(engine: Rewritable, weeks: Events) -> None:
    holes = [36, 30, 29, 20, 13, 12, 7, 6, 1, 0]
    app = computed(engine, weeks, *(k for k in range(37, -1, -1) if k not in holes))
    for hole in holes:  # filled one after another, the oldest first: `hole` is the oldest one left
        app.assert_frame(DAY)
        assert app.oracle.frame(DAY).audience.wau is None
        app.compute(weeks, DAY - timedelta(days=hole))
    app.assert_frame(DAY)
    assert None not in vars(app.frame(DAY).audience).values()


@pytest.mark.parametrize(("hole", "unknown"), [(29, {"mau"}), (13, {"mau", "retained", "new", "returned", "gone"})])
def test_what_the_audience_needs(engine: Rewritable, hole: int, unknown: set[str]) -> None:
    app = computed(
        engine, Events([feed(1, at(k)) for k in range(0, 30, 3)]), *(k for k in range(29, -1, -1) if k != hole)
    )
    app.assert_frame(DAY)
    assert {name for name, value in vars(app.frame(DAY).audience).items() if value is None} == unknown


def test_a_day_whose_first_days_are_not_computed_has_its_other_figures(engine: Rewritable) -> None:
    events = Events([feed(1, at(k), post=1) for k in range(14)])
    app = computed(engine, events, *range(13, -1, -1))
    for ago in (0, 9):
        engine.engine.remove("results.computed_days", DAY - timedelta(days=ago), FIRST_SEEN.name)
    frame = app.frame(DAY)
    assert frame.at(FEED, DAY) == Figures(1, 1, 1, 0, 1, None, None)
    assert frame.users_ever is None
    assert frame.actions_ever == 14
    assert (frame.audience.wau, frame.audience.new, frame.audience.returned) == (1, None, None)
    assert [r.age_days for r in frame.retention if r.source == "total"] == [1, 7]
    rows = [r for r in app.engine.rows(app_queries.app_table(DAY, DAY)) if r["service"] == "feed"]
    assert {(r["new_users"], r["new_posts"]) for r in rows} == {(None, None)}


def test_the_posts_of_the_rest_are_missing_where_they_are_not_computed(engine: Rewritable) -> None:
    app = computed(engine, Events([feed(1, at(0), country=OTHER), feed(1, at(1), country=OTHER)]), 1, 0)
    engine.engine.remove("results.computed_days", DAY, POST_DAY.name)
    figures = app.frame(DAY).series[Slice(Service.FEED, "country", OTHER)]
    assert [f.active_posts for f in figures[-3:]] == [None, 1, None]
    assert figures[-1].dau == 1


# --------------------------------------------------------------------- shape


def test_values_are_bound_and_all_of_them_used() -> None:
    asked = [
        app_queries.post_day(DAY, BERLIN),
        app_queries.first_seen(DAY),
        app_queries.first_seen_left(DAY),
        app_queries.app_daily(DAY),
        app_queries.app_table(DAY, DAY),
        app_queries.other_posts(DAY, DAY, ["O'Brien", "$x"]),
        app_queries.totals(DAY),
        app_queries.audience(DAY),
        app_queries.retention(DAY),
    ]
    for query in asked:
        assert not [name for name in query.params if f"${name}" not in query.sql], query.name
        assert "2026" not in query.sql
        assert "O'Brien" not in query.sql


def test_a_catalogue_without_the_feeds_counts_is_refused() -> None:
    with pytest.raises(ValueError, match=r"the feed's counts \['likes'\]"):
        app_queries.post_day(DAY, BERLIN, [m for m in METRICS if m.name != "likes"])


def test_the_table_is_ordered_for_reading(engine: Rewritable, weeks: Events) -> None:
    app = computed(engine, weeks, 2, 1, 0)
    rows = app.engine.rows(app_queries.app_table(DAY - timedelta(days=2), DAY))
    rank = {name: k for k, name in enumerate(("total", "source", "os", "country", "app", "feed", "message"))}
    keys = [
        (rank[str(r["dimension"])], rank[str(r["service"])], str(r["dimension_value"]), str(r["event_date"]))
        for r in rows
    ]
    assert all(a < b for a, b in pairwise(keys))
    assert {str(r["dimension"]) for r in rows} == {"total", "source", "os", "country"}
    assert [c for c, _ in APP_DAILY.columns] == list(rows[0])[: len(APP_DAILY.columns)]
