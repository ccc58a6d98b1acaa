"""`copy` as a person runs it: between homes, to a server and back, and what it says."""

import re
import shlex
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import duckdb
import pytest

from analytics_platform.redaction import SECRET, redact
from analytics_platform_tests.cli.conftest import FIRST, LAST, Run
from analytics_platform_tests.clickhouse_service import ClickHouse

RANGE = ("--from-date", FIRST, "--to-date", LAST)
SAME = "8 days the same already"


def address(folder: Path) -> str:
    """As `--from` and `--to` take it."""
    return f"duckdb://{quote(str(folder))}"


def lines(out: str) -> dict[str, str]:
    """What is said of each table."""
    return dict(line.split(": ", 1) for line in out.splitlines() if ": " in line)


def rows(folder: Path, database: str, table: str, which: str = "true") -> list[tuple[object, ...]]:
    with duckdb.connect(folder / f"{database}.duckdb", read_only=True) as console:
        return console.execute(f"SELECT * FROM {table} WHERE {which} ORDER BY ALL").fetchall()


def test_from_home_to_home(run: Run, home: Path, tmp_path: Path) -> None:
    other = tmp_path / "another home"
    dry = run("copy", "--to", address(other), *RANGE, "--home", home, "--dry-run")
    assert (dry.code, other.exists()) == (0, False)
    assert lines(dry.out)["feed_actions"] == "8 days to be copied, 624 rows"

    done = run("copy", "--to", address(other), *RANGE, "--home", home)
    assert done.code == 0, done.err
    assert done.out.startswith(f"from {home}/events.duckdb and {home}/results.duckdb\nto {other}/events.duckdb and ")
    assert lines(done.out)["feed_actions"] == "8 days copied, 624 rows"
    assert lines(done.out)["message_actions"] == "8 days copied, 16 rows"
    assert "copy feed_actions: done" in done.err
    for database, table in (("events", "feed_actions"), ("results", "user_day"), ("results", "daily_slices")):
        assert rows(other, database, table) == rows(home, database, table)
    # The copy is a home: its days are current, and it computes on.
    again = run("copy", "--to", address(other), *RANGE, "--home", home)
    none = {name for name, said in lines(again.out).items() if said == "nothing there"}
    assert {said for name, said in lines(again.out).items() if name not in none} == {SAME}
    assert {"user_events", "page_events"} <= none
    (other / "settings.env").write_text(f"START_DATE={FIRST}\n", "utf-8")
    assert run("materialize", "--date", LAST, "--home", other).code == 0
    assert run("copy", "--to", address(other), *RANGE, "--only", "events", "--home", home).code == 0


def test_into_the_homes_own_warehouse_its_partitions_begin_with_the_first_day(
    run: Run, home: Path, tmp_path: Path
) -> None:
    fresh = tmp_path / "fresh"
    done = run("copy", "--from", address(home), *RANGE, "--home", fresh)
    assert done.code == 0, done.err
    assert f"START_DATE={FIRST}" in (fresh / "settings.env").read_text("utf-8")


def test_outdated_days_are_said_with_the_remedy(run: Run, home: Path, tmp_path: Path) -> None:
    late = tmp_path / "late.csv"
    late.write_text(f"user_id,post_id,action,time\n1,1,view,{LAST} 23:00:00\n", "utf-8")
    assert run("load", "--feed", late, "--append", "--home", home).code == 0
    done = run("copy", "--to", address(tmp_path / "to"), *RANGE, "--home", home)
    assert done.code == 0
    assert lines(done.out)["user_day"].startswith("7 days copied")
    assert (
        "1 day left out, outdated where they are (user_day, daily_slices, feed_daily, post_day, first_seen, "
        "app_daily, series_quarter_hour): run analytics-platform materialize "
        f"--from {LAST} --to {LAST} there, then copy again"
    ) in done.err


def test_single_tables(run: Run, home: Path, tmp_path: Path) -> None:
    to = ("--to", address(tmp_path / "to"), "--home", home, *RANGE)
    done = run("copy", *to, "--tables", "feed_actions", "--tables", "user_day,feed_daily")
    assert list(lines(done.out)) == ["feed_actions", "user_day", "feed_daily"]
    others = lines(run("copy", *to, "--only", "results").out)
    # Those that come from daily_slices must not be older than it.
    assert [name for name, said in others.items() if said == SAME] == ["user_day"]
    assert others["feed_daily"].startswith("8 days copied")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (
            (),
            1,
            "is both where to copy from and where to copy to; name another warehouse: WAREHOUSE_URL, --from or --to",
        ),
        (("--from", "duckdb:///nowhere/at/all"), 1, "/nowhere/at/all/events.duckdb does not exist: correct the folder"),
        (("--to", "sqlite:///x"), 1, "it begins with neither clickhouse:// nor duckdb:///"),
        (("--to", "clickhouse://user:one-secret@127.0.0.1:1/db"), 1, "127.0.0.1:1"),
        (("--only", "charts"), 2, "--only is events or results"),
        (("--tables", "users"), 2, "there is no table 'users'; there are feed_actions, message_actions, user_events, "),
        (("--from-date", LAST, "--to-date", FIRST), 2, f"--from-date {LAST} is after --to-date {FIRST}"),
    ],
)
def test_refusals_are_one_sentence(run: Run, home: Path, words: tuple[object, ...], code: int, said: str) -> None:
    done = run("copy", *RANGE, *words, "--home", home)
    assert done.code == code
    assert said in re.sub(r"[\s│]+", " ", done.err)
    assert "Traceback" not in done.err
    assert "one-secret" not in done.err + done.out


def test_a_password_on_the_command_line_is_a_secret(run: Run, home: Path) -> None:
    run("copy", "--to", "clickhouse://user:pa%40ss-word@127.0.0.1:1/db", *RANGE, "--home", home)
    assert redact("once pa%40ss-word, once pa@ss-word") == f"once {SECRET}, once {SECRET}"


def test_the_commands_of_the_page_run_in_its_order(
    run: Run, home: Path, tmp_path: Path, clickhouse: ClickHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They lead to ClickHouse and back."""
    page = (Path(__file__).parents[2] / "docs" / "copying.md").read_text("utf-8")
    url, back, until = clickhouse.empty_database(), tmp_path / "backup", FIRST + timedelta(days=2)
    named = {"$WAREHOUSE_URL": url, "duckdb:///srv/backup": address(back), "2026-11-01": str(FIRST)}
    named["2026-11-20"] = str(until)
    monkeypatch.setenv("WAREHOUSE_URL", url)
    said = []
    for line in re.findall(r"^analytics-platform (.*)$", page, re.MULTILINE):
        done = run(*(named.get(word, word) for word in shlex.split(line)), "--home", home)
        assert done.code == 0, done.err
        said.append(done.out)
    assert len(said) == 3
    assert f"to ClickHouse at 127.0.0.1:{clickhouse.port}" in said[1]

    slices = ("slices", "--from", FIRST, "--to", until, "--home", home)
    on_server = run(*slices)
    assert on_server.code == 0, on_server.err
    monkeypatch.delenv("WAREHOUSE_URL")
    assert sorted(run(*slices).out.splitlines()) == sorted(on_server.out.splitlines())
    for table in ("user_day", "first_seen", "app_daily"):
        copied = rows(back, "results", table)
        assert copied == rows(home, "results", table, f"event_date <= '{until}'")
        assert copied
    copied = rows(back, "events", "message_actions")
    assert copied == rows(home, "events", "message_actions", f"time < '{until + timedelta(days=1)}'")
    assert copied
