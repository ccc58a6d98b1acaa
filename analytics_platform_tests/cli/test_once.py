"""Once and for certain: eight processes want the same report, and ten are killed while they make it."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from analytics_platform.defs.resources import ledgers_of
from analytics_platform.settings import Home, Settings
from analytics_platform.state.runs import RunLedger, Status
from analytics_platform_tests.cli.conftest import feed_csv, messages_csv
from analytics_platform_tests.telegram_server import TelegramServer, telegram_server

# Few people write at noon and are silent at night: only that the day's file has come is asked.
SETTINGS = {
    "REPORTS": "feed_daily",
    "REPORT_TIME": "00:00",
    "GATE_FEED_ACTIONS": "grace=-1d hours=off volume=0",
    "RETRY_PAUSE_SECONDS": "0",
}
COMMAND = [sys.executable, "-c", "from analytics_platform.cli.main import run; run()"]
# What a worker of the daemon or the UI does with a run it was given.
WORKER = """
import sys
from analytics_platform.definitions import build_definitions
from analytics_platform.defs.running import run_in_process
from analytics_platform.settings import home_folder, load_settings
home = home_folder()
reasons = run_in_process(
    home, build_definitions(home, load_settings(home)), "report_feed_daily", first=sys.argv[1], last=sys.argv[1]
)
print(*reasons, file=sys.stderr)
sys.exit(bool(reasons))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight days of events up to yesterday, loaded and computed, in `home`."""
    made = tmp_path_factory.mktemp("once")
    first = yesterday() - timedelta(days=7)
    (made / "feed.csv").write_text(feed_csv(first), "utf-8")
    (made / "messages.csv").write_text(messages_csv(first), "utf-8")
    call(made, "load", "--feed", "feed.csv", "--messages", "messages.csv")
    call(made, "materialize", "--from", str(first), "--to", str(yesterday()))
    return made


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
    return datetime.now(UTC).date() - timedelta(days=1)


def environment(place: Path, more: Mapping[str, str] | None = None) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR")}
    return {**kept, **SETTINGS, "ANALYTICS_PLATFORM_HOME": str(place / "home"), **(more or {})}


def start(place: Path, command: list[str], more: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command,
        cwd=place,
        env=environment(place, more),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def call(place: Path, *words: str) -> str:
    started = start(place, [*COMMAND, *words])
    said, _ = started.communicate(timeout=120)
    assert started.returncode == 0, said
    return said


def ledger(place: Path) -> RunLedger:
    return ledgers_of(Home(place / "home"), Settings()).runs


@pytest.mark.slow
def test_eight_processes_at_once_deliver_one_report(place: Path, telegram: TelegramServer) -> None:
    day = str(yesterday())
    by_hand = [*COMMAND, "report", "feed", "--date", day]
    commands = [by_hand] * 3 + [[sys.executable, "-c", WORKER, day]] * 3 + [[*COMMAND, "schedule"]] * 2
    more = {
        "TELEGRAM_BOT_TOKEN": telegram.token,
        "TELEGRAM_CHAT_IDS": "42",
        "TELEGRAM_API_URL": telegram.url,
    }
    started = [start(place, command, more) for command in commands]
    said = [process.communicate(timeout=300)[0] for process in started]
    assert any(process.returncode == 0 for process in started), said
    for process, text in zip(started, said, strict=True):
        assert process.returncode == 0 or "is being made by run" in text, text
    sent = [request.method for request in telegram.accepted]
    assert sorted(sent) == ["sendDocument", "sendMessage", "sendPhoto"]
    entry = ledger(place).entry("feed_daily", yesterday())
    assert entry
    assert entry.status is Status.DELIVERED
    assert [c.status for c in ledger(place).history("feed_daily", yesterday())].count(Status.RUNNING) == 1


@pytest.mark.slow
def test_killed_at_any_point_it_is_made_after_the_restart(place: Path) -> None:
    chance = random.Random(4)
    outbox = place / "home" / "outbox" / "feed_daily" / str(yesterday())
    call(place, "schedule")
    assert outbox.is_dir()
    whole = _length(lambda: call(place, "report", "feed", "--again"))
    for _ in range(10):
        ledger(place).reset("feed_daily", yesterday(), datetime.now(UTC))
        subprocess.run(["rm", "-rf", str(outbox)], check=True)
        process = start(place, [*COMMAND, "report", "feed", "--date", str(yesterday())])
        time.sleep(chance.uniform(0.2, 1.0) * whole)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        said = call(place, "schedule")
        entry = ledger(place).entry("feed_daily", yesterday())
        assert entry
        assert entry.status is Status.DELIVERED, said
        assert sorted(path.suffix for path in outbox.iterdir()) == [".html", ".pdf", ".png", ".txt", ".txt", ".txt"]
        assert ledger(place).settled_until("feed_daily") == yesterday()
        assert ledger(place).entries(statuses=(Status.RUNNING,)) == []


def _length(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began
