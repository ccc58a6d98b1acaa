"""The catalogue: what it refuses, and that one entry is all it takes to add a metric or a dimension."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from analytics_platform.metrics import catalog, dimensions, facts
from analytics_platform.metrics.catalog import (
    METRICS,
    Count,
    Distinct,
    DistinctPerUser,
    Metric,
    Ratio,
    Source,
    summed,
    user_day_metrics,
)
from analytics_platform.metrics.dimensions import DIMENSIONS, Dimension, Labels, attributes
from analytics_platform.metrics.events import Kind
from analytics_platform.metrics.slices import daily_slices
from analytics_platform.metrics.tables import Type, daily_slices_table, user_day_table
from analytics_platform.simulate.scenario import Scenario
from analytics_platform_tests.metrics import oracle
from analytics_platform_tests.metrics.conftest import Stored
from analytics_platform_tests.metrics.oracle import Oracle, PerUser, Quotient, Slicing, Users, action, as_it_is
from analytics_platform_tests.metrics.product import Events, dates, feed, message, simulated

LONDON = ZoneInfo("Europe/London")
VIEWS = Count("views", Source.FEED, "posts viewed", "action = 'view'")


def test_the_catalogues_pass_their_own_checks_and_start_with_the_documented_columns() -> None:
    assert catalog.check(METRICS) == METRICS
    assert dimensions.check(DIMENSIONS) == DIMENSIONS
    documented = ["views", "likes", "messages_received", "messages_sent", "users_received", "users_sent"]
    assert [name for name, _ in daily_slices_table().columns] == [
        *("event_date", "dimension", "dimension_value"),
        *documented,
        *("active_users", "feed_actions", "feed_users", "senders", "ctr"),
    ]


@pytest.mark.parametrize(
    ("metrics", "sentence"),
    [
        ([Count("Views", Source.FEED, "")], "metric 'Views': use another name"),
        ([Count("", Source.FEED, "")], "metric '': use another name"),
        ([Count("views; drop", Source.FEED, "")], "use another name"),
        ([Count("2nd", Source.FEED, "")], "use another name"),
        ([Count("views\n", Source.FEED, "")], "use another name"),
        ([Count("vues_é", Source.FEED, "")], "use another name"),
        ([Count("user_id", Source.FEED, "")], "metric 'user_id': use another name"),
        ([Distinct("dimension_value", "")], "use another name"),
        ([VIEWS, Count("views", Source.SENT, "")], "metric 'views' is in the catalogue twice"),
        ([VIEWS, Ratio("views", "views", "views", "")], "metric 'views' is in the catalogue twice"),
        ([VIEWS, Ratio("ctr", "likes", "views", "")], "metric 'ctr': 'likes' is no count or distinct"),
        ([VIEWS, Ratio("ctr", "views", "shows", "")], "metric 'ctr': 'shows' is no count or distinct"),
        ([VIEWS, Ratio("a", "views", "views", ""), Ratio("b", "a", "views", "")], "metric 'b': 'a' is no count"),
        ([DistinctPerUser("x", Source.SENT, "user_id", "")], "metric 'x': over sent messages, count 'receiver_id'"),
        ([DistinctPerUser("x", Source.RECEIVED, "receiver_id", "")], "over received messages, count 'user_id'"),
    ],
)
def test_an_inconsistent_catalogue_is_refused_by_name(metrics: list[Metric], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        catalog.check(metrics)


def test_a_ratio_may_stand_before_its_parts() -> None:
    entries = (Ratio("twice", "views", "users", ""), VIEWS, Distinct("users", ""))
    assert catalog.check(iter(entries)) == entries
    assert summed(entries) == entries[1:]
    assert user_day_metrics(entries) == (VIEWS,)


@pytest.mark.parametrize(
    "metric",
    [
        Distinct("age", "the attribute is read in its place"),
        Count("place", Source.SENT, "the attributes get lost"),
        Count("receiver_id", Source.RECEIVED, "the wrong user gets the messages"),
        Count("contact_id", Source.RECEIVED, "the wrong user gets the messages"),
        Count("sender_id", Source.RECEIVED, "counted twice"),
        Count("source", Source.FEED, "a second column of that name"),
        Count("by_os", Source.FEED, "text is summed"),
        Count("feed_rows", Source.SENT, "two columns of that name"),
        Count("order", Source.FEED, "a word of SQL"),
        Distinct("both", "a word of SQL"),
        Ratio("end", "views", "views", "a word of SQL"),
    ],
    ids=lambda m: m.name,
)
def test_a_name_that_the_statements_use_themselves_is_refused(metric: Metric) -> None:
    with pytest.raises(ValueError, match=f"metric '{metric.name}'"):
        catalog.check((*METRICS, metric))


@pytest.mark.parametrize(
    ("entries", "sentence"),
    [
        ([Dimension("OS", ("os",), "")], "dimension 'OS': the name is not usable"),
        ([Dimension("total", ("os",), "")], "dimension 'total': the name is not usable"),
        ([Dimension("os", ("os",), ""), Dimension("os", ("age",), "")], "dimension 'os': .* twice"),
        ([Dimension("phone", ("phone",), "")], "dimension 'phone': no such attribute of the events: .'phone'."),
        ([Dimension("user", ("user_id",), "")], "dimension 'user': no such attribute of the events: .'user_id'."),
        ([Dimension("none", (), "")], "dimension 'none': no such attribute of the events: .none."),
        ([Dimension("both", ("os", "age"), "")], "dimension 'both': several attributes need an expression"),
    ],
)
def test_an_inconsistent_dimension_is_refused_by_name(entries: list[Dimension], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        dimensions.check(entries)


def test_attributes_are_taken_once_each_in_order_of_first_use() -> None:
    both = Dimension("city_os", ("city", "os"), "", "city || '/' || os")
    wanted = attributes((Dimension("os", ("os",), ""), both, Dimension("exp_group", ("exp_group",), "")))
    assert [(a.name, a.kind) for a in wanted] == [("os", Kind.TEXT), ("city", Kind.TEXT), ("exp_group", Kind.INT8)]
    assert [a.name for a in attributes()] == ["gender", "age", "os", "country", "source"]


def test_an_entry_is_a_column_of_both_tables() -> None:
    shares = Count("shares", Source.FEED, "posts shared", "action = 'share'")
    rate = Ratio("share_rate", "shares", "views", "shares per view")
    assert ("shares", Type.COUNT) in user_day_table((*METRICS, shares, rate)).columns
    assert daily_slices_table((*METRICS, shares, rate)).columns[-2:] == (
        ("shares", Type.TOTAL),
        ("share_rate", Type.SHARE),
    )
    assert user_day_table(dimensions=(Dimension("city", ("city",), ""),)).columns[-2:] == (
        ("city", Type.TEXT),
        ("attributes_time", Type.TIME),
    )


def test_values_are_bound_and_never_part_of_the_text() -> None:
    labels = Labels({"gender": {"1": "муж'чина", "0": "$x {{ y }}"}})
    query = daily_slices(date(2026, 3, 1), labels)
    assert "муж" not in query.sql
    assert {"муж'чина", "$x {{ y }}", "0", "1", date(2026, 3, 1)} == set(query.params.values())
    assert not [name for name in query.params if f"${name}" not in query.sql]
    query = facts.user_day(date(2026, 3, 1), LONDON, {date(2026, 2, 20)})
    assert not [name for name in query.params if f"${name}" not in query.sql]
    assert "2026" not in query.sql


# ------------------------------------------------------- one entry, and tables and slices follow

ADDED: dict[str, tuple[Metric, PerUser | Users | Quotient]] = {
    "count of an action": (
        Count("shares", Source.FEED, "posts shared", "action = 'share'"),
        PerUser("shares", oracle.FEED, action("share")),
    ),
    "count of some messages sent": (
        Count("ads_sent", Source.SENT, "messages of users from ads", "source = 'ads'"),
        PerUser("ads_sent", oracle.SENT, lambda rows: rows["source"] == "ads"),
    ),
    "count of some messages received": (
        Count("upward", Source.RECEIVED, "messages from users with a lower id", "user_id < receiver_id"),
        PerUser("upward", oracle.RECEIVED, lambda rows: rows["user_id"] < rows["receiver_id"]),
    ),
    "distinct posts": (
        DistinctPerUser("posts", Source.FEED, "post_id", "distinct posts a user saw or liked"),
        PerUser("posts", oracle.FEED, distinct="post_id"),
    ),
    "distinct posts of an action": (
        DistinctPerUser("liked_posts", Source.FEED, "post_id", "distinct posts a user liked", "action = 'like'"),
        PerUser("liked_posts", oracle.FEED, action("like"), "post_id"),
    ),
    "distinct people under a condition, sent": (
        DistinctPerUser("upward_sent", Source.SENT, "receiver_id", "", "receiver_id > user_id AND os <> 'iOS'"),
        PerUser(
            "upward_sent",
            oracle.SENT,
            lambda rows: (rows["receiver_id"] > rows["user_id"]) & (rows["os"] != "iOS"),
            "receiver_id",
        ),
    ),
    "distinct people under a condition, received": (
        DistinctPerUser("organic_senders", Source.RECEIVED, "user_id", "", "source = 'organic'"),
        PerUser("organic_senders", oracle.RECEIVED, lambda rows: rows["source"] == "organic", "user_id"),
    ),
    "users under a condition over several metrics": (
        Distinct("of_both", "users of feed and chat", "feed_actions > 0 AND messages_sent + messages_received > 0"),
        Users("of_both", lambda u: (u["feed_actions"] > 0) & (u["messages_sent"] + u["messages_received"] > 0)),
    ),
    "users by an alternative": (
        Distinct("likers_or_senders", "", "likes > 0 OR messages_sent > 0"),
        Users("likers_or_senders", lambda u: (u["likes"] > 0) | (u["messages_sent"] > 0)),
    ),
    "ratio of a count and users": (
        Ratio("actions_per_user", "feed_actions", "feed_users", "feed events per feed user"),
        Quotient("actions_per_user", "feed_actions", "feed_users"),
    ),
}
SLICED: tuple[tuple[Dimension, Slicing], ...] = (
    (Dimension("city", ("city",), "city"), as_it_is("city")),
    (Dimension("exp_group", ("exp_group",), "experiment group"), as_it_is("exp_group")),
    (
        Dimension("city_os", ("city", "os"), "", "CASE WHEN os <> 'unknown' THEN city || '/' || os END"),
        Slicing("city_os", lambda u: None if u["os"] == "unknown" else f"{u['city']}/{u['os']}"),
    ),
)
ATTRIBUTES = (*oracle.ATTRIBUTES, "city", "exp_group")


def mixed() -> Events:
    """Three simulated days with shares, cities and groups, and a few events that only differ in those."""
    scenario = Scenario(date(2026, 5, 1), 2, 100, 5, LONDON, messages_only_days=frozenset({date(2026, 5, 2)}))
    events = simulated(scenario)
    noon = datetime(2026, 5, 1, 12, tzinfo=UTC).replace(tzinfo=None)
    for k in range(12):
        events.feed.append(feed(900 + k % 3, noon + timedelta(hours=k % 2), "share" if k % 4 else "like", post=k % 5))
        events.messages.append(message(900 + k % 3, 905 - k % 4, noon, city=("Perm", "Уфа")[k % 2], os="unknown"))
    events.feed.append(feed(900, noon + timedelta(hours=1), city="Zz", exp_group=None))
    events.feed.append(feed(901, noon + timedelta(hours=1), city="unknown", exp_group=4))
    return events


def check_against_oracle(
    stored: Stored, metrics: list[tuple[Metric, PerUser | Users | Quotient]], sliced: bool
) -> None:
    events = mixed()
    ours, theirs = [m for m, _ in metrics], [o for _, o in metrics]
    product = stored(
        events,
        LONDON,
        catalog.check((*METRICS, *ours)),
        dimensions.check((*DIMENSIONS, *(d for d, _ in SLICED if sliced))),
    )
    right = Oracle(
        events.feed,
        events.messages,
        LONDON,
        metrics=(*oracle.METRICS, *theirs),
        attributes=ATTRIBUTES if sliced else oracle.ATTRIBUTES,
        slicings=(*oracle.SLICINGS, *(s for _, s in SLICED if sliced)),
    )
    days = dates(date(2026, 5, 1), 3)
    product.compute(*days)
    product.assert_right(right, *days)
    for added in theirs:
        assert right.daily_slices(days[0])["total", "total"][added.name]


@pytest.mark.parametrize("added", ADDED.values(), ids=ADDED.keys())
def test_one_metric_more_flows_through_both_tables(
    stored: Stored, added: tuple[Metric, PerUser | Users | Quotient]
) -> None:
    check_against_oracle(stored, [added], sliced=False)


def test_all_of_them_and_new_dimensions_together(stored: Stored) -> None:
    check_against_oracle(stored, list(ADDED.values()), sliced=True)


@pytest.mark.parametrize("leave", [lambda m: m.source is Source.FEED, lambda m: m.source is not Source.FEED])
def test_a_catalogue_of_one_source_alone_works(
    stored: Stored, leave: Callable[[Count | DistinctPerUser], bool]
) -> None:
    events = mixed()
    kept = [m for m in user_day_metrics() if leave(m)]
    names = {m.name for m in kept}
    product = stored(events, LONDON, (*kept, Distinct("active_users", "")), (DIMENSIONS[2],))
    right = Oracle(
        events.feed,
        events.messages,
        LONDON,
        metrics=[m for m in oracle.METRICS if m.name in names | {"active_users"}],
        attributes=("os",),
        slicings=(as_it_is("os"),),
    )
    day = date(2026, 5, 1)
    product.compute(day)
    product.assert_right(right, day)
