"""One report to all kinds of subscribers: real servers get what each asked for, in their language, rendered once.

Belongs here: what follows from what was subscribed. Does not: the verbs themselves (`test_subscribers.py`).
"""

import hashlib
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from analytics_platform_tests.cli.conftest import LAST, Done, Run, aside, connections, table
from analytics_platform_tests.mail_server import MailStandIn, mail_server
from analytics_platform_tests.services import first_answer, free_port
from analytics_platform_tests.telegram_server import Accepted, TelegramServer, telegram_server

KEPT = f"feed_daily/{LAST}"
CHARTS = "Feed, Mar 2, 2024 - Mar 8, 2024"


def zone_at(hour: int) -> str:
    """A zone in which it is about that hour now."""
    ahead = (hour - datetime.now(UTC).hour + 12) % 24 - 12
    return f"Etc/GMT{-ahead:+d}"


NIGHT, DAY = zone_at(2), zone_at(14)


@dataclass(frozen=True)
class Delivered:
    """A home from which `report feed` went once to all kinds of subscribers, and the servers that took it."""

    home: Path
    telegram: TelegramServer
    mail: MailStandIn
    settings: Mapping[str, str]
    done: Done


@pytest.fixture(scope="module")
def delivered(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Delivered]:
    """Shared, so not to be changed: tests that change something work on a copy of the home (`mine`)."""
    folder = tmp_path_factory.mktemp("subscribers")
    home = shutil.copytree(prepared, folder / "home")
    with telegram_server() as telegram, mail_server() as mail:
        settings = {
            **connections(telegram, mail),
            "TELEGRAM_CHAT_IDS": "@our_metrics, -100777/5",
            "UNSUBSCRIBE_URL": "https://reports.example.org/metrics",
        }
        quiet = ("--quiet", "22:00-08:00")
        for words in (
            ("add", "-1001234567890/45", "--report", "feed"),
            ("add", "-1009876543210", "--report", "feed_daily", "--language", "ru"),
            ("add", "101", "--report", "feed", *quiet, "--zone", NIGHT),
            ("add", "102", "--report", "feed", *quiet, "--zone", DAY),
            ("add", "103", "--all", "--silent"),
            ("add", "104", "--report", "app", "--problems"),
            ("add", "105", "--report", "feed"),
            ("add", "106", "--all"),
            ("add", "ann@example.org", "--report", "feed", "--problems"),
            ("pause", "105"),
            ("remove", "106"),
        ):
            done = aside(folder, "subscribers", *words, "--home", home, settings=settings)
            assert done.code == 0, done.err
        done = aside(folder, "report", "feed", "--date", LAST, "--home", home, settings=settings)
        assert done.code == 0, done.err
        yield Delivered(home, telegram, mail, settings, done)


@pytest.fixture
def mine(delivered: Delivered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the home from which it was delivered; verbs use the same servers."""
    for name, value in delivered.settings.items():
        monkeypatch.setenv(name, value)
    return shutil.copytree(delivered.home, tmp_path / "mine")


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def to(delivered: Delivered, chat: str, thread: int | None = None) -> list[Accepted]:
    return [one for one in delivered.telegram.to(chat) if one.thread == thread]


def test_a_topic_gets_every_part_of_the_report(delivered: Delivered) -> None:
    for chat, thread in (("-1001234567890", 45), ("-100777", 5)):
        text, picture, document = to(delivered, chat, thread)
        assert [one.method for one in (text, picture, document)] == ["sendMessage", "sendPhoto", "sendDocument"]
        assert text.text.startswith("Feed: main figures for Mar 8, 2024\n\n1. DAU = 10")
        assert picture.text == CHARTS
        assert document.media[0].filename == f"feed_daily_{LAST}.pdf"


def test_each_reads_it_in_their_language_and_it_is_rendered_once_for_each(delivered: Delivered) -> None:
    text, picture, document = to(delivered, "-1009876543210")
    assert text.text.startswith("Лента: основные показатели за 8 мар. 2024\u202fг.\n\n1. DAU = 10\n")
    assert picture.text.startswith("Лента, ")
    assert document.text == "Тот же график для печати и увеличения"

    kept = delivered.home / "artifacts" / KEPT
    charts = {path.parent.name: sha(path.read_bytes()) for path in kept.rglob("chart.png")}
    assert set(charts) == {"en", "ru"}
    assert charts["en"] != charts["ru"]
    sent: dict[str, set[str]] = {}
    for one in delivered.telegram.accepted:
        if one.method == "sendPhoto":
            sent.setdefault(one.media[0].digest, set()).add(one.chat)
    assert sent[charts["ru"]] == {"-1009876543210"}
    assert sent[charts["en"]] == {"-1001234567890", "-100777", "101", "102", "103", "@our_metrics"}
    # A chart of each language and a file of each: uploaded once, whoever gets them.
    assert sum(media.uploaded for one in delivered.telegram.accepted for media in one.media) == 4


def test_quiet_hours_and_silent_subscriptions_reach_telegram(delivered: Delivered) -> None:
    silent = {chat: {one.silent for one in to(delivered, chat)} for chat in ("101", "102", "103", "@our_metrics")}
    assert silent == {"101": {True}, "102": {False}, "103": {True}, "@our_metrics": {False}}


def test_who_is_paused_or_removed_or_wants_another_report_gets_nothing(delivered: Delivered) -> None:
    assert {one.chat for one in delivered.telegram.accepted} == {
        "-1001234567890",
        "-1009876543210",
        "-100777",
        "101",
        "102",
        "103",
        "@our_metrics",
    }
    assert not {"104", "105", "106"} & {chat for method, chat in delivered.telegram.requests if method != "getChat"}


def test_a_mail_shows_the_charts_and_carries_the_file(delivered: Delivered) -> None:
    [mail] = delivered.mail.accepted
    assert mail.recipients == ("ann@example.org",)
    message = mail.message
    assert message["Subject"] == "Feed: main figures for Mar 8, 2024"
    page = message.get_body(("html",))
    assert page
    [picture] = [part for part in message.walk() if part.get_content_type() == "image/png"]
    assert picture.get_content_disposition() == "inline"
    assert f'src="cid:{picture["Content-ID"].strip("<>")}"' in page.get_content()
    assert "1. <b>DAU</b> = 10" in page.get_content()
    [attached] = message.iter_attachments()
    assert attached.get_filename() == f"feed_daily_{LAST}.pdf"
    kept = delivered.home / "artifacts" / KEPT / "en"
    assert picture.get_content() == (kept / "chart.png").read_bytes()
    assert attached.get_content() == (kept / "chart.pdf").read_bytes()


def test_the_report_says_to_whom_it_went(delivered: Delivered) -> None:
    pieces = f"1 text, 2 album, 3 document feed_daily_{LAST}.pdf"
    chats = ("-1001234567890/45", "-100777/5", "-1009876543210", "101", "102", "103", "@our_metrics")
    said = [line for line in delivered.done.out.splitlines() if line.startswith("sent to ")]
    assert said == ["sent to email ann@example.org: mail", *(f"sent to telegram {who}: {pieces}" for who in chats)]
    # The text is that of the home's own language.
    assert delivered.done.out.startswith("Feed: main figures for Mar 8, 2024\n")


def test_the_list_tells_everything_about_everybody(run: Run, mine: Path) -> None:
    rows = {row["recipient"]: row for row in table(run("subscribers", "list", "--home", mine))}
    russian = rows["telegram -1009876543210"]
    assert (russian["kind"], russian["name"], russian["gets"], russian["language"], russian["state"]) == (
        "group",
        "Group -1009876543210",
        "feed_daily",
        "ru",
        "active",
    )
    assert rows["telegram -1001234567890/45"]["kind"] == "topic"
    assert (rows["telegram 101"]["quiet"], rows["telegram 101"]["zone"]) == ("22:00-08:00", NIGHT)
    assert rows["telegram 103"]["gets"] == "every report (silent)"
    assert rows["telegram 105"]["state"].startswith("paused 20")
    assert rows["telegram 105"]["state"].endswith(": paused by hand")
    assert (rows["email ann@example.org"]["kind"], rows["email ann@example.org"]["gets"]) == (
        "email",
        "feed_daily, problems",
    )
    # Those of TELEGRAM_CHAT_IDS are among them.
    assert [rows[who]["gets"] for who in ("telegram @our_metrics", "telegram -100777/5")] == ["every report"] * 2

    of_app = table(run("subscribers", "list", "--report", "app", "--home", mine))
    assert {row["recipient"] for row in of_app} == {
        "telegram @our_metrics",
        "telegram -100777/5",
        "telegram 103",
        "telegram 104",
    }
    of_problems = table(run("subscribers", "list", "--report", "problems", "--home", mine))
    assert [row["recipient"] for row in of_problems] == ["telegram 104", "email ann@example.org"]


def test_the_link_in_the_mail_ends_the_subscription(run: Run, mine: Path, delivered: Delivered) -> None:
    [mail] = delivered.mail.accepted
    link = urlsplit(mail.message["List-Unsubscribe"].strip(" <>"))
    assert f"{link.scheme}://{link.netloc}" == "https://reports.example.org"
    port = free_port()
    words = ["subscribers", "page", "--port", str(port), "--home", str(mine)]
    page = subprocess.Popen(
        [sys.executable, "-c", "from analytics_platform.cli.main import run; run()", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        path = link.path.removeprefix("/metrics")
        address = f"http://127.0.0.1:{port}{path}?{link.query}"
        looked = first_answer(lambda: httpx.get(address, timeout=60), page)
        assert looked.status_code == 200
        assert "Unsubscribe from this: " in looked.text
        pressed = httpx.post(address, data={"List-Unsubscribe": "One-Click"}, timeout=60)
        assert pressed.status_code == 200
    finally:
        page.send_signal(signal.SIGINT)
        said, _ = page.communicate(timeout=60)
    assert said.startswith(f"listening on http://127.0.0.1:{port}/; stop with Ctrl-C\n"), said
    assert "Traceback" not in said
    rows = {row["recipient"]: row for row in table(run("subscribers", "list", "--home", mine))}
    # What else they get goes on.
    assert rows["email ann@example.org"]["gets"] == "problems"


# ---------------------------------------------------------------- trying it out


def test_a_test_goes_the_same_way_as_a_report_and_shows_its_charts(run: Run, mine: Path, delivered: Delivered) -> None:
    before = len(delivered.telegram.accepted)
    done = run("subscribers", "test", "-1001234567890/45", "--home", mine)
    assert (done.code, done.err) == (0, "")
    assert done.out == "telegram -1001234567890/45, 1 text: sent\ntelegram -1001234567890/45, 2 album: sent\n"
    text, picture = delivered.telegram.accepted[before:]
    assert (text.chat, text.thread, picture.chat, picture.thread) == ("-1001234567890", 45, "-1001234567890", 45)
    assert text.text.startswith("This is a test: reports arrive here.\nYou get: feed_daily\n")
    assert picture.text == CHARTS

    before = len(delivered.telegram.accepted)
    assert run("subscribers", "test", "103", "--home", mine).code == 0
    assert [one.silent for one in delivered.telegram.accepted[before:]] == [True, True]


def test_a_test_in_the_subscribers_language_by_mail(run: Run, mine: Path, delivered: Delivered) -> None:
    assert run("subscribers", "add", "ann@example.org", "--language", "ru", "--silent", "--home", mine).code == 0
    before = len(delivered.mail.accepted)
    done = run("subscribers", "test", "ann@example.org", "--home", mine)
    assert (done.code, done.out) == (0, "email ann@example.org, mail: sent\n")
    [mail] = delivered.mail.accepted[before:]
    page = mail.message.get_body(("html",))
    assert page
    assert "Это проверка: отчёты приходят сюда." in page.get_content()
    assert [part.get_content_type() for part in mail.message.walk()].count("image/png") == 1
