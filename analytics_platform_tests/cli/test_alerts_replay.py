"""`alerts replay`: the table, the CSV and the chart of a small home, and that it keeps and sends nothing."""

import csv
import hashlib
import math
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from analytics_platform.detectors import DETECTORS
from analytics_platform.simulate.incidents import outage, write_truth
from analytics_platform_tests.cli.conftest import FEED_HEADER, Run, aside

FIRST, LAST = date(2024, 3, 1), date(2024, 3, 5)
GONE = datetime(2024, 3, 5, 12)  # noqa: DTZ001 - as the files have it, UTC
REPLAY = ("alerts", "replay")
DAYS = ("--from", "2024-03-04", "--to", "2024-03-05", "--detector", "corridor")


def feed() -> str:
    """Five days of 12 to 22 views in every quarter hour and half as many likes; none at all in an hour of the last."""
    lines = [FEED_HEADER]
    for k in range(5 * 96):
        bucket = datetime(2024, 3, 1) + timedelta(minutes=15 * k)  # noqa: DTZ001 - naive UTC
        if GONE <= bucket < GONE + timedelta(hours=1):
            continue
        for i in range(round(16 + 4 * math.sin(k / 96 * 2 * math.pi)) + k * 7 % 3):
            for action in ("view", "like")[: 1 + i % 2]:
                time = bucket + timedelta(seconds=20 * i)
                lines.append(f"{i},{i},{action},{time},1,30,Russia,Moscow,iOS,ads,1\n")
    return "".join(lines)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Events are loaded, nothing is computed."""
    folder = tmp_path_factory.mktemp("replay")
    (folder / "feed.csv").write_text(feed(), "utf-8")
    done = aside(folder, "load", "--feed", "feed.csv", "--home", folder / "home")
    assert done.code == 0, done.err
    return folder / "home"


@pytest.fixture(autouse=True)
def small_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the rule for large products, a dozen views are too few to be judged."""
    monkeypatch.setenv("ALERT_RULE", "min_base=5")


def kept(home: Path) -> dict[str, str]:
    """What is in the home, apart from the warehouse."""
    files = (path for path in home.rglob("*") if path.is_file() and "results.duckdb" not in path.name)
    return {str(path.relative_to(home)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_what_would_have_been_sent(run: Run, home: Path, tmp_path: Path) -> None:
    before = kept(home)
    target, page = tmp_path / "out.csv", tmp_path / "out.png"
    done = run(*REPLAY, *DAYS, "--no-power", "--csv", target, "--chart", page, "--home", home)
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert lines[0].split("\t") == [
        "started",
        "told",
        "what",
        "direction",
        "size",
        "sign",
        "lasted",
        "messages",
        "severity",
    ]
    assert lines[1].startswith("2024-03-05 12:00\t12:15\tfeed ")
    assert "\tdown\t-100%\tzero\t1 h" in lines[1]
    assert lines[1].endswith("\tcritical")
    with target.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert rows[0]["started"] == "2024-03-05T12:00:00+00:00"
    assert page.read_bytes().startswith(b"\x89PNG")
    assert lines[-2:] == [f"{len(rows)} incident{'s'[: len(rows) > 1]} in {target}", f"chart in {page}"]
    assert kept(home) == before, "no state, nothing handed over"


def test_the_truth_is_named_where_it_is_known(run: Run, home: Path) -> None:
    own, truth = home / "own_events", home / "generated" / "truth.csv"
    truth.parent.mkdir()
    write_truth([outage("feed_actions", GONE.replace(tzinfo=UTC), 60)], truth)
    assert "planted" not in run(*REPLAY, *DAYS, "--no-power", "--home", home).out
    content = own.read_bytes()
    own.unlink()
    try:
        done = run(*REPLAY, *DAYS, "--no-power", "--false-alarms-per-week", 0, "--home", home)
        truth.write_text("kind,metric,slice,start,end,size\nstorm,,,,,\n", "utf-8")
        broken = run(*REPLAY, *DAYS, "--no-power", "--home", home)
    finally:
        own.write_bytes(content)
        truth.unlink()
        truth.parent.rmdir()
    assert done.out.splitlines()[1].endswith("\tcritical\toutage")
    assert "At most 0 false incidents a week and metric" in done.out
    assert "ALERT_RULES=" in done.out
    assert broken.code == 1
    assert "cannot be read" in broken.err


def test_power_is_stated_for_the_metrics_asked_for(run: Run, home: Path) -> None:
    done = run(*REPLAY, *DAYS, "--metric", "views", "--home", home)
    assert " of views is seen within 30 min in all cases." in done.out
    assert "views\tfall to zero\t28 of 28\t28 of 28\t28 of 28" in done.out
    assert "By the metric they are told by: views 1." in done.out
    assert "likes" not in done.out


def test_other_days_and_metrics_are_refused(run: Run, home: Path, tmp_path: Path) -> None:
    wrong = run(*REPLAY, *DAYS, "--metric", "shares", "--home", home)
    assert wrong.code == 2
    assert "shares: choose one of views, likes" in " ".join(wrong.err.replace("│", " ").split())
    assert run(*REPLAY, "--from", "2024-03-05", "--to", "2024-03-04", "--home", home).code == 2
    unknown = run(*REPLAY, *DAYS[:4], "--detector", "oracle", "--home", home)
    assert unknown.code == 2
    assert DETECTORS[0] in unknown.err
    future = run(*REPLAY, "--from", "2024-03-05", "--to", "2999-01-01", "--home", home)
    assert "2999-01-01 is not over yet" in future.err
    nothing = run(*REPLAY, "--from", "2024-05-01", "--to", "2024-05-02", "--home", home)
    assert nothing.err.startswith(
        "Error: there are no events from 2024-05-01 to 2024-05-02, only from 2024-03-01 to 2024-03-05: load them with"
    )
    empty = run(*REPLAY, "--from", "2025-05-01", "--to", "2025-05-02", "--home", tmp_path / "empty")
    assert empty.err.startswith("Error: there are no events: load them with analytics-platform load, or")
    nowhere = run(*REPLAY, *DAYS, "--csv", tmp_path / "no" / "out.csv", "--home", home)
    assert "cannot be written: there is no folder" in nowhere.err
