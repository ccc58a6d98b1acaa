"""`deliveries`: what was sent to whom, what is held or failed, and sending it again on a person's word.

Belongs here: the verbs, and what `report` says of a delivery that is not whole. Does not: who gets what
(`test_subscribed.py`), the ledger's rules (`state/test_deliveries.py`), later tries (`defs/`).
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from analytics_platform_tests.cli.conftest import LAST, Done, Run, aside, connections, table
from analytics_platform_tests.mail_server import mail_server
from analytics_platform_tests.telegram_server import Fault, TelegramServer, telegram_server

DAY = str(LAST)
CSV = "3 document app_daily_2024-03-01_2024-03-08.csv"
RESEND = f"analytics-platform deliveries resend app_daily {DAY}"


@dataclass(frozen=True)
class Held:
    """A home whose app report went to 42 and to the topic -100777/5; of the album for 42 no answer came."""

    home: Path
    telegram: TelegramServer
    done: Done


@pytest.fixture(scope="module")
def held(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Held]:
    """Shared, so not to be changed: tests that change something work on a copy of the home (`mine`)."""
    folder = tmp_path_factory.mktemp("deliveries")
    home = shutil.copytree(prepared, folder / "home")
    with telegram_server() as telegram:
        telegram.faults.append(Fault("drop", method="sendMediaGroup", chat="42"))
        settings = {**connections(telegram), "TELEGRAM_CHAT_IDS": "42, -100777/5"}
        done = aside(folder, "report", "app", "--date", DAY, "--home", home, settings=settings)
        yield Held(home, telegram, done)


@pytest.fixture
def mine(held: Held, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that home; what it sends comes last at the same server."""
    for name, value in connections(held.telegram).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TELEGRAM_CHAT_IDS", "42, -100777/5")
    return shutil.copytree(held.home, tmp_path / "mine")


def shown(run: Run, home: Path, *words: str) -> dict[tuple[str, str], dict[str, str]]:
    rows = table(run("deliveries", "show", "app", DAY, *words, "--home", home))
    return {(row["recipient"], row["part"]): row for row in rows}


def test_a_picture_of_which_nothing_was_heard_is_held_and_the_report_says_how_to_go_on(held: Held) -> None:
    assert held.done.code == 1
    assert "1 of 8 parts have not arrived for certain:\n" in held.done.err
    assert (
        "telegram 42, 2 album: uncertain (held). Telegram gave no answer, so this may or may not have" in held.done.err
    )
    assert held.done.err.endswith(f"\nWhat failed or is held is sent again with: {RESEND}\n")
    # Nobody else waits for it, and what comes after it does not either.
    methods = ["sendMessage", "sendMediaGroup", "sendDocument", "sendDocument"]
    for chat, thread in (("42", None), ("-100777", 5)):
        parts = held.telegram.to(chat)[:4]
        assert [one.method for one in parts] == methods
        assert {one.thread for one in parts} == {thread}


def test_show_has_a_line_for_every_part(run: Run, mine: Path) -> None:
    rows = shown(run, mine)
    assert len(rows) == 8
    album = rows["telegram 42", "2 album"]
    assert (album["state"], album["tries"], album["sent"], album["ids"]) == ("uncertain, held", "1", "", "")
    assert album["what"].startswith("Telegram gave no answer, so this may or may not have arrived")
    topic = rows["telegram -100777/5", "2 album"]
    assert (topic["state"], topic["tries"], topic["what"]) == ("sent", "1", "")
    assert len(topic["ids"].split(", ")) == 4
    assert topic["sent"].startswith("20")
    assert rows["telegram 42", CSV]["state"] == "sent"
    assert {recipient for recipient, _ in shown(run, mine, "--to", "-100777/5")} == {"telegram -100777/5"}
    unknown = run("deliveries", "show", "app_daily", "2024-03-07", "--home", mine)
    assert (unknown.code, unknown.err) == (
        1,
        "Error: nothing is known of app_daily 2024-03-07; analytics-platform deliveries list\n",
    )


def test_list_counts_the_parts_by_what_became_of_them(run: Run, mine: Path) -> None:
    for words in ((), ("--report", "app"), ("--report", "app_daily"), ("--troubled",), ("--to", "42")):
        [row] = table(run("deliveries", "list", *words, "--home", mine))
        assert (row["report"], row["period"], row["uncertain"], row["pending"], row["failed"]) == (
            "app_daily",
            DAY,
            "1",
            "0",
            "0",
        )
        assert (row["recipients"], row["sent"]) == (("1", "3") if "--to" in words else ("2", "7"))
        assert row["last trouble"].startswith("Telegram gave no answer")
    elsewhere = run("deliveries", "list", "--to", "-100777", "--troubled", "--home", mine)
    assert elsewhere.out == "everything has arrived in the last 30 days\n"
    other = run("deliveries", "list", "--report", "feed", "--days", "1", "--home", mine)
    assert other.out == "nothing was delivered in the last 1 day\n"


def test_the_report_again_sends_nothing_and_says_that_something_is_held(run: Run, mine: Path, held: Held) -> None:
    before = len(held.telegram.requests)
    done = run("report", "app", "--date", DAY, "--home", mine)
    assert done.code == 1
    assert done.out.startswith(f"app_daily of {DAY} was delivered on ")
    assert "telegram 42, 2 album: uncertain (held)." in done.err
    assert done.err.endswith(f"\nWhat failed or is held is sent again with: {RESEND}\n")
    assert len(held.telegram.requests) == before


def test_resend_sends_what_is_held_to_that_chat_alone(run: Run, mine: Path, held: Held) -> None:
    before = len(held.telegram.accepted)
    done = run("deliveries", "resend", "app", DAY, "--home", mine)
    assert (done.code, done.out) == (0, "1 part sent\n"), done.err
    [album] = held.telegram.accepted[before:]
    assert (album.method, album.chat, album.thread, len(album.media)) == ("sendMediaGroup", "42", None, 4)
    row = shown(run, mine)["telegram 42", "2 album"]
    assert (row["state"], row["tries"], row["what"]) == ("sent", "2", "")
    assert run("deliveries", "list", "--troubled", "--home", mine).out.startswith("everything has arrived")
    assert run("report", "app", "--date", DAY, "--home", mine).code == 0

    runs = len(list((mine / "dagster" / "history" / "runs").iterdir()))
    nothing = run("deliveries", "resend", "app", DAY, "--home", mine)
    assert (nothing.code, nothing.out) == (1, "")
    assert nothing.err == (
        f"Error: nothing of app_daily {DAY} is to be sent again; analytics-platform deliveries show app_daily {DAY}\n"
    )
    # No run that failed is left behind: owners would be told of it.
    assert len(list((mine / "dagster" / "history" / "runs").iterdir())) == runs


def test_resend_of_a_part_that_arrived_goes_to_the_topic_that_is_named(run: Run, mine: Path, held: Held) -> None:
    before = len(held.telegram.accepted)
    words = ("deliveries", "resend", "app_daily", DAY, "--to", "-100777/5", "--part", CSV, "--home", mine)
    done = run(*words)
    assert (done.code, done.out) == (0, "1 part sent\n"), done.err
    [document] = held.telegram.accepted[before:]
    assert (document.method, document.chat, document.thread) == ("sendDocument", "-100777", 5)
    # That of 42 is still held, which is said and is no failure of what was asked for.
    assert "note: send_parts_again: " in done.err
    assert "telegram 42, 2 album: uncertain (held)." in done.err
    assert shown(run, mine)["telegram 42", "2 album"]["state"] == "uncertain, held"


def test_what_somebody_has_seen_in_the_chat_is_closed_and_not_sent_again(run: Run, mine: Path, held: Held) -> None:
    before = len(held.telegram.requests)
    done = run("deliveries", "arrived", "app", DAY, "--to", "42", "--home", mine)
    assert (done.code, done.out, done.err) == (0, "1 part noted as arrived\n", "")
    assert shown(run, mine)["telegram 42", "2 album"]["state"] == "sent"
    assert run("report", "app", "--date", DAY, "--home", mine).code == 0
    assert len(held.telegram.requests) == before
    twice = run("deliveries", "arrived", "app", DAY, "--to", "42", "--home", mine)
    assert (twice.code, twice.out) == (1, "")
    assert twice.err == (
        f"Error: nothing of app_daily {DAY} for 42 is uncertain; analytics-platform deliveries show app_daily {DAY}\n"
    )


def test_resend_that_does_not_arrive_says_why_and_fails(run: Run, mine: Path, held: Held) -> None:
    blocked = Fault("blocked", chat="42", times=0)
    held.telegram.faults.append(blocked)
    try:
        done = run("deliveries", "resend", "app_daily", DAY, "--to", "42", "--home", mine)
    finally:
        held.telegram.faults.remove(blocked)
    assert (done.code, done.out) == (1, "")
    assert "telegram 42, 2 album: failed. paused: The bot was blocked by this person; " in done.err
    states = {row["recipient"]: row["state"] for row in table(run("subscribers", "list", "--home", mine))}
    assert states["telegram 42"].startswith("paused 20")
    assert states["telegram -100777/5"] == "active"


def test_a_mail_that_had_no_server_goes_out_when_there_is_one(
    run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("subscribers", "add", "ann@example.org", "--report", "feed", "--home", home).code == 0
    report = ("report", "feed", "--date", DAY, "--home", home)
    first = run(*report)
    assert first.code == 1
    assert "mail cannot be sent: set SMTP_HOST and SMTP_FROM" in first.err
    assert first.err.endswith(
        "\nWhat is left goes by itself (daemon, or `analytics-platform schedule`), for 24 hours at most.\n"
    )
    with mail_server() as server:
        for name, value in connections(mail=server).items():
            monkeypatch.setenv(name, value)
        second = run(*report)
        assert second.code == 0, second.err
        assert second.out.endswith("\nsent to email ann@example.org: mail\n")
        assert [mail.recipients for mail in server.accepted] == [("ann@example.org",)]
    assert [row["part"] for row in table(run("deliveries", "show", "feed", DAY, "--home", home))] == ["mail"]
    [entry] = table(run("reports", "history", "feed", "--home", home))
    assert entry["status"] == "delivered"
