"""What our tables in ClickHouse look like: how long rows are kept, what is left over, and the DDL of a cluster."""

import os
from datetime import UTC, datetime, timedelta

import pytest

from analytics_platform.metrics.events import EVENT_TABLES, FEED_ACTIONS
from analytics_platform.metrics.tables import FEED_DAILY, POST_DAY, STANDARD_TABLES
from analytics_platform.queries import Query
from analytics_platform.warehouses import clickhouse_schema as schema
from analytics_platform.warehouses.base import Warehouse
from analytics_platform.warehouses.clickhouse import ClickHouseWarehouse
from analytics_platform_tests.clickhouse_service import ClickHouse
from analytics_platform_tests.warehouses.clickhouse_open import open_at
from analytics_platform_tests.warehouses.rows import figures

TODAY = datetime.now(UTC).date()


def post_day(day: object) -> Query:
    sql = (
        "SELECT CAST($day AS DATE) AS event_date, 1 AS post_id, 'ads' AS source, 'iOS' AS os, '' AS country, "
        "1 AS views, 0 AS likes, 1 AS actions"
    )
    return Query("post", sql, {"day": day})


def kept(warehouse: Warehouse) -> list[object]:
    query = Query("n", "SELECT event_date FROM results.post_day ORDER BY 1")
    return [row["event_date"] for row in warehouse.rows(query)]


def ttls(warehouse: ClickHouseWarehouse) -> dict[str, str]:
    return {name: kind.partition(" TTL ")[2] for name, kind in warehouse._engines().items() if " TTL " in kind}


def test_facts_are_kept_as_long_as_the_setting_says(clickhouse: ClickHouse) -> None:
    url = clickhouse.empty_database()
    old, young = TODAY - timedelta(days=60), TODAY - timedelta(days=50)
    for_ever = open_at(url)
    for day in (old, young):
        for_ever.replace_day(POST_DAY, day, post_day(day))
        for_ever.replace_day(FEED_DAILY, day, figures(day, 1))
    assert (ttls(for_ever), kept(for_ever)) == ({}, [old, young])

    short = open_at(url, keep_days=55)
    assert short.prepare() == [f"{name}: rows are kept 55 days" for name in ("user_day", "post_day", "computed_days")]
    assert set(ttls(short)) == {"user_day", "post_day", "computed_days"}
    assert open_at(url, keep_days=55).prepare() == []
    for name in ("post_day", "computed_days"):
        short.server.command(f"OPTIMIZE TABLE {short.layout.database}.{name} FINAL", name="optimize")
    assert kept(short) == [young]
    # A day whose rows are gone is not computed; what is made from it stays.
    assert short.computed_days(POST_DAY, old, young) == {young}
    assert short.computed_days(FEED_DAILY, old, young) == {old, young}
    assert short.replace_day(POST_DAY, young, post_day(young)) == 1

    assert len(open_at(url, keep_days=5).prepare()) == 3, "5 days is the beginning of 55, and another number"
    assert open_at(url, keep_days=5).prepare() == []
    forgotten = [f"{name}: rows are kept for ever" for name in ttls(short)]
    assert sorted(open_at(url).prepare()) == sorted(forgotten)
    assert (open_at(url).prepare(), ttls(short)) == ([], {})


def test_a_new_database_keeps_what_the_setting_says_at_once(clickhouse: ClickHouse) -> None:
    url = clickhouse.empty_database()
    assert all("created" in done for done in open_at(url, keep_days=400).prepare())
    assert open_at(url, keep_days=400).prepare() == []
    assert len(ttls(open_at(url))) == 3


def test_days_whose_facts_may_be_gone_are_not_believed_whatever_becomes_of_the_setting(clickhouse: ClickHouse) -> None:
    url = clickhouse.empty_database()
    days = [TODAY - timedelta(days=k) for k in (58, 59, 70)]
    long = open_at(url)
    for day in days:
        long.replace_day(POST_DAY, day, post_day(day))
    assert set(long.computed_days(POST_DAY, days[-1], TODAY)) == set(days)
    # A day before the server may drop its rows; and those are not back when the setting is.
    for keep in (60, 0):
        kept_for = open_at(url, keep_days=keep)
        kept_for.prepare()
        assert set(kept_for.computed_days(POST_DAY, days[-1], TODAY)) == {days[0]}, keep


def test_tables_that_a_killed_process_left_go_later_and_fresh_ones_stay(clickhouse: ClickHouse) -> None:
    if clickhouse.folder is None:
        pytest.skip("a table is made older than it is in the files of the server")
    warehouse = open_at(clickhouse.empty_database())
    warehouse.prepare()
    database = warehouse.layout.database
    ours = f"{schema.BEING_COMPUTED}user_day; goes when that is done"
    left_behind = (
        ("staged_user_day_0123456789abcdef", 49, ours),
        ("staged_user_day_fedcba9876543210", 47, ours),
        ("staged_user_day_0000000000000000", 490, "somebody else's, called like ours"),
        ("staged_orders", 490, ours),
        ("other", 490, ours),
    )
    for name, hours, comment in left_behind:
        text = f"CREATE TABLE {database}.{name} (x Int8) ENGINE = MergeTree ORDER BY x COMMENT '{comment}'"
        warehouse.server.command(text.replace("else's", "else\\'s"), name="leave")
        [row] = warehouse.server.rows(
            "SELECT metadata_path FROM system.tables WHERE database = {d:String} AND name = {n:String}",
            {"d": database, "n": name},
            name="path",
        )
        made = (datetime.now(UTC) - timedelta(hours=hours)).timestamp()
        assert clickhouse.folder
        os.utime(clickhouse.folder / "data" / str(row["metadata_path"]), (made, made))
    assert open_at(clickhouse.url("tests")).prepare() == []
    names = [name for name, _, _ in left_behind]
    assert [name for name in names if name in warehouse._engines()] == names[1:]


@pytest.mark.parametrize("name", ["user_day", "computed_days"])
def test_a_table_of_one_node_is_a_merge_tree(clickhouse: ClickHouse, name: str) -> None:
    warehouse = open_at(clickhouse.empty_database())
    warehouse.prepare()
    kind = warehouse._engines()[name]
    assert kind.startswith("ReplacingMergeTree(version) ORDER" if name == "computed_days" else "MergeTree PARTITION BY")


def test_on_a_cluster_every_statement_is_sent_everywhere_and_every_table_is_replicated(clickhouse: ClickHouse) -> None:
    # The embedded engine has no Keeper, so its parser alone judges.
    layout = schema.Layout("my-results", cluster="it's `mine`", keep_days=400)
    result_tables = schema.wanted(STANDARD_TABLES).items()
    made = [schema.create_results(layout, name, columns) for name, columns in result_tables]
    made += [schema.create_events(layout, table) for table in EVENT_TABLES]
    changed = [schema.add_column(layout, "user_day", "shares", "Int32"), schema.set_ttl(layout, "user_day")]
    server = open_at(clickhouse.url("default")).server

    def parsed(text: str) -> str:
        [row] = server.rows("SELECT formatQuerySingleLine({text:String}) AS parsed", {"text": text}, name="parse")
        return str(row["parsed"])

    for text in (*made, *changed):
        assert "ON CLUSTER `it\\'s \\`mine\\``" in parsed(text) or "ON CLUSTER `it's \\`mine\\``" in parsed(text)
    for text in made:
        assert "ENGINE = Replicated" in parsed(text)
        assert "'/clickhouse/tables/analytics_platform/{database}/{table}', '{shard}-{replica}'" in parsed(text)
        assert ("ReplacingMergeTree" in text) == ("_days`" in text.split("ON CLUSTER")[0])
        assert (" TTL " in parsed(text)) == any(f"`{n}`" in text for n in ("user_day", "post_day", "computed_days"))

    # What is computed stays on the node that computes it, whatever the engine of its table.
    engine = "ReplicatedMergeTree('/x', '{replica}') PARTITION BY event_date ORDER BY event_date SETTINGS a = 1"
    staging = parsed(schema.create_staging(layout, "feed_daily", "staged_x", engine))
    assert "ENGINE = MergeTree PARTITION BY event_date ORDER BY event_date" in staging
    assert "ON CLUSTER" not in staging
    assert "Replicated" not in staging


def test_an_event_table_is_ours_when_it_is_as_we_make_it(clickhouse: ClickHouse) -> None:
    warehouse = open_at(clickhouse.empty_database())
    warehouse.prepare()
    place = (warehouse.layout.database, "feed_actions")
    columns, key = warehouse._columns({place})[place], warehouse._engines()["feed_actions"]
    assert schema.strange_events(FEED_ACTIONS, columns, key) == ""
    assert schema.strange_events(FEED_ACTIONS, columns, "MergeTree ORDER BY time") != ""
    assert schema.strange_events(FEED_ACTIONS, columns, "MergeTree PARTITION BY toDate(time, 'UTC') ORDER BY x") != ""
    wide = columns | {"user_id": "UInt64"}
    assert schema.strange_events(FEED_ACTIONS, wide, key) == "user_id is UInt64, UInt32 is needed"
