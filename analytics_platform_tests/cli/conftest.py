"""The command line, run in this process, and a small home prepared once: eight computed days of March 2024.

Belongs here: running verbs, making the home. Does not: assertions on what verbs say.
"""

import csv
import io
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from analytics_platform.cli import main
from analytics_platform.settings import Settings
from analytics_platform_tests.drawn_once import draw_once

if TYPE_CHECKING:
    from analytics_platform_tests.mail_server import MailStandIn
    from analytics_platform_tests.telegram_server import TelegramServer

FIRST, LAST = date(2024, 3, 1), date(2024, 3, 8)
FEED_HEADER = "user_id,post_id,action,time,gender,age,country,city,os,source,exp_group\n"
MESSAGE_HEADER = "user_id,reciever_id,time,source,exp_group,gender,age,country,city,os\n"


@dataclass(frozen=True)
class Done:
    """One run of the command: its exit code and what it printed."""

    code: int
    out: str
    err: str


Run = Callable[..., Done]


def feed_csv(first: date = FIRST, days: int = 8) -> str:
    """On day k (from 0), 3 + k users each view 10 posts and like 2; users alternate between iOS and Android."""
    lines = [FEED_HEADER]
    for k in range(days):
        for user in range(3 + k):
            for post in range(12):
                time = datetime(first.year, first.month, first.day, 8) + timedelta(days=k, minutes=user * 12 + post)  # noqa: DTZ001
                action = "like" if post >= 10 else "view"
                system = "iOS" if user % 2 else "Android"
                lines.append(f"{user},{post},{action},{time},{user % 2},{20 + user},Russia,Moscow,{system},ads,1\n")
    return "".join(lines)


def messages_csv(first: date = FIRST, days: int = 8) -> str:
    """Each day user 1 writes to user 2, and user 2 to user 900, who does nothing else."""
    rows = [f"{first + timedelta(days=k)} 10:00:00" for k in range(days)]
    pairs = [(1, 2, 1), (2, 900, 0)]
    lines = [f"{a},{b},{time},ads,1,{g},2{a},Russia,Moscow,iOS\n" for time in rows for a, b, g in pairs]
    return MESSAGE_HEADER + "".join(lines)


def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: object) -> Done:
    """Run the console script's own entry point, so that the exit code is the one a shell sees."""
    capsys.readouterr()
    code = _code(monkeypatch, words)
    said = capsys.readouterr()
    return Done(code, said.out, said.err)


def _code(monkeypatch: pytest.MonkeyPatch, words: Sequence[object]) -> int:
    monkeypatch.setattr(sys, "argv", ["analytics-platform", *map(str, words)])
    try:
        main.run()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    return 0


def aside(folder: Path, *words: object, settings: Mapping[str, str] | None = None) -> Done:
    """One run outside of any test, for what many tests share: from `folder`, with these settings and no others."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.chdir(folder)
        for name in ("DAGSTER_HOME", *(field.upper() for field in Settings.model_fields)):
            patch.delenv(name, raising=False)
        patch.setenv("ANALYTICS_PLATFORM_HOME", "")
        for name, value in (settings or {}).items():
            patch.setenv(name, value)
        code = _code(patch, words)
    return Done(code, out.getvalue(), err.getvalue())


def connections(telegram: "TelegramServer | None" = None, mail: "MailStandIn | None" = None) -> dict[str, str]:
    """The settings that lead to these servers."""
    found: dict[str, str] = {}
    if telegram:
        found |= {"TELEGRAM_BOT_TOKEN": telegram.token, "TELEGRAM_API_URL": telegram.url}
    if mail:
        found |= {"SMTP_HOST": "127.0.0.1", "SMTP_PORT": str(mail.server.port), "SMTP_SECURITY": "none"}
        found |= {"SMTP_FROM": "Reports <reports@example.org>"}
    return found


def table(done: Done) -> list[dict[str, str]]:
    """What a verb printed as a table, piped."""
    return list(csv.DictReader(done.out.splitlines(), delimiter="\t"))


@pytest.fixture(scope="package", autouse=True)
def _charts_drawn_once() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        draw_once(patch)
        yield


@pytest.fixture
def run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Run:
    """`run("load", "--feed", path)` from a folder without a `.env`, on a terminal of 200 columns."""
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    monkeypatch.setenv("COLUMNS", "200")
    # Verbs set these for the processes they start; set here first, they are put back afterwards.
    monkeypatch.setenv("ANALYTICS_PLATFORM_HOME", "")
    return lambda *words: command(capsys, monkeypatch, *words)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The prepared home itself, to be copied."""
    folder = tmp_path_factory.mktemp("prepared")
    (folder / "feed.csv").write_text(feed_csv(), "utf-8")
    (folder / "messages.csv").write_text(messages_csv(), "utf-8")
    home = folder / "home"
    for words in (
        ("load", "--feed", "feed.csv", "--messages", "messages.csv"),
        ("materialize", "--from", FIRST, "--to", LAST),
    ):
        done = aside(folder, *words, "--home", home)
        assert done.code == 0, done.err
    return home


@pytest.fixture
def home(prepared: Path, tmp_path: Path) -> Path:
    """A copy of the prepared home."""
    return shutil.copytree(prepared, tmp_path / "home")
