"""Every verb's exit codes, help, refusals and what it prints to people and to other programs."""

import csv
import os
import re
import sys
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest
import typer

from analytics_platform.cli.main import app
from analytics_platform.metrics.dimensions import DIMENSIONS
from analytics_platform.warehouses.base import WarehouseBusyError
from analytics_platform_tests.cli.conftest import FIRST, LAST, Run, feed_csv

VERBS = (
    ("demo",),
    ("generate",),
    ("init",),
    ("load",),
    ("copy",),
    ("materialize",),
    ("slices",),
    ("audience",),
    ("rankings",),
    ("visitors",),
    ("funnel", "sync"),
    ("funnel", "conversions"),
    ("funnel", "generate"),
    ("funnel", "adopt"),
    ("funnel", "outbox", "list"),
    ("funnel", "outbox", "retry"),
    ("funnel", "outbox", "drop"),
    ("report", "feed"),
    ("report", "app"),
    ("report", "funnels"),
    ("report", "likes_by_os_weekly"),
    ("reports", "list"),
    ("reports", "history"),
    ("reports", "reset"),
    ("subscribers", "add"),
    ("subscribers", "list"),
    ("subscribers", "pause"),
    ("subscribers", "resume"),
    ("subscribers", "remove"),
    ("subscribers", "test"),
    ("subscribers", "page"),
    ("deliveries", "list"),
    ("deliveries", "show"),
    ("deliveries", "resend"),
    ("deliveries", "arrived"),
    ("alerts", "run"),
    ("alerts", "check"),
    ("alerts", "list"),
    ("alerts", "show"),
    ("alerts", "ack"),
    ("alerts", "mute"),
    ("alerts", "unmute"),
    ("alerts", "close"),
    ("alerts", "feedback"),
    ("alerts", "replay"),
    ("alerts", "train"),
    ("alerts", "calendar", "add"),
    ("alerts", "calendar", "list"),
    ("alerts", "calendar", "remove"),
    ("schedule",),
    ("health",),
    ("serve",),
    ("doctor",),
)
SECRET = "1234567890:" + "AAF_never_to_be_seen_0123456789abcdef"


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_help_shows_an_example(run: Run, verb: tuple[str, ...]) -> None:
    done = run(*verb, "--help")
    assert (done.code, done.err) == (0, "")
    assert f"Example: analytics-platform {' '.join(verb)}" in re.sub(r"\s+", " ", done.out)


def test_every_verb_is_tested_here() -> None:
    assert set(_verbs(app)) == set(VERBS)


def _verbs(group: typer.Typer) -> Iterator[tuple[str, ...]]:
    for command in group.registered_commands:
        if not command.hidden:
            yield (str(command.name),)
    for inner in group.registered_groups:
        assert inner.typer_instance
        for rest in _verbs(inner.typer_instance):
            yield (str(inner.name), *rest)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("demo --days 8", "--days"),
        ("generate", "--out"),
        ("load", "name at least one file"),
        ("load --feed x.csv --on-error ignore", "--on-error is stop or skip"),
        ("load --feed x.csv --source-timezone Mars", "'Mars' is not an IANA time zone"),
        ("materialize", "give either --date D or both --from A and --to B"),
        ("materialize --from 2024-03-01", "give either"),
        ("materialize --date 2024-03-01 --to 2024-03-02", "give either"),
        ("materialize --from 2024-03-02 --to 2024-03-01", "--from 2024-03-02 is after --to 2024-03-01"),
        ("materialize --date 2024-02-30", "2024-02-30"),
        ("materialize --date yesterday", "yesterday"),
        ("slices --from 2024-03-01", "--to"),
        ("slices --from 2024-03-01 --to 2024-03-01 --dimension colour", "choose one of total, "),
        ("report weekly", "weekly"),
        ("report feed --date 1.3.2024", "1.3.2024"),
        ("subscribers add 42 --report weekly", "there is no report weekly; there are app_daily, feed_daily, "),
        ("subscribers add 42 --all --quiet 22", "'22' are no quiet hours; write them such as 22:00-08:00, or off"),
        ("subscribers add 42 --quite 22:00-08:00", "--quite"),
        ("subscribers add", "ADDRESS"),
        ("subscribers list --report weekly", "there is no report weekly"),
        ("subscribers pause", "WHO"),
        ("subscribers remove 1 2", "2"),
        ("subscribers page --port 0", "--port"),
        ("deliveries list --days 0", "--days"),
        ("deliveries show feed_daily", "PERIOD"),
        ("deliveries resend", "REPORT"),
        ("alerts feedback 1 wonderful", "say one of real, false-alarm, expected, new-normal"),
        ("alerts show x", "INCIDENT"),
        ("alerts mute likes --for long", "write a length such as 30m, 2h or 1d"),
        ("alerts replay --from 2024-03-02 --to 2024-03-01", "--from 2024-03-02 is after --to 2024-03-01"),
        ("alerts replay --from 2024-03-01 --to 2024-03-02 --metric lakes", "choose one of"),
        ("alerts replay --from 2024-03-01 --to 2024-03-02 --detector magic", "choose one of seasonal"),
        ("alerts check --at noon", "--at"),
        ("alerts calendar add x --from 2024-03-01 --kind fast", "say one of holiday, release, expected"),
        ("alerts calendar add x --from 2024-03-01 --slack 0.5", "--slack"),
        ("serve --port 0", "--port"),
        ("doctor --fix", "--fix"),
        ("frobnicate", "frobnicate"),
    ],
)
def test_wrong_use_is_exit_code_2_and_makes_no_home(run: Run, tmp_path: Path, words: str, said: str) -> None:
    home = tmp_path / "home"
    group = words in ("report weekly", "frobnicate")
    done = run(*words.split(), *([] if group else ["--home", home]))
    assert done.code == 2, done
    assert said in re.sub(r"[\s│]+", " ", done.err)
    assert not home.exists()


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_a_wrong_setting_stops_every_verb_with_one_sentence(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: tuple[str, ...]
) -> None:
    needed: dict[str, list[object]] = {
        "generate": ["--out", tmp_path / "out"],
        "load": ["--feed", tmp_path / "feed.csv"],
        "materialize": ["--date", "2024-03-01"],
        "slices": ["--from", "2024-03-01", "--to", "2024-03-01"],
        **{word: ["--from-date", "2024-03-01", "--to-date", "2024-03-02"] for word in ("copy", "conversions")},
        "history": ["feed_daily"],
        "reset": ["feed_daily", "--period", "2024-03-01"],
        "add": ["-100777/5", "--all"],
        **{word: ["-100777/5"] for word in ("pause", "resume", "remove", "test")},
        **{word: ["feed_daily", "2024-03-01"] for word in ("show", "resend", "arrived")},
    }
    of_alerts: dict[str, list[object]] = {
        **{word: ["1"] for word in ("show", "ack", "mute", "unmute", "close", "remove")},
        "feedback": ["1", "real"],
        "replay": ["--from", "2024-03-01", "--to", "2024-03-02"],
        "add": ["New Year", "--from", "2024-12-31"],
    }
    if verb[0] == "alerts":
        needed = of_alerts
    monkeypatch.setenv("TIMEZONE", "Mars/Base")
    monkeypatch.setenv("TELEGRAM_BOT_TOKEN", SECRET)
    words = [] if verb == ("funnel", "generate") else needed.get(verb[-1], [])
    done = run(*verb, *words, "--home", tmp_path / "home")
    assert (done.code, done.out) == (1, "")
    assert done.err == "Error: TIMEZONE: 'Mars/Base' is not an IANA time zone; write one such as Europe/Moscow.\n"


# ------------------------------------------------------------- materialize


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["--date", FIRST - timedelta(days=1)],
            "2024-02-29 is before START_DATE (2024-03-01): load events of that day",
        ),
        (["--date", "2999-01-01"], "2999-01-01 is not over yet: in UTC it is "),
        (["--from", "2024-03-01", "--to", "2999-01-01"], "2999-01-01 is not over yet"),
    ],
)
def test_days_that_cannot_be_computed_are_refused(run: Run, home: Path, words: list[object], said: str) -> None:
    done = run("materialize", *words, "--home", home)
    assert (done.code, done.out) == (1, "")
    assert said in done.err


def test_materialize_again_replaces(run: Run, home: Path) -> None:
    before = run("slices", "--from", FIRST, "--to", LAST, "--home", home).out

    done = run("materialize", "--date", LAST, "--home", home)

    assert (done.code, done.out) == (0, f"1 day materialised, {LAST} to {LAST}\n")
    assert "facts/user_day: done" in done.err
    assert run("slices", "--from", FIRST, "--to", LAST, "--home", home).out == before


# ------------------------------------------------------------------ slices


def test_slices_piped_are_tab_separated_and_true(run: Run, home: Path) -> None:
    done = run("slices", "--from", FIRST, "--to", LAST, "--dimension", "total", "--home", home)
    rows = list(csv.DictReader(done.out.splitlines(), delimiter="\t"))
    assert [row["event_date"] for row in rows] == [str(FIRST + timedelta(days=k)) for k in range(8)]
    # Users 0..k+2 in the feed, and user 900 who only receives.
    assert [row["active_users"] for row in rows] == [str(4 + k) for k in range(8)]
    assert [(row["views"], row["likes"]) for row in rows] == [(str(10 * n), str(2 * n)) for n in range(3, 11)]
    assert {row["ctr"] for row in rows} == {"0.2"}
    assert done.err == ""


def test_slices_as_csv_are_the_same_rows(run: Run, home: Path, tmp_path: Path) -> None:
    target = tmp_path / "day, with 'quotes'.csv"
    target.write_text("an earlier export")
    done = run("slices", "--from", LAST, "--to", LAST, "--csv", target, "--home", home)
    piped = run("slices", "--from", LAST, "--to", LAST, "--home", home).out.splitlines()

    with target.open(newline="", encoding="utf-8") as stream:
        exported = list(csv.reader(stream))
    assert exported == [line.split("\t") for line in piped]
    assert done.out == f"{len(exported) - 1} rows in {target}\n"
    assert {row[1] for row in exported[1:]} == {"total", *(d.name for d in DIMENSIONS)}
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ""] == [target.name]


def test_slices_that_are_not_there_name_the_remedy(run: Run, home: Path) -> None:
    done = run("slices", "--from", "2024-04-01", "--to", "2024-04-02", "--home", home)
    assert (done.code, done.out) == (1, "")
    assert "run analytics-platform materialize --from 2024-04-01 --to 2024-04-02" in done.err


def test_a_csv_that_cannot_be_written_is_one_sentence(run: Run, home: Path, tmp_path: Path) -> None:
    done = run("slices", "--from", LAST, "--to", LAST, "--csv", tmp_path / "no" / "such" / "x.csv", "--home", home)
    assert done.code == 1
    assert re.fullmatch(r"Error: .*x\.csv.*: No such file or directory\n", done.err)


# ----------------------------------------------------------- homes, doctor


def test_two_homes_share_nothing(run: Run, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "other"
    (tmp_path / "feed.csv").write_text(feed_csv(date(2023, 5, 1), days=1), "utf-8")
    before = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}

    monkeypatch.setenv("ANALYTICS_PLATFORM_HOME", str(home))
    assert run("load", "--feed", tmp_path / "feed.csv", "--home", other).code == 0
    assert run("materialize", "--date", "2023-05-01", "--home", other).code == 0

    assert {path: path.read_bytes() for path in home.rglob("*") if path.is_file()} == before
    monkeypatch.setenv("ANALYTICS_PLATFORM_HOME", str(home))
    assert run("slices", "--from", "2023-05-01", "--to", "2023-05-01").code == 1
    monkeypatch.setenv("ANALYTICS_PLATFORM_HOME", str(other))
    done = run("slices", "--from", "2023-05-01", "--to", "2023-05-01", "--dimension", "total")
    assert done.out.splitlines()[1].split("\t")[:5] == ["2023-05-01", "total", "total", "30", "6"]
    assert (other / "settings.env").read_text() == "START_DATE=2023-05-01\n"


def test_doctor_tells_what_is_there_and_what_is_not(run: Run, home: Path, tmp_path: Path) -> None:
    done = run("doctor", "--home", home)
    assert (done.code, done.err) == (0, "")
    assert "feed_actions: 624 rows, last event 2024-03-08 09:59 UTC" in done.out
    assert "results: 8 of " in done.out
    assert "PROBLEM" not in done.out

    empty = run("doctor", "--home", tmp_path / "new")
    assert empty.code == 0
    assert "feed_actions is empty\n        -> analytics-platform load --feed FILE" in empty.out


def test_doctor_finds_a_damaged_warehouse_and_a_missing_token(
    run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "events.duckdb").write_text("not a database")
    monkeypatch.setenv("DELIVERY_CHANNEL", "telegram")
    done = run("doctor", "--home", home)
    assert done.code == 1
    assert f"PROBLEM {home / 'events.duckdb'} cannot be opened as a DuckDB database" in done.out
    assert "PROBLEM feed_daily: nobody was told: nobody gets feed_daily; analytics-platform subscribers add" in done.out
    # It does not go out by itself, so nobody has to get it.
    assert "likes_by_os_weekly" not in done.out


def test_doctor_asks_for_the_token_that_chats_need(run: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELEGRAM_CHAT_IDS", "42")
    done = run("doctor", "--home", home)
    assert done.code == 1
    assert "PROBLEM TELEGRAM_CHAT_IDS is set, but no bot\n        -> set TELEGRAM_BOT_TOKEN" in done.out


def test_doctor_does_not_say_a_bad_token(run: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELEGRAM_BOT_TOKEN", SECRET.replace(":", " "))
    monkeypatch.setenv("TELEGRAM_CHAT_IDS", "42")
    done = run("doctor", "--home", home)
    assert done.code == 1
    assert "TELEGRAM_BOT_TOKEN does not look like a token" in done.out
    assert "never_to_be_seen" not in done.out + done.err


def test_a_home_under_a_file_is_one_sentence(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "feed.csv").write_text(feed_csv(days=1), "utf-8")
    done = run("load", "--feed", tmp_path / "feed.csv", "--home", tmp_path / "file" / "home")
    assert done.code == 1
    assert done.err.startswith("Error: the folder ")
    assert done.err.count("\n") == 1


def test_a_busy_warehouse_is_one_sentence(run: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from analytics_platform_tests.warehouses.test_duckdb import held

    monkeypatch.setenv("LOCK_TIMEOUT_SECONDS", "0.2")
    with held(home / "results.duckdb", read_only=False):
        done = run("materialize", "--date", LAST, "--home", home)
    assert done.code == 1
    assert "was kept open by another process for 0.2 s" in done.err
    assert issubclass(WarehouseBusyError, Exception)


def test_serve_becomes_dagster_over_the_home(run: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    became: list[tuple[str, list[str], dict[str, str]]] = []
    monkeypatch.setattr(os, "execve", lambda *call: became.append(call))
    done = run("serve", "--port", "3456", "--home", home)
    assert done.code == 0
    [(program, words, environment)] = became
    assert (program, words[1:3], words[-4:]) == (sys.executable, ["-m", "dagster"], ["-h", "127.0.0.1", "-p", "3456"])
    assert (environment["DAGSTER_HOME"], environment["ANALYTICS_PLATFORM_HOME"]) == (str(home / "dagster"), str(home))


@pytest.mark.parametrize("verb", [("schedule",), ("schedule", "--test"), ("health",)], ids=" ".join)
def test_a_report_that_there_is_not_is_one_sentence(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: tuple[str, ...]
) -> None:
    monkeypatch.setenv("REPORTS", "feed_daily,weekly_sales")
    done = run(*verb, "--home", tmp_path / "home")
    assert (done.code, done.out) == (1, "")
    assert "REPORTS: there is no report 'weekly_sales'; there are app_daily, feed_daily" in done.err


def test_both_names_of_a_report_are_known_everywhere(run: Run, home: Path) -> None:
    assert run("report", "feed_daily", "--date", LAST, "--dry-run", "--home", home).code == 0
    assert (home / "preview" / "feed_daily" / str(LAST) / "01-text.txt").exists()
    assert run("report", "feed", "--date", LAST, "--home", home).code == 0
    assert (
        run("reports", "history", "feed", "--home", home).out
        == run("reports", "history", "feed_daily", "--home", home).out
    )
