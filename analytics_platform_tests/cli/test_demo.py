"""`demo`: everything in one command, again over itself, and never into somebody's own events."""

import re
from pathlib import Path

import pytest

from analytics_platform_tests.cli.conftest import Run

SMALL = ("demo", "--days", 9, "--users", 60)


@pytest.mark.slow
def test_from_nothing_to_a_delivered_report_and_again(run: Run, tmp_path: Path) -> None:
    home = tmp_path / "home"
    first = run(*SMALL, "--home", home)
    assert first.code == 0, first.err
    assert "1. DAU = " in first.out
    assert "metrics/daily_slices, " in first.out
    assert "no alerts are judged: they learn from 14 days, and there are 9\n" in first.out
    for line in first.out.splitlines():
        if line.startswith(("chart ", "pdf ", "sent to ")):
            assert Path(line.split(maxsplit=2 if line.startswith("sent") else 1)[-1]).exists()
    recommended = re.search(r"analytics-platform (slices .*)", first.out)
    assert recommended
    assert run(*recommended[1].split(" ")).code == 0

    again = run(*SMALL, "--home", home)
    assert (again.code, again.out) == (0, first.out)


def test_somebodys_own_events_are_left_alone(run: Run, home: Path) -> None:
    before = (home / "events.duckdb").read_bytes()
    done = run(*SMALL, "--home", home)
    assert (done.code, done.out) == (1, "")
    assert done.err == f"Error: {home} holds events of yours; give the demo another home: --home DIR\n"
    assert (home / "events.duckdb").read_bytes() == before
    assert not (home / "generated").exists()


def test_own_events_loaded_after_a_demo_are_left_alone_too(run: Run, home: Path) -> None:
    (home / "generated").mkdir()
    done = run(*SMALL, "--home", home)
    assert (done.code, done.out) == (1, "")
    assert "holds events of yours" in done.err


def test_events_loaded_by_an_earlier_version_are_left_alone_too(run: Run, home: Path) -> None:
    (home / "own_events").unlink()
    assert "holds events of yours" in run(*SMALL, "--home", home).err


def test_a_start_date_that_hides_the_demos_days_is_said(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("START_DATE", "2999-01-01")
    done = run(*SMALL, "--home", tmp_path / "home")
    assert done.code == 1
    assert "START_DATE" in done.err.splitlines()[-1]
    assert "Traceback" not in done.err
