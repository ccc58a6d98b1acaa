"""Once and for certain: eight processes want the same report, and ten are killed while they make it."""

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from analytics_platform.defs.resources import ledgers_of
from analytics_platform.settings import Home, Settings
from analytics_platform.state.runs import RunLedger, Status
from analytics_platform_tests import forked
from analytics_platform_tests.cli import commands, killed
from analytics_platform_tests.cli.conftest import feed_csv, messages_csv
from analytics_platform_tests.forked import Parent, Process
from analytics_platform_tests.telegram_server import TelegramServer, telegram_server

# Few people write at noon and are silent at night: only that the day's file has come is asked.
# One in which no day ends while this runs; that of events at 8 and 10 in the morning of UTC is the same.
ZONE = ZoneInfo("Etc/GMT-6" if datetime.now(UTC).hour in (22, 23, 0) else "UTC")
SETTINGS = {
    "TIMEZONE": ZONE.key,
    "REPORTS": "feed_daily",
    "REPORT_TIME": "00:00",
    "GATE_FEED_ACTIONS": "grace=-1d hours=off volume=0",
    "RETRY_PAUSE_SECONDS": "0",
}
REPORT = ("report", "feed", "--date")
# Delivering takes so little of a run that a kill at random hardly ever meets it: before each thing written down there.
CALLS = (
    "analytics_platform.state.runs:RunLedger.delivering",
    "analytics_platform.state.deliveries:Deliveries.enter",
    "analytics_platform.state.deliveries:Deliveries.begin",
    "analytics_platform.channels.folder:FolderSender.send",
    "analytics_platform.state.deliveries:Deliveries.end",
    "analytics_platform.state.runs:RunLedger.finish",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, parent: Parent) -> Path:
    """Eight days of events up to yesterday, loaded and computed, in `home`."""
    made = tmp_path_factory.mktemp("once")
    first = yesterday() - timedelta(days=7)
    (made / "feed.csv").write_text(feed_csv(first), "utf-8")
    (made / "messages.csv").write_text(messages_csv(first), "utf-8")
    call(parent, made, "load", "--feed", "feed.csv", "--messages", "messages.csv")
    call(parent, made, "materialize", "--from", str(first), "--to", str(yesterday()))
    return made


@pytest.fixture(scope="module")
def parent() -> Iterator[Parent]:
    """Every process here is a fork of it."""
    with forked.parent(*commands.USED, warnings="default") as made:
        yield made


@pytest.fixture
def place(folder: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    subprocess.run(["cp", "-r", str(folder), str(tmp_path / "place")], check=True)
    return tmp_path / "place"


@pytest.fixture
def telegram() -> Iterator[TelegramServer]:
    with telegram_server() as server:
        yield server


def yesterday() -> date:
    return datetime.now(ZONE).date() - timedelta(days=1)


def environment(place: Path, more: Mapping[str, str] | None = None) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR")}
    return {**kept, **SETTINGS, "ANALYTICS_PLATFORM_HOME": str(place / "home"), **(more or {})}


@contextmanager
def started(
    parent: Parent, place: Path, *commands: tuple[str, ...], more: Mapping[str, str] | None = None
) -> Iterator[list[Process]]:
    """The commands, each a function and its arguments; whatever happens, none is left running."""
    processes = []
    try:
        for number, (function, *arguments) in enumerate(commands):
            said_in = place / f"said {number}"
            said_in.unlink(missing_ok=True)
            processes.append(
                parent.start(function, *arguments, folder=place, environment=environment(place, more), said_in=said_in)
            )
        yield processes
    finally:
        for process in processes:
            process.end()


def call(parent: Parent, place: Path, *words: str) -> str:
    with started(parent, place, (commands.VERB, *words)) as [process]:
        code, said = process.wait(), process.stdout.read()
    assert code == 0, said
    return said


def ledger(place: Path) -> RunLedger:
    return ledgers_of(Home(place / "home"), Settings()).runs


@pytest.mark.slow
def test_eight_processes_at_once_deliver_one_report(parent: Parent, place: Path, telegram: TelegramServer) -> None:
    day = str(yesterday())
    by_hand = (commands.VERB, "report", "feed", "--date", day)
    by_a_daemon = (commands.JOB, "report_feed_daily", day)
    wanted = [by_hand] * 3 + [by_a_daemon] * 3 + [(commands.VERB, "schedule")] * 2
    more = {
        "TELEGRAM_BOT_TOKEN": telegram.token,
        "TELEGRAM_CHAT_IDS": "42",
        "TELEGRAM_API_URL": telegram.url,
    }
    with started(parent, place, *wanted, more=more) as processes:
        said = [(process.wait(300), process.stdout.read()) for process in processes]
    assert 0 in [code for code, _ in said], said
    for code, text in said:
        assert code == 0 or "is being made by run" in text, text
    sent = [request.method for request in telegram.accepted]
    assert sorted(sent) == ["sendDocument", "sendMessage", "sendPhoto"]
    entry = ledger(place).entry("feed_daily", yesterday())
    assert entry
    assert entry.status is Status.DELIVERED
    assert [c.status for c in ledger(place).history("feed_daily", yesterday())].count(Status.RUNNING) == 1


@pytest.mark.slow
def test_killed_at_any_point_it_is_made_after_the_restart(parent: Parent, place: Path) -> None:
    chance = random.Random(4)
    outbox = place / "home" / "outbox" / "feed_daily" / str(yesterday())
    call(parent, place, "schedule")
    assert outbox.is_dir()
    whole = _length(lambda: call(parent, place, "report", "feed", "--again"))
    points: list[str | float] = [*CALLS, *(chance.uniform(0.0, 1.0) * whole for _ in range(4))]
    for point in points:
        ledger(place).reset("feed_daily", yesterday(), datetime.now(UTC))
        subprocess.run(["rm", "-rf", str(outbox)], check=True)
        _kill(parent, place, point)
        said = f"killed at {point}: {call(parent, place, 'schedule')}"
        entry = ledger(place).entry("feed_daily", yesterday())
        assert entry
        assert entry.status is Status.DELIVERED, said
        found = sorted(path.suffix for path in outbox.iterdir())
        assert found == [".html", ".pdf", ".png", ".txt", ".txt", ".txt"], said
        assert ledger(place).settled_until("feed_daily") == yesterday()
        assert ledger(place).entries(statuses=(Status.RUNNING,)) == []


def _kill(parent: Parent, place: Path, point: str | float) -> None:
    """Whoever makes the report: right before that call, or so many seconds after it was begun."""
    command = (*REPORT, str(yesterday()))
    if isinstance(point, str):
        with started(parent, place, (killed.BEFORE, point, *command)) as [process]:
            assert process.wait() == -signal.SIGKILL, process.stdout.read()
        return
    with started(parent, place, (commands.VERB, *command)) as [process]:
        time.sleep(point)  # what it is doing by then is left to chance
        process.send_signal(signal.SIGKILL)
        process.wait()


def _length(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began
