"""Faults on demand, the log, passwords, an end without notice: what tests ask of a ClickHouse of their own."""

import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError
from urllib3 import Timeout

from analytics_platform_tests.clickhouse_faults import Desk, Fault, Received
from analytics_platform_tests.clickhouse_service import URL_VARIABLE, ClickHouse
from analytics_platform_tests.clickhouse_service import clickhouse as started
from analytics_platform_tests.services import free_port, until

COUNT = "SELECT count() FROM t"
# The client says each fault to its log; a test asks for it.
pytestmark = pytest.mark.usefixtures("_quiet")


@pytest.fixture
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("CRITICAL", "clickhouse_connect")


@pytest.fixture
def client(clickhouse: ClickHouse) -> Any:
    """A client in a database with an empty table; nothing is in the log."""
    if clickhouse.own:
        pytest.skip(f"{URL_VARIABLE} names a real server")
    clickhouse.empty_database()
    found = clickhouse.client("tests")
    found.command("CREATE TABLE t (n UInt64) ENGINE = MergeTree ORDER BY n")
    clickhouse.clear()
    return found


def executed(clickhouse: ClickHouse, text: str) -> list[bool]:
    """Of the requests with that text in their statement, which the engine ran."""
    return [one.executed for one in clickhouse.log() if text in one.statement]


def test_the_log_tells_ids_limits_and_values(clickhouse: ClickHouse, client: Any) -> None:
    limits = {"max_memory_usage": 10**9, "max_execution_time": 30, "log_comment": "run 7"}
    client.query("SELECT {n:Int64}", parameters={"n": 5}, settings={**limits, "query_id": "day-2026-08-01"})
    client.insert("t", [[1], [2]], column_names=["n"], column_type_names=["UInt64"])
    asked, inserted = clickhouse.log()
    assert (asked.query_id, asked.params, asked.database) == ("day-2026-08-01", {"n": "5"}, "tests")
    assert {name: asked.settings[name] for name in limits} == {n: str(v) for n, v in limits.items()}
    assert (inserted.statement, inserted.executed, inserted.code) == ("INSERT INTO `t` (`n`)", True, 0)


def test_a_connection_that_ends_before_the_statement_leaves_it_undone(clickhouse: ClickHouse, client: Any) -> None:
    clickhouse.drop("insert into t", when="before")
    with pytest.raises(OperationalError):
        client.command("INSERT INTO t SELECT 1")
    assert executed(clickhouse, "INSERT") == [False]
    assert client.command(COUNT) == 0


def test_a_connection_that_ends_after_the_statement_leaves_it_done(clickhouse: ClickHouse, client: Any) -> None:
    clickhouse.drop("insert into t", when="after")
    with pytest.raises(OperationalError):
        client.command("INSERT INTO t SELECT 1")
    assert executed(clickhouse, "INSERT") == [True]
    assert client.command(COUNT) == 1


def test_the_client_itself_repeats_reads_and_inserts_of_rows(clickhouse: ClickHouse, client: Any) -> None:
    clickhouse.drop("insert", when="after")
    client.insert("t", [[1]], column_names=["n"], column_type_names=["UInt64"])
    assert executed(clickhouse, "INSERT") == [True, True]
    assert client.query(COUNT).result_rows == [(2,)]
    clickhouse.drop(times=3)
    with pytest.raises(OperationalError):
        client.query(COUNT)


@pytest.mark.parametrize("compress", [True, False])
def test_half_an_answer_is_an_error(clickhouse: ClickHouse, client: Any, compress: bool) -> None:
    from urllib3.exceptions import ProtocolError

    reader = clickhouse.client("tests", compress=compress)
    clickhouse.drop("numbers", when="during", times=3)
    statement = "SELECT number FROM numbers(300000)"
    with pytest.raises(OperationalError):
        _ = reader.query(statement).result_rows
    with pytest.raises(OperationalError):
        reader.query_arrow(statement)
    with pytest.raises(ProtocolError), reader.query_arrow_stream(statement) as batches:
        list(batches)
    assert executed(clickhouse, "numbers") == [True, True, True]
    reader.close()


@pytest.mark.parametrize("compress", [True, False])
def test_an_error_in_the_middle_of_an_answer_is_told_as_the_server_tells_it(
    clickhouse: ClickHouse, client: Any, compress: bool
) -> None:
    reader = clickhouse.client("tests", compress=compress)
    clickhouse.fail("numbers", code=241, when="during")
    with pytest.raises(OperationalError) as caught:
        _ = reader.query("SELECT number FROM numbers(300000)").result_rows
    assert (caught.value.code, caught.value.name) == (241, "MEMORY_LIMIT_EXCEEDED")
    reader.close()


def test_an_error_comes_before_or_after_the_statement(clickhouse: ClickHouse, client: Any) -> None:
    clickhouse.fail("INSERT", code=497)
    clickhouse.fail("INSERT", code=242, when="after")
    for code, name, count in ((497, "ACCESS_DENIED", 0), (242, "TABLE_IS_READ_ONLY", 1)):
        with pytest.raises(DatabaseError) as caught:
            client.command("INSERT INTO t SELECT 1")
        assert (caught.value.code, caught.value.name) == (code, name)
        assert client.command(COUNT) == count
    assert [one.code for one in clickhouse.log() if "INSERT" in one.statement] == [497, 242]


def test_a_statement_that_nobody_waits_for_is_executed_all_the_same(clickhouse: ClickHouse, client: Any) -> None:
    hasty = clickhouse.client("tests")
    hasty.timeout = Timeout(connect=10, read=0.3)
    clickhouse.delay("INSERT", seconds=60)
    with pytest.raises(OperationalError, match="Read timed out"):
        hasty.command("INSERT INTO t SELECT 1", settings={"query_id": "slow"})
    until(lambda: [one.admitted for one in clickhouse.log() if "INSERT" in one.statement] == [True])
    with pytest.raises(DatabaseError) as caught:
        client.command("INSERT INTO t SELECT 1", settings={"query_id": "slow"})
    assert caught.value.name == "QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING"
    clickhouse.release()
    until(lambda: executed(clickhouse, "INSERT") == [True, False])
    assert client.command(COUNT) == 1


def test_a_query_is_killed_by_its_id(clickhouse: ClickHouse, client: Any) -> None:
    statement = "SELECT sleepEachRow(0.05) FROM numbers(1000) SETTINGS max_block_size = 1"
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(client.query, statement, settings={"query_id": "it's slow"})
        deadline = time.monotonic() + 60
        killed = ""
        while not killed and time.monotonic() < deadline:
            bound = {"id": "it's slow"}
            other = clickhouse.client()
            killed = other.command("KILL QUERY WHERE query_id = {id:String} SYNC", parameters=bound)
            other.close()
        with pytest.raises(DatabaseError) as caught:
            slow.result()
    assert caught.value.name == "QUERY_WAS_CANCELLED"


def test_a_killed_server_keeps_what_was_written(clickhouse: ClickHouse, client: Any) -> None:
    client.command("INSERT INTO t SELECT 1")
    clickhouse.kill()
    with pytest.raises(OperationalError, match="Connection refused"):
        client.query(COUNT)
    clickhouse.start()
    assert client.command(COUNT) == 1


def test_only_the_user_with_the_password_comes_in() -> None:
    word = "p@ss/word"
    with started("reporter", word) as server:
        assert server.client().command("SELECT 1") == 1
        for wrong in ({"password": "guess"}, {"username": "default", "password": ""}):
            with pytest.raises(DatabaseError) as caught:
                server.client(**wrong)
            assert (caught.value.code, caught.value.name) == (516, "AUTHENTICATION_FAILED")
        assert word not in repr(server)
        assert "p%40ss%2Fword" in server.url("tests")


def test_an_absent_engine_skips_or_fails_and_names_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(URL_VARIABLE, raising=False)
    monkeypatch.delenv("REQUIRE_SERVICES", raising=False)
    monkeypatch.setitem(sys.modules, "chdb", None)
    with pytest.raises(pytest.skip.Exception, match="pip install chdb"), started():
        pass
    monkeypatch.setenv("REQUIRE_SERVICES", "1")
    with pytest.raises(pytest.fail.Exception, match="pip install chdb"), started():
        pass


def test_a_real_server_is_used_where_it_is_named_and_has_no_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(URL_VARIABLE, f"clickhouse://tester:word@127.0.0.1:{free_port()}/default")
    monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw3")
    with started() as server:
        assert server.url("tests").endswith(f"tester:word@127.0.0.1:{server.port}/tests_gw3")
        assert "word" not in repr(server)
        with pytest.raises(pytest.skip.Exception, match="names a real server"):
            server.drop("SELECT")


def test_a_fault_happens_to_what_matches_and_as_often_as_asked() -> None:
    desk = Desk()
    desk.add([Fault("drop", "^insert", times=2), Fault("delay", "7", times=0), Fault("fail", "x", code=241)])
    kinds = []
    for statement in ("SELECT 1", "INSERT 7", "insert x", "insert x", "select 7"):
        found = desk.enter(Received("id", statement, {}, {}, "", ""))
        kinds.append([fault.kind for fault in found])
    assert kinds == [[], ["delay", "drop"], ["drop"], ["fail"], ["delay"]]
    with pytest.raises(Exception, match="unterminated"):
        Fault("drop", "(")


def test_it_runs_by_hand_and_ends_when_asked(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "analytics_platform_tests.clickhouse_server", "--port", "0"]
    with subprocess.Popen([*command, "--path", str(tmp_path / "data")], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        line = server.stdout.readline()
        assert line.startswith("WAREHOUSE_URL=clickhouse://127.0.0.1:")
        assert line.rstrip().endswith("/analytics")
        server.send_signal(signal.SIGTERM)
        assert server.wait(60) == 0
    told = subprocess.run([*command, "--user", "me"], capture_output=True, text=True, check=False)
    assert (told.returncode, "CLICKHOUSE_SERVER_PASSWORD" in told.stderr) == (2, True)
