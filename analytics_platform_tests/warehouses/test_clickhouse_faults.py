"""What goes wrong between us and a ClickHouse server: what is tried again, and one sentence for each error."""

import threading
from collections.abc import Callable, Mapping
from datetime import timedelta
from traceback import format_exception
from typing import Any

import pytest

from analytics_platform.metrics.events import FEED_ACTIONS
from analytics_platform.metrics.tables import FEED_DAILY
from analytics_platform.metrics.windows import Window
from analytics_platform.queries import Query
from analytics_platform.warehouses.base import WarehouseBusyError, WarehouseError, origin
from analytics_platform.warehouses.clickhouse import ClickHouseWarehouse
from analytics_platform.warehouses.clickhouse_client import DeniedError, Limits
from analytics_platform_tests import clickhouse_service
from analytics_platform_tests.clickhouse_faults import Received, When
from analytics_platform_tests.clickhouse_service import ClickHouse
from analytics_platform_tests.warehouses.clickhouse_open import open_at
from analytics_platform_tests.warehouses.rows import DAY, UTC, at, feed, figures, hours, stored, times_of
from analytics_platform_tests.warehouses.test_clickhouse_kills import wait_for

PASSWORD = "pa/ss:w@rd#1"
WINDOW = Window(at(DAY, 0), at(DAY, 0) + timedelta(days=1))
ONE = Query("one", "SELECT 1 AS one")


@pytest.fixture
def url(clickhouse: ClickHouse) -> str:
    return clickhouse.empty_database()


@pytest.fixture
def warehouse(clickhouse: ClickHouse, url: str) -> ClickHouseWarehouse:
    """With a day of feed_daily, a log that is empty, and nothing to go wrong yet."""
    made = open_at(url)
    made.replace_day(FEED_DAILY, DAY, figures(DAY, 1))
    clickhouse.clear()
    return made


def failure(do: Callable[[], object]) -> WarehouseError:
    """The error, which is one sentence and whose traceback holds nothing of the client's."""
    with pytest.raises(WarehouseError) as found:
        do()
    error = found.value
    assert "\n" not in str(error)
    assert error.__cause__ is None
    shown = "".join(format_exception(error))
    assert "During handling" not in shown
    for secret in ("query_id=", "for url", "(version", "HTTPConnection", PASSWORD):
        assert secret not in shown, secret
    return error


def named(log: list[Received], name: str) -> list[Received]:
    return [request for request in log if f"/{name}/" in request.query_id]


# --------------------------------------------------------- lost connections


@pytest.mark.parametrize("when", ["before", "during", "after"])
def test_a_read_is_tried_again_when_the_connection_is_lost(
    clickhouse: ClickHouse, warehouse: ClickHouseWarehouse, when: When
) -> None:
    # Twice, as the client itself asks once more under the same id where no answer has begun.
    clickhouse.drop("dau FROM", when=when, times=2)
    assert stored(warehouse, DAY) == [1]
    asked = named(clickhouse.log(), "stored")
    assert len(asked) == 3
    assert len({request.query_id for request in asked}) == (3 if when == "during" else 2)

    clickhouse.drop("dau", when=when, times=2)
    assert warehouse.stored_rows(FEED_DAILY, DAY).num_rows == 1


def test_a_read_that_fails_again_and_again_is_told_to_wait(
    clickhouse: ClickHouse, warehouse: ClickHouseWarehouse
) -> None:
    clickhouse.drop("dau FROM", times=0)
    error = failure(lambda: stored(warehouse, DAY))
    assert isinstance(error, WarehouseBusyError)
    said = "does not answer (stored): Remote end closed connection without response"
    assert str(error) == f"ClickHouse at {warehouse.server.address} {said}"
    assert len({request.query_id for request in named(clickhouse.log(), "stored")}) == 4


@pytest.mark.parametrize("when", ["before", "during", "after"])
@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("CREATE TABLE .*staged_", "stage_feed_daily"),
        ("INSERT INTO .*staged_", "figures"),
        ("INSERT INTO .*own", "begin_feed_daily"),
        ("REPLACE PARTITION", "replace_feed_daily"),
        ("version . 1", "end_feed_daily"),
        ("DROP TABLE", "unstage_feed_daily"),
    ],
)
def test_what_writes_is_sent_once(
    clickhouse: ClickHouse, warehouse: ClickHouseWarehouse, pattern: str, name: str, when: When
) -> None:
    clickhouse.drop(pattern, when=when)
    error = failure(lambda: warehouse.replace_day(FEED_DAILY, DAY, figures(DAY, 2)))
    assert isinstance(error, WarehouseBusyError)
    assert f"does not answer ({name}): " in str(error)
    [sent] = named(clickhouse.log(), name)
    assert sent.executed == (when != "before")
    # Whatever became of it, rows and ledger agree, and the next time it is right.
    rows, current = stored(warehouse, DAY), bool(warehouse.current_days(FEED_DAILY, DAY, DAY))
    moved = name in ("end_feed_daily", "unstage_feed_daily") or (name == "replace_feed_daily" and sent.executed)
    assert rows == ([2] if moved else [1])
    assert current or name in ("begin_feed_daily", "replace_feed_daily", "end_feed_daily")
    warehouse.replace_day(FEED_DAILY, DAY, figures(DAY, 3))
    assert (stored(warehouse, DAY), warehouse.current_days(FEED_DAILY, DAY, DAY)) == ([3], {DAY})


def test_events_are_sent_once(clickhouse: ClickHouse, warehouse: ClickHouseWarehouse) -> None:
    for when in ("before", "after"):
        clickhouse.clear()
        clickhouse.drop("INSERT INTO .*staged_", when=when)
        assert isinstance(failure(lambda: warehouse.load([feed([at(DAY)])], UTC)), WarehouseBusyError)
        assert [request.executed for request in named(clickhouse.log(), "load_feed_actions")] == [when == "after"]
        assert times_of(warehouse) == []
    warehouse.load([feed([at(DAY)])], UTC)
    assert times_of(warehouse) == [at(DAY)]


def test_a_ledger_entry_that_is_sent_twice_is_one(clickhouse: ClickHouse, warehouse: ClickHouseWarehouse) -> None:
    clickhouse.drop("INSERT INTO .*loaded_days", when="after")
    warehouse.load([feed([at(DAY)])], UTC)
    assert [request.executed for request in named(clickhouse.log(), "ledger_loaded_days")] == [True] * 3
    ledger = Query("ledger", "SELECT event_date, rows FROM events.loaded_days")
    assert warehouse.rows(ledger) == [{"event_date": DAY, "rows": 1}]


@pytest.mark.parametrize("kind", ["drop", "fail"])
def test_a_stream_that_breaks_off_is_one_sentence_and_no_half_of_the_events(
    clickhouse: ClickHouse, warehouse: ClickHouseWarehouse, kind: str
) -> None:
    warehouse.load([feed(hours(DAY, range(24)))], UTC)
    if kind == "drop":
        clickhouse.drop("FROM .*feed_actions", when="during")
    else:
        clickhouse.fail("FROM .*feed_actions", when="during", code=241)
    error = failure(lambda: list(warehouse.event_batches(FEED_ACTIONS, WINDOW)))
    assert isinstance(error, WarehouseBusyError)
    assert "read_feed_actions broke off: " in str(error)
    assert sum(b.num_rows for b in warehouse.event_batches(FEED_ACTIONS, WINDOW)) == 24


@pytest.mark.parametrize("code", [202, 209, 210, 216, 225, 242, 252, 279, 439, 999])
def test_what_passes_is_tried_again(clickhouse: ClickHouse, warehouse: ClickHouseWarehouse, code: int) -> None:
    clickhouse.fail("dau FROM", code=code)
    assert stored(warehouse, DAY) == [1]
    clickhouse.fail("REPLACE", code=code)
    assert isinstance(failure(lambda: warehouse.replace_day(FEED_DAILY, DAY, figures(DAY, 2))), WarehouseBusyError)


# ------------------------------------------------------------ other errors


def test_too_much_memory_names_the_setting(url: str, warehouse: ClickHouseWarehouse) -> None:
    small = open_at(url, limits=Limits(memory_bytes=30_000_000))
    small.prepare()
    much = Query("much", "SELECT count(DISTINCT number) AS n FROM numbers(10000000)")
    error = str(failure(lambda: small.rows(much)))
    assert error.startswith("much needs more than 0.03 GB on ClickHouse: raise CLICKHOUSE_MEMORY_LIMIT (")
    assert warehouse.rows(much) == [{"n": 10_000_000}]


def test_too_much_time_names_the_setting(url: str) -> None:
    hasty = open_at(url, limits=Limits(time_seconds=1))
    slow = Query("slow", "SELECT count() AS n FROM numbers(100000000000) WHERE NOT ignore(sipHash64(number))")
    said = "slow took longer than 1 s on ClickHouse: raise CLICKHOUSE_TIME_LIMIT_SECONDS or compute fewer days at once"
    assert str(failure(lambda: hasty.rows(slow))) == said


def test_a_wrong_statement_is_said_without_what_surrounds_it(warehouse: ClickHouseWarehouse) -> None:
    error = str(failure(lambda: warehouse.rows(Query("wrong", "SELECT nonsense\nFROM results.feed_daily"))))
    assert error.startswith("query wrong failed on ClickHouse: Unknown expression identifier `nonsense`")
    assert error.endswith("(UNKNOWN_IDENTIFIER)")


@pytest.mark.parametrize(
    ("code", "kind", "said"),
    [
        (497, DeniedError, "the ClickHouse user may not do it (stored): .* docs/clickhouse.md lists the grants"),
        (164, DeniedError, "the ClickHouse user may not do it (stored): .* docs/clickhouse.md lists the grants"),
        (516, DeniedError, "refuses the user 'default': check WAREHOUSE_URL"),
        (81, WarehouseError, "create it, or grant the user CREATE DATABASE"),
        (60, WarehouseError, "query stored failed on ClickHouse: Asked for by a test. (UNKNOWN_TABLE)"),
    ],
)
def test_other_errors_of_the_server(
    clickhouse: ClickHouse, warehouse: ClickHouseWarehouse, code: int, kind: type[WarehouseError], said: str
) -> None:
    clickhouse.fail("dau FROM", code=code)
    error = failure(lambda: stored(warehouse, DAY))
    assert type(error) is kind
    assert all(part in str(error) for part in said.split(".*"))
    assert len(named(clickhouse.log(), "stored")) == 1


def test_a_wrong_password_is_one_sentence_and_nowhere_to_be_seen() -> None:
    with clickhouse_service.clickhouse("ana", PASSWORD) as server:
        right = open_at(server.url("tests"))
        right.prepare()
        for said in (str(right), repr(right), right.place, repr(right.server.address), repr(vars(right.server))):
            assert PASSWORD not in said
        wrong = open_at(server.url("tests").replace("pa%2Fss", "wr%2Fng"))
        error = failure(wrong.prepare)
    assert isinstance(error, DeniedError)
    assert str(error) == f"ClickHouse at 127.0.0.1:{server.port} refuses the user 'ana': check WAREHOUSE_URL"
    chain: BaseException | None = error
    while chain is not None:
        assert "wr/ng" not in "".join(format_exception(chain))
        chain = chain.__context__
    # The server is gone.
    assert "Connection refused" in str(failure(lambda: right.rows(ONE)))


def test_a_host_that_is_not_there_is_one_sentence() -> None:
    nowhere = open_at("clickhouse://ana:pa%2Fss%3Aw%40rd%231@no.such.host.invalid:8123/tests")
    error = failure(nowhere.prepare)
    assert isinstance(error, WarehouseBusyError)
    assert str(error).startswith("ClickHouse at no.such.host.invalid:8123 does not answer (")


def test_a_setting_that_may_not_be_changed_is_no_lost_connection(url: str) -> None:
    # As it is for a user whose profile says readonly=1.
    def connect(settings: Mapping[str, Any]) -> Any:
        client = made.server._over_http(settings)
        client.server_settings["log_comment"] = client.server_settings["log_comment"]._replace(readonly=1)
        return client

    made = open_at(url, connect=connect)
    error = failure(made.prepare)
    assert type(error) is WarehouseError
    assert str(error).startswith("columns cannot be sent to ClickHouse: Setting log_comment is readonly; docs")


# --------------------------------------------------------- what the log shows


def test_the_servers_log_tells_on_whose_behalf_each_statement_runs_and_under_which_limits(
    clickhouse: ClickHouse, url: str
) -> None:
    made = open_at(url, limits=Limits(memory_bytes=123_000_000, time_seconds=77))
    made.prepare()
    clickhouse.clear()
    token = origin.set("run 1;é/user_day")
    try:
        made.load([feed([at(DAY)])], UTC)
        made.replace_day(FEED_DAILY, DAY, figures(DAY, 1))
        made.rows(ONE)
        list(made.event_batches(FEED_ACTIONS, WINDOW))
    finally:
        origin.reset(token)
    made.rows(ONE)
    log = clickhouse.log()
    ours, last = log[:-1], log[-1]
    assert len({request.query_id for request in log}) == len(log)
    for request in ours:
        mark, _, unique = request.query_id.rpartition("/")
        assert mark.startswith("run_1_/user_day/")
        assert len(unique) == 12
        assert request.settings["log_comment"] == f"analytics_platform {mark}"
        assert (request.settings["max_memory_usage"], request.settings["max_execution_time"]) == ("123000000", "77")
    assert last.query_id.startswith("analytics-platform/one/")
    names = {request.query_id.split("/")[2] for request in ours}
    assert {"one", "figures", "read_feed_actions", "load_feed_actions", "replace_feed_daily"} <= names


def test_threads_of_one_warehouse_do_not_wait_for_each_other(
    clickhouse: ClickHouse, warehouse: ClickHouseWarehouse
) -> None:
    clickhouse.delay("sleepy", seconds=60)
    slow = threading.Thread(target=lambda: warehouse.rows(Query("slow", "SELECT 'sleepy' AS one")))
    slow.start()
    wait_for(clickhouse, "slow", slow)
    assert stored(warehouse, DAY) == [1]
    assert slow.is_alive()
    clickhouse.release()
    slow.join(60)
    assert not slow.is_alive()
