"""`subscribers`: adding, changing, pausing, removing and trying out, as people write it.

Belongs here: the verbs. Does not: what subscribers then get (`test_subscribed.py`), deliveries that went wrong
(`test_deliveries.py`), the rules of subscribing (`state/test_subscribers.py`).
"""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from analytics_platform_tests.cli.conftest import LAST, Run, connections, table
from analytics_platform_tests.mail_server import mail_server
from analytics_platform_tests.telegram_server import Fault, TelegramServer, telegram_server

BLOCKED = "The bot was blocked by this person; unblocking it and sending it /start resumes the messages."


@pytest.fixture
def telegram(monkeypatch: pytest.MonkeyPatch) -> Iterator[TelegramServer]:
    """A Bot API stand-in that the settings name, without chats."""
    with telegram_server() as server:
        monkeypatch.setenv("TELEGRAM_BOT_TOKEN", server.token)
        monkeypatch.setenv("TELEGRAM_API_URL", server.url)
        yield server


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
        (("42",), "say what is wanted: --report NAME, --all, --alerts or --problems"),
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


# ---------------------------------------------------------------- trying it out, and the page


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


def test_a_port_that_is_taken_is_one_sentence(run: Run, home: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run("subscribers", "page", "--port", port, "--home", home)
    assert done.code == 1
    assert f"the unsubscribe page cannot listen at 127.0.0.1:{port}" in done.err
    assert "note: UNSUBSCRIBE_URL is not set" in done.err


# ---------------------------------------------------------------- blocked, paused, resumed


def test_who_blocks_the_bot_is_paused_left_out_and_brought_back(run: Run, home: Path, telegram: TelegramServer) -> None:
    with mail_server() as mail, pytest.MonkeyPatch.context() as patch:
        for name, value in connections(telegram, mail).items():
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
    left = "left: 1 telegram -100777 gets"
    assert (
        one.out == f"{left} feed_daily, funnels_monthly, likes_by_os_weekly, visitors, alerts, problems, in en, UTC\n"
    )
    other = run("subscribers", "remove", "-100777", "--report", "problems", "--home", home)
    assert other.out == f"{left} alerts, feed_daily, funnels_monthly, likes_by_os_weekly, visitors, in en, UTC\n"
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
