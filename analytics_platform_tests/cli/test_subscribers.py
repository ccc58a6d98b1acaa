"""`subscribers`: who gets what, in which language, with or without a sound; real servers get what was asked for.

Belongs here: the verbs, and one report that goes to all kinds of subscribers. Does not: deliveries that went wrong
(`test_deliveries.py`), the rules of subscribing (`state/test_subscribers.py`).
"""

import hashlib
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from analytics_platform_tests.cli.conftest import LAST, Done, Run, aside, table
from analytics_platform_tests.mail_server import MailStandIn, mail_server
from analytics_platform_tests.telegram_server import Accepted, Fault, TelegramServer, telegram_server

KEPT = f"feed_daily/{LAST}"
CHARTS = "Feed, Mar 2, 2024 - Mar 8, 2024"
BLOCKED = "The bot was blocked by this person; unblocking it and sending it /start resumes the messages."


def zone_at(hour: int) -> str:
    """A zone in which it is about that hour now."""
    ahead = (hour - datetime.now(UTC).hour + 12) % 24 - 12
    return f"Etc/GMT{-ahead:+d}"


@dataclass(frozen=True)
class Delivered:
    """A home from which `report feed` went once to all kinds of subscribers, and the servers that took it."""

    home: Path
    telegram: TelegramServer
    mail: MailStandIn
    settings: Mapping[str, str]
    done: Done


def servers(telegram: TelegramServer, mail: MailStandIn) -> dict[str, str]:
    return {
        "TELEGRAM_BOT_TOKEN": telegram.token,
        "TELEGRAM_API_URL": telegram.url,
        "SMTP_HOST": "127.0.0.1",
        "SMTP_PORT": str(mail.server.port),
        "SMTP_SECURITY": "none",
        "SMTP_FROM": "Reports <reports@example.org>",
    }


@pytest.fixture(scope="module")
def delivered(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Delivered]:
    """Shared, so not to be changed: tests that change something work on a copy of the home (`mine`)."""
    folder = tmp_path_factory.mktemp("subscribers")
    home = shutil.copytree(prepared, folder / "home")
    with telegram_server() as telegram, mail_server() as mail:
        settings = {
            **servers(telegram, mail),
            "TELEGRAM_CHAT_IDS": "@our_metrics, -100777/5",
            "UNSUBSCRIBE_URL": "https://reports.example.org/metrics",
        }
        quiet = ("--quiet", "22:00-08:00")
        for words in (
            ("add", "-1001234567890/45", "--report", "feed"),
            ("add", "-1009876543210", "--report", "feed_daily", "--language", "ru"),
            ("add", "101", "--report", "feed", *quiet, "--zone", zone_at(2)),
            ("add", "102", "--report", "feed", *quiet, "--zone", zone_at(14)),
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


@pytest.fixture
def telegram(monkeypatch: pytest.MonkeyPatch) -> Iterator[TelegramServer]:
    """A Bot API stand-in that the settings name, without chats."""
    with telegram_server() as server:
        monkeypatch.setenv("TELEGRAM_BOT_TOKEN", server.token)
        monkeypatch.setenv("TELEGRAM_API_URL", server.url)
        yield server


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def to(delivered: Delivered, chat: str, thread: int | None = None) -> list[Accepted]:
    return [one for one in delivered.telegram.to(chat) if one.thread == thread]


# ---------------------------------------------------------------- one report to all of them


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
    assert (rows["telegram 101"]["quiet"], rows["telegram 101"]["zone"]) == ("22:00-08:00", zone_at(2))
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
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
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
        looked = answer(address, page)
        assert looked.status_code == 200
        assert "Unsubscribe from this: " in looked.text
        pressed = httpx.post(address, data={"List-Unsubscribe": "One-Click"})
        assert pressed.status_code == 200
    finally:
        page.send_signal(signal.SIGINT)
        said, _ = page.communicate(timeout=20)
    assert said.startswith(f"listening on http://127.0.0.1:{port}/; stop with Ctrl-C\n"), said
    assert "Traceback" not in said
    rows = {row["recipient"]: row for row in table(run("subscribers", "list", "--home", mine))}
    # What else they get goes on.
    assert rows["email ann@example.org"]["gets"] == "problems"


def answer(address: str, process: "subprocess.Popen[str]") -> httpx.Response:
    """As soon as the page is there."""
    until = time.monotonic() + 60
    while True:
        try:
            return httpx.get(address)
        except httpx.ConnectError:
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < until
            time.sleep(0.05)


def test_a_port_that_is_taken_is_one_sentence(run: Run, home: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run("subscribers", "page", "--port", port, "--home", home)
    assert done.code == 1
    assert f"the unsubscribe page cannot listen at 127.0.0.1:{port}" in done.err
    assert "note: UNSUBSCRIBE_URL is not set" in done.err


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


def test_a_test_that_does_not_arrive_says_why_and_fails(run: Run, home: Path, telegram: TelegramServer) -> None:
    for who in ("42", "ann@example.org"):
        assert run("subscribers", "add", who, "--all", "--home", home).code == 0
    telegram.faults.append(Fault("bad_request", value="chat not found"))
    refused = run("subscribers", "test", "42", "--home", home)
    assert refused.code == 1
    assert (
        "telegram 42, 1 text: failed. Telegram answered: Bad Request: chat not found. Check the chat's id"
        in refused.err
    )

    mail = run("subscribers", "test", "ann@example.org", "--home", home)
    assert mail.code == 1
    assert "mail cannot be sent: set SMTP_HOST and SMTP_FROM" in mail.err
    nobody = run("subscribers", "test", "43", "--home", home)
    assert (nobody.code, nobody.err) == (
        1,
        "Error: there is no subscriber 43; analytics-platform subscribers list\n",
    )
    assert telegram.accepted == []


# ---------------------------------------------------------------- blocked, paused, resumed


def test_who_blocks_the_bot_is_paused_left_out_and_brought_back(run: Run, home: Path, telegram: TelegramServer) -> None:
    with mail_server() as mail, pytest.MonkeyPatch.context() as patch:
        for name, value in servers(telegram, mail).items():
            patch.setenv(name, value)
        for words in (("42", "--report", "feed"), ("43", "--report", "feed"), ("ann@example.org", "--problems")):
            assert run("subscribers", "add", *words, "--home", home).code == 0
        telegram.faults.append(Fault("blocked", chat="42"))
        tried = run("subscribers", "test", "42", "--home", home)
        assert tried.code == 1
        assert f"telegram 42, 1 text: failed. paused: {BLOCKED}" in tried.err
        row = table(run("subscribers", "list", "--home", home))[0]
        assert row["state"].endswith(f": {BLOCKED}")
        assert "1 paused subscriber (telegram 42: " in run("doctor", "--home", home).out

        report = ("report", "feed", "--date", LAST, "--home", home)
        done = run(*report)
        assert done.code == 0, done.err
        assert {one.chat for one in telegram.accepted} == {"43"}

        unwell = run("health", "--tell", "--home", home)
        assert unwell.code == 1
        assert "email ann@example.org was told of 1 problem\n" in unwell.err
        [digest] = mail.accepted
        assert digest.recipients == ("ann@example.org",)
        page = digest.message.get_body(("html",))
        assert page
        assert digest.message["Subject"] == "Analytics platform: 1 new problem"
        assert "subscriber telegram 42" in page.get_content()
        assert "The bot was blocked by this person" in page.get_content()

        assert run("subscribers", "resume", "42", "--home", home).out == "active again: telegram 42\n"
        telegram.accepted.clear()
        assert run(*report, "--again").code == 0
        assert [one.method for one in telegram.to("42")] == ["sendMessage", "sendPhoto", "sendDocument"]
        assert run("health", "--tell", "--home", home).code == 0
        assert mail.accepted[1].message["Subject"] == "Analytics platform: 1 problem recovered"


def test_pausing_and_resuming_by_id_address_and_topic(run: Run, home: Path) -> None:
    for who in ("-100777/5", "-100777", "ann@example.org"):
        assert run("subscribers", "add", who, "--all", "--home", home).code == 0
    for who, name in (("1", "telegram -100777/5"), ("-100777", "telegram -100777"), ("ann@EXAMPLE.org", None)):
        done = run("subscribers", "pause", who, "--reason", "on holiday", "--home", home)
        assert done.out == f"paused: {name or 'email ann@example.org'}\n"
    states = [row["state"].partition(": ")[2] for row in table(run("subscribers", "list", "--home", home))]
    assert states == ["on holiday"] * 3

    again = run("subscribers", "pause", "-100777/5", "--home", home)
    assert (again.code, again.err) == (1, "Error: telegram -100777/5 is paused already: on holiday\n")
    changed = run("subscribers", "add", "-100777/5", "--report", "feed", "--home", home)
    assert changed.out.endswith("it stays paused (on holiday): analytics-platform subscribers resume 1\n")
    assert run("subscribers", "resume", "-100777/5", "--home", home).out == "active again: telegram -100777/5\n"
    twice = run("subscribers", "resume", "-100777/5", "--home", home)
    assert (twice.code, twice.err) == (1, "Error: telegram -100777/5 is not paused\n")
    assert [row["state"].partition(" ")[0] for row in table(run("subscribers", "list", "--home", home))] == [
        "active",
        "paused",
        "paused",
    ]


def test_removing_one_report_or_all_of_them(run: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("subscribers", "add", "-100777", "--all", "--problems", "--home", home).code == 0
    one = run("subscribers", "remove", "-100777", "--report", "app", "--home", home)
    assert one.out == "left: 1 telegram -100777 gets feed_daily, likes_by_os_weekly, problems, in en, UTC\n"
    other = run("subscribers", "remove", "-100777", "--report", "problems", "--home", home)
    assert other.out == "left: 1 telegram -100777 gets feed_daily, likes_by_os_weekly, in en, UTC\n"
    absent = run("subscribers", "remove", "-100777", "--report", "app", "--home", home)
    assert (absent.code, absent.err) == (1, "Error: telegram -100777 does not get app\n")
    assert run("subscribers", "remove", "-100777", "--home", home).out == "removed: telegram -100777\n"
    nobody = run("subscribers", "list", "--home", home)
    assert nobody.out == "nobody subscribes; analytics-platform subscribers add ADDRESS --all\n"

    monkeypatch.setenv("TELEGRAM_CHAT_IDS", "-100777")
    configured = run("subscribers", "remove", "-100777", "--home", home)
    assert (configured.code, configured.err) == (
        1,
        "Error: telegram -100777 is in TELEGRAM_CHAT_IDS and would be back at the next report; take it off there, or "
        "pause it\n",
    )


# ---------------------------------------------------------------- adding


@pytest.mark.parametrize(
    ("written", "recipient", "kind"),
    [
        ("-1001234567890", "telegram -1001234567890", "group"),
        ("-1001234567890/45", "telegram -1001234567890/45", "topic"),
        ("-1001234567890/1", "telegram -1001234567890", "group"),
        ("42", "telegram 42", "private"),
        ("@our_metrics", "telegram @our_metrics", "channel"),
        ("Ann <ann@Example.org>", "email ann@example.org", "email"),
    ],
)
def test_addresses_as_people_write_them(  # noqa: PLR0917
    run: Run, home: Path, telegram: TelegramServer, written: str, recipient: str, kind: str
) -> None:
    telegram.titles["42"] = "Ann"
    done = run("subscribers", "add", written, "--report", "feed", "--home", home)
    assert done.code == 0, done.err
    assert done.out.startswith(f"added: 1 {recipient}")
    assert done.out.endswith("try it: analytics-platform subscribers test 1\n")
    [row] = table(run("subscribers", "list", "--home", home))
    assert (row["recipient"], row["kind"], row["gets"]) == (recipient, kind, "feed_daily")
    if written == "42":
        assert row["name"] == "Ann"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("ann@", "--all"), "'ann@' is not an e-mail address; write one such as ann@example.org."),
        (("our metrics", "--all"), "'our metrics' is not a Telegram chat: use a number such as -1001234567890, "),
        (("42",), "say what is wanted: --report NAME, --all or --problems"),
        (("42", "--all", "--language", "de"), "'de' is not a language of this platform; use one of en, ru"),
        (("42", "--all", "--zone", "Mars"), "'Mars' is not an IANA time zone; write one such as Europe/Moscow"),
        (("42", "--all", "--quiet", "22:00-22:00"), "quiet hours from 22:00 until 22:00 never begin; "),
    ],
)
def test_what_cannot_be_subscribed_is_one_sentence(
    run: Run, home: Path, telegram: TelegramServer, words: tuple[str, ...], said: str
) -> None:
    done = run("subscribers", "add", *words, "--home", home)
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith(f"Error: {said}")
    assert done.err.count("\n") == 1
    assert run("subscribers", "list", "--home", home).out.startswith("nobody subscribes")


def test_adding_again_changes_what_is_given_and_nothing_else(
    run: Run, home: Path, telegram: TelegramServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIMEZONE", "Europe/Moscow")
    add = ("subscribers", "add", "-100777", "--home", home)
    first = run(*add, "--report", "feed", "--language", "ru", "--quiet", "22:00-08:00", "--name", "Us")
    assert first.out.startswith(
        "added: 1 telegram -100777 (Us) gets feed_daily, in ru, Europe/Moscow, quiet 22:00-08:00\n"
    )
    more = run(*add, "--report", "likes_by_os_weekly", "--problems", "--name", "Us")
    assert more.out == (
        "changed: 1 telegram -100777 (Us) gets feed_daily, likes_by_os_weekly, problems, in ru, Europe/Moscow, quiet "
        "22:00-08:00\n"
    )
    loud = run(*add, "--silent", "--quiet", "off", "--name", "Us")
    assert loud.out == (
        "changed: 1 telegram -100777 (Us) gets feed_daily (silent), likes_by_os_weekly (silent), problems (silent), "
        "in ru, Europe/Moscow\n"
    )


def test_without_a_bot_a_chat_is_added_all_the_same(run: Run, home: Path) -> None:
    done = run("subscribers", "add", "-100777", "--all", "--home", home)
    assert (done.code, done.err) == (0, "note: Telegram cannot be used: set TELEGRAM_BOT_TOKEN\n")
    assert done.out.startswith("added: 1 telegram -100777 gets every report, in en, UTC\n")
