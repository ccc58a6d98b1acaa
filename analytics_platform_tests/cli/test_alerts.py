"""`alerts`: what people see of incidents and do to them, over a home that has one."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from analytics_platform.alerts.findings import Direction, Finding, Severity, What
from analytics_platform.alerts.incidents import advance
from analytics_platform.defs.resources import Ledgers, ledgers_of
from analytics_platform.metrics.series import BUCKET, SeriesKey, bucket_of
from analytics_platform.settings import Home, Settings
from analytics_platform_tests.cli.conftest import Run

LIKES = SeriesKey("feed", "likes")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An hour ago likes fell from 100 to 20, and nothing was heard since."""
    folder = tmp_path / "home"
    folder.mkdir()
    bucket = bucket_of(datetime.now(UTC)) - 4 * BUCKET
    fell = Finding(LIKES, bucket, What.JUMP, Direction.DOWN, Severity.CRITICAL, 3.0, 20.0, 100.0, 60.0, 140.0)
    step = advance([], bucket, [fell], [])
    assert state(folder).incidents.commit({}, {}, step, bucket + BUCKET)
    return folder


def state(folder: Path) -> Ledgers:
    return ledgers_of(Home(folder), Settings())


def test_the_list_has_what_happened_and_the_open_ones_alone(run: Run, home: Path) -> None:
    done = run("alerts", "list", "--home", home)
    assert done.code == 0, done.err
    header, row = done.out.splitlines()
    shown = dict(zip(header.split("\t"), row.split("\t"), strict=True))
    assert (shown["id"], shown["what"], shown["worst"]) == ("1", "feed likes", "-80%")
    assert (shown["status"], shown["severity"]) == ("open", "critical")
    assert run("alerts", "close", "1", "--home", home).out == "1: closed\n"
    assert run("alerts", "list", "--open", "--home", home).out == "no incident is open\n"


def test_an_incident_is_shown_even_where_its_figures_are_gone(run: Run, home: Path) -> None:
    done = run("alerts", "show", "1", "--home", home)
    assert done.code == 0, done.err
    assert "Critical: Likes" in done.out
    assert "opened" in done.out
    assert "nan" not in done.out


def test_who_is_at_it_is_kept(run: Run, home: Path) -> None:
    assert run("alerts", "ack", "1", "--home", home).out.startswith("1: acknowledged by ")
    [incident] = state(home).incidents.open()
    assert incident.acknowledged_by


def test_an_incident_a_metric_and_a_slice_are_muted_and_unmuted(run: Run, home: Path) -> None:
    assert "muted until" in run("alerts", "mute", "1", "--for", "1h", "--home", home).out
    for what in ("likes", "feed/views", "feed", "os=iOS", "likes source=paid search"):
        assert run("alerts", "mute", what, "--for", "1d", "--home", home).code == 0
    shown = run("alerts", "list", "--home", home).out
    assert "feed likes" in shown
    assert ": likes source=paid search" in shown
    for what in ("1", "likes", "feed/views", "likes source=paid search"):
        assert run("alerts", "unmute", what, "--home", home).out.endswith("may be loud again\n")
    assert {mute.metric or mute.service or mute.value for mute in state(home).mutes.active(datetime.now(UTC))} == {
        "feed",
        "iOS",
    }
    assert "is not muted" in run("alerts", "unmute", "views", "--home", home).err
    assert "'lakes' is nothing that can be muted" in run("alerts", "mute", "lakes", "--home", home).err


def test_a_verdict_says_what_it_changed(run: Run, home: Path) -> None:
    done = run("alerts", "feedback", "1", "false-alarm", "--home", home)
    assert done.out.splitlines() == ["1: false alarm, closed", "likes: threshold times 1.20 by all verdicts so far"]
    assert run("alerts", "feedback", "1", "real", "--home", home).out.splitlines()[0] == "1: real"
    assert "needs 20" in run("alerts", "train", "--home", home).out


@pytest.mark.parametrize("verb", [["show"], ["ack"], ["close"], ["mute"], ["feedback", "real"]])
def test_an_incident_that_there_is_not_is_one_sentence(run: Run, home: Path, verb: list[str]) -> None:
    done = run("alerts", verb[0], "99", *verb[1:], "--home", home)
    assert done.code == 1
    assert done.err.startswith("Error: there is no incident 99")


def test_the_calendar_keeps_what_it_is_told(run: Run, home: Path) -> None:
    add = ("alerts", "calendar", "add")
    assert run(*add, "New Year", "--from", "2026-12-31", "--to", "2027-01-02", "--home", home).out == (
        "1: New Year, 2026-12-31 00:00 to 2027-01-03 00:00\n"
    )
    release = ("--kind", "release", "--from", "2026-12-20T14:00", "--to", "2026-12-20T15:00", "--metric", "likes")
    assert run(*add, "release 3.2", *release, "--home", home).code == 0
    _, first, second = run("alerts", "calendar", "list", "--home", home).out.splitlines()
    assert first.split("\t")[1:6] == ["release", "release 3.2", "2026-12-20 14:00 to 2026-12-20 15:00", "likes", "1"]
    assert second.split("\t")[5] == "2"
    assert run("alerts", "calendar", "remove", "1", "--home", home).out == "removed: 1\n"
    assert "there is no entry 1" in run("alerts", "calendar", "remove", "1", "--home", home).err
    wrong = run(*add, "x", "--from", "2026-12-31T10:00", "--to", "2026-12-31T09:00", "--home", home)
    assert "which is not after its start" in wrong.err


def test_without_events_check_says_so(run: Run, home: Path) -> None:
    done = run("alerts", "check", "--home", home)
    assert done.code == 1
    assert "there are no events" in done.err
    assert run("alerts", "list", "--days", "1", "--home", home).code == 0


def test_one_look_by_hand_tells_what_is_new_once(run: Run, home: Path) -> None:
    first = run("alerts", "run", "--home", home)
    assert first.code == 0, first.err
    assert "told: 1: " in first.out
    assert (home / "outbox" / "alerts" / "1" / "01-text.txt").exists()
    assert "told" not in run("alerts", "run", "--home", home).out
    assert timedelta(0) <= datetime.now(UTC) - state(home).incidents.open()[0].started < timedelta(hours=2)
