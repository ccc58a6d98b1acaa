"""The ClickHouse for tests behaves like a server, through the ordinary client over HTTP."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from email.message import Message
from typing import Any
from urllib.parse import urlencode

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, Error

from analytics_platform_tests.clickhouse_service import ClickHouse
from analytics_platform_tests.services import until

COLUMNS = ("user_id", "action", "time", "os", "age", "x")
DAY = datetime(2026, 8, 1, tzinfo=UTC)


@pytest.fixture
def client(clickhouse: ClickHouse) -> Iterator[Any]:
    """A client in an empty database with a table of events and one of days."""
    clickhouse.empty_database()
    # By default the client gives times of UTC without their zone.
    found = clickhouse.client("tests", tz_mode="aware")
    found.command(
        "CREATE TABLE feed (user_id UInt32, action LowCardinality(String), time DateTime('UTC'), os String, age UInt8, "
        "x Nullable(Float64)) ENGINE = MergeTree PARTITION BY toYYYYMM(time) ORDER BY (toDate(time), user_id)"
    )
    found.command("CREATE TABLE daily (day Date, users UInt64) ENGINE = MergeTree PARTITION BY day ORDER BY day")
    yield found
    found.close()


def rows(number: int) -> list[list[object]]:
    """Events of five users, a second apart."""
    return [[i % 5, "view", datetime.fromtimestamp(DAY.timestamp() + i, UTC), "iOS", 20, None] for i in range(number)]


def ask(clickhouse: ClickHouse, statement: str | None, /, **params: object) -> tuple[int, Message, bytes]:
    """Status, headers and body of a bare request: POST, or GET without a statement."""
    if clickhouse.own:
        pytest.skip("bare requests need a server without a password")
    address = f"http://127.0.0.1:{clickhouse.port}/?{urlencode(params)}"
    try:
        with urllib.request.urlopen(address, data=None if statement is None else statement.encode()) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


def test_rows_go_in_and_come_out(client: Any) -> None:
    assert client.insert("feed", rows(7), column_names=COLUMNS).written_rows == 7
    assert client.query("SELECT user_id, action, time, x FROM feed ORDER BY time LIMIT 2").result_rows == [
        (0, "view", DAY, None),
        (1, "view", DAY.replace(second=1), None),
    ]


def test_a_time_comes_in_the_zone_of_its_column(clickhouse: ClickHouse) -> None:
    client = clickhouse.client(tz_mode="schema")
    statement = (
        "WITH toDateTime({at:UInt32}, 'UTC') AS t SELECT t, toTimeZone(t, 'Europe/Moscow') AS moscow, "
        "toDateTime64(t, 6, 'Asia/Tokyo') AS fine FROM numbers(10000) SETTINGS max_block_size = 1000"
    )
    found = client.query(statement, parameters={"at": int(DAY.timestamp())}).result_rows
    assert {tuple(time.isoformat() for time in row) for row in found} == {
        ("2026-08-01T00:00:00+00:00", "2026-08-01T03:00:00+03:00", "2026-08-01T09:00:00+09:00")
    }
    client.close()


def test_frames_go_in_and_come_out(client: Any) -> None:
    import pandas as pd

    frame = pd.DataFrame(rows(20_000), columns=list(COLUMNS)).astype({"x": "float64"})
    assert client.insert_df("feed", frame).written_rows == 20_000
    assert client.query_df("SELECT os, count() AS n FROM feed GROUP BY os").to_dict("records") == [
        {"os": "iOS", "n": 20_000}
    ]
    assert client.query_df_arrow("SELECT user_id, os FROM feed LIMIT 5").shape == (5, 2)
    with client.query_df_stream("SELECT number FROM numbers(300000)") as blocks:
        assert sum(len(block) for block in blocks) == 300_000


def test_arrow_goes_in_and_comes_out(client: Any) -> None:
    import pyarrow as pa

    table = pa.table({"day": pa.array([date(2026, 8, 1), date(2026, 8, 2)]), "users": pa.array([1, 2], pa.uint64())})
    assert client.insert_arrow("daily", table).written_rows == 2
    assert client.query_arrow("SELECT * FROM daily ORDER BY day").to_pydict() == table.to_pydict()
    stream = pa.BufferOutputStream()
    with pa.ipc.new_stream(stream, table.schema) as writer:
        writer.write_table(table, max_chunksize=1)
    content = stream.getvalue().to_pybytes()
    pieces = (content[at : at + 100] for at in range(0, len(content), 100))
    assert client.raw_insert("daily", insert_block=pieces, fmt="ArrowStream").written_rows == 2
    with client.query_arrow_stream("SELECT number FROM numbers(300000)") as batches:
        assert sum(batch.num_rows for batch in batches) == 300_000


def test_an_empty_answer_has_its_columns(client: Any) -> None:
    assert client.query_arrow("SELECT * FROM daily").schema.names == ["day", "users"]
    assert client.query("SELECT * FROM daily").result_rows == []
    assert client.command("SELECT users FROM daily") == ""


@pytest.mark.parametrize("compress", ["lz4", "zstd", "gzip", False])
def test_every_compression_carries_many_blocks_there_and_back(clickhouse: ClickHouse, compress: str | bool) -> None:
    clickhouse.empty_database()
    client = clickhouse.client("tests", compress=compress)
    client.command("CREATE TABLE numbers (n UInt64, text String) ENGINE = MergeTree ORDER BY n")
    number = 100_000
    columns = [list(range(number)), [f"{n:x}" for n in range(number)]]
    written = client.insert("numbers", columns, column_names=["n", "text"], column_oriented=True)
    assert written.written_rows == number
    found = client.query("SELECT n, text FROM numbers ORDER BY n", column_oriented=True).result_columns
    assert [list(column) for column in found] == columns
    client.close()


def test_parameters_are_bound_and_never_read_as_sql(clickhouse: ClickHouse, client: Any) -> None:
    client.insert("feed", rows(3), column_names=COLUMNS)
    statement = "SELECT count() FROM feed WHERE os = {os:String} AND time >= {t:DateTime('UTC')} AND age = {age:Int64}"
    bound = {"os": "iOS", "t": DAY.replace(second=1), "age": 20}
    assert client.query(statement, parameters=bound).result_rows == [(2,)]
    strange = "it's {os:String} \\ \t\n; DROP TABLE feed -- \N{SNOWMAN}"
    assert client.query("SELECT {text:String}", parameters={"text": strange}).result_rows == [(strange,)]
    form = clickhouse.client("tests", form_encode_query_params=True)
    assert form.query("SELECT {text:String}, 1", parameters={"text": strange}).result_rows == [(strange, 1)]
    form.close()


def test_grouping_sets(client: Any) -> None:
    client.insert("feed", rows(3), column_names=COLUMNS)
    statement = "SELECT os, age, count() FROM feed GROUP BY GROUPING SETS ((os), (age), ()) ORDER BY ALL"
    assert client.query(statement, settings={"group_by_use_nulls": 1}).result_rows == [
        ("iOS", None, 3),
        (None, 20, 3),
        (None, None, 3),
    ]


def test_what_a_select_writes_is_counted(client: Any) -> None:
    client.insert("feed", rows(9), column_names=COLUMNS)
    done = client.command("INSERT INTO daily SELECT toDate(time) AS day, uniqExact(user_id) FROM feed GROUP BY day")
    assert done.written_rows == 1
    assert client.query("SELECT * FROM daily").result_rows == [(date(2026, 8, 1), 5)]


def test_partitions_and_rows_are_removed_and_replaced(client: Any) -> None:
    client.command("INSERT INTO daily VALUES ('2026-08-01', 1), ('2026-08-02', 2), ('2026-08-03', 3)")
    client.command("CREATE TABLE staging AS daily")
    client.command("INSERT INTO staging VALUES ('2026-08-02', 20)")
    client.command("ALTER TABLE daily DROP PARTITION '2026-08-01'")
    client.command("ALTER TABLE daily REPLACE PARTITION '2026-08-02' FROM staging")
    client.command("DELETE FROM daily WHERE day = '2026-08-03'")
    assert client.query("SELECT * FROM daily").result_rows == [(date(2026, 8, 2), 20)]


def test_an_error_has_the_number_and_the_name_of_the_server(client: Any) -> None:
    for statement, code, name in (
        ("SELECT nope FROM feed", 47, "UNKNOWN_IDENTIFIER"),
        ("SELECT * FROM nope", 60, "UNKNOWN_TABLE"),
        ("SELECT * FROM nope.nope", 81, "UNKNOWN_DATABASE"),
        ("SELECT 1 SETTINGS no_such_setting = 1", 115, "UNKNOWN_SETTING"),
        ("SELECT groupArray(number) FROM numbers(10000000)", 241, "MEMORY_LIMIT_EXCEEDED"),
        ("SELECT count() FROM numbers(100000000000) WHERE sipHash64(number) = 1", 159, "TIMEOUT_EXCEEDED"),
    ):
        with pytest.raises(DatabaseError) as caught:
            client.query(statement, settings={"max_memory_usage": 20_000_000, "max_execution_time": 0.3})
        assert (caught.value.code, caught.value.name) == (code, name)
    with pytest.raises(DatabaseError) as refused:
        client.insert("nope", [[1]], column_names=["n"], column_type_names=["UInt8"])
    assert (refused.value.code, refused.value.name) == (60, "UNKNOWN_TABLE")


def test_an_error_is_sent_as_the_server_sends_it(clickhouse: ClickHouse) -> None:
    for statement, status in (("SELECT nope", 404), ("SELEC 1", 400), ("SELECT throwIf(1)", 500), ("", 400)):
        found, headers, body = ask(clickhouse, statement, query_id="mine")
        code = headers["X-ClickHouse-Exception-Code"]
        assert (found, headers["X-ClickHouse-Query-Id"]) == (status, "mine")
        assert body.startswith(f"Code: {code}. DB::Exception: ".encode())
        assert body.rstrip().endswith(b"(official build))")


def test_what_only_an_embedded_engine_takes_is_refused(clickhouse: ClickHouse) -> None:
    assert ask(clickhouse, "nonsense")[0] == 400
    assert b"Multi-statements" in ask(clickhouse, "SELECT 1; SELECT 2")[2]
    assert ask(clickhouse, "SELECT 'a;b' -- ;\n;")[2] == b"a;b\n"


def test_a_get_reads_only(clickhouse: ClickHouse) -> None:
    assert ask(clickhouse, None)[2] == b"Ok.\n"
    assert ask(clickhouse, None, query="SELECT 1", default_format="CSV")[2] == b"1\n"
    assert ask(clickhouse, None, query="CREATE DATABASE no")[1]["X-ClickHouse-Exception-Code"] == "164"


def test_the_answer_says_what_was_done(clickhouse: ClickHouse) -> None:
    _, headers, _ = ask(clickhouse, "SELECT number FROM numbers(10)", query_id="mine", session_timezone="Europe/Moscow")
    assert (headers["X-ClickHouse-Query-Id"], headers["X-ClickHouse-Format"]) == ("mine", "TabSeparated")
    assert headers["X-ClickHouse-Timezone"] == "Europe/Moscow"
    summary = json.loads(headers["X-ClickHouse-Summary"])
    assert (summary["read_rows"], summary["result_rows"], summary["written_rows"]) == ("10", "10", "0")


def test_an_insert_that_breaks_off_writes_nothing(clickhouse: ClickHouse, client: Any) -> None:
    if clickhouse.own:
        pytest.skip("a bare connection needs a server without a password")
    statement = b"INSERT INTO tests.daily FORMAT TSV\n2026-08-01\t1\n"
    with socket.create_connection(("127.0.0.1", clickhouse.port)) as line:
        line.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\n" + statement)
        line.shutdown(socket.SHUT_WR)
        assert line.recv(1) == b""
    assert client.query("SELECT * FROM daily").result_rows == []


def test_settings_and_databases_of_parallel_clients_never_meet(clickhouse: ClickHouse) -> None:
    names = [f"tests_{place}" for place in range(6)]
    for name in names:
        clickhouse.empty_database(name)
        maker = clickhouse.client(name)
        maker.command("CREATE TABLE mine ENGINE = MergeTree ORDER BY name AS SELECT currentDatabase() AS name")
        maker.close()

    def worker(place: int) -> set[tuple[str, int, int, int]]:
        client = clickhouse.client(names[place], settings={"max_block_size": 1000 + place})
        statement = (
            "SELECT name, getSetting('max_block_size'), getSetting('max_threads'), count(n) FROM mine, "
            "(SELECT if(number % 2 = 0, number, NULL) AS n FROM numbers(1000)) AS other GROUP BY ALL"
        )
        found = set()
        for turn in range(9):
            if turn % 3 == 1:  # what is set without a session ends with its request, and an error leaves nothing
                client.command("SET max_block_size = 7")
                client.command("USE system")
                with pytest.raises(DatabaseError):
                    client.command("SELECT throwIf(number = 99999) FROM numbers(100000)")
            found.update(client.query(statement, settings={"max_threads": place + 1}).result_rows)
        client.close()
        return found

    with ThreadPoolExecutor(len(names)) as pool:
        found = list(pool.map(worker, range(len(names))))
    assert found == [{(clickhouse.name(name), 1000 + p, p + 1, 500)} for p, name in enumerate(names)]


def test_the_rows_of_a_statement_that_failed_are_not_in_the_next_answer(clickhouse: ClickHouse) -> None:
    client = clickhouse.client(settings={"max_execution_time": 0.2, "max_block_size": 1})
    with pytest.raises(DatabaseError):
        client.query("SELECT sleepEachRow(0.05) FROM numbers(60)")
    assert client.query("SELECT 1").result_rows == [(1,)]
    client.close()


def test_a_session_keeps_its_settings_and_takes_one_request_at_a_time(clickhouse: ClickHouse) -> None:
    clickhouse.empty_database()
    one, other = clickhouse.client(session_id="one"), clickhouse.client(session_id="other")
    one.command("SET max_block_size = 77")
    one.command(f"USE {clickhouse.name('tests')}")
    statement = "SELECT getSetting('max_block_size') = 77, currentDatabase() = {name:String}"
    bound = {"name": clickhouse.name("tests")}
    assert one.query(statement, parameters=bound).result_rows == [(1, 1)]
    assert other.query(statement, parameters=bound).result_rows == [(0, 0)]
    third = clickhouse.client(session_id="third")
    with ThreadPoolExecutor(1) as pool:
        if clickhouse.own:
            slow = pool.submit(third.query, "SELECT sleep(3)")
            time.sleep(1)  # nothing tells that a real server has begun
        else:
            clickhouse.delay("sleep", seconds=60)
            slow = pool.submit(third.query, "SELECT sleep(0)")
            until(lambda: slow.done() or any(one.admitted for one in clickhouse.log() if "sleep" in one.statement))
            assert not slow.done()
        for _ in range(3):
            with pytest.raises(Error) as caught:
                one.query("SELECT 1", settings={"session_id": "third"})
            assert caught.value.code == 373
        if not clickhouse.own:
            clickhouse.release()
        assert slow.result(60).result_rows == [(0,)]
    for client in (one, other, third):
        client.close()


def test_several_processes_work_at_once(clickhouse: ClickHouse, client: Any) -> None:
    script = (
        "import sys, clickhouse_connect as cc\n"
        "client = cc.get_client(dsn=sys.argv[1].replace('clickhouse://', 'clickhousedb://'))\n"
        "for n in range(5): client.insert('daily', [[__import__('datetime').date(2026, 8, 1), n]], ['day', 'users'])\n"
    )
    command = [sys.executable, "-c", script, clickhouse.url("tests")]
    started = [subprocess.Popen(command, env=dict(os.environ)) for _ in range(2)]
    assert [process.wait(60) for process in started] == [0, 0]
    assert client.query("SELECT count(), sum(users) FROM daily").result_rows == [(10, 20)]
