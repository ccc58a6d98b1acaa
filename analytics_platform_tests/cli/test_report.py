"""`report feed`: to a folder and over Telegram's API, its refusals, and where the token must not be."""

import hashlib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import pytest

from analytics_platform_tests.cli.conftest import LAST, Run, feed_csv, messages_csv, table
from analytics_platform_tests.telegram_server import Fault, TelegramServer, telegram_server


@pytest.fixture
def telegram(monkeypatch: pytest.MonkeyPatch) -> Iterator[TelegramServer]:
    """A Bot API stand-in that the settings name, with two chats."""
    with telegram_server() as server:
        monkeypatch.setenv("TELEGRAM_BOT_TOKEN", server.token)
        monkeypatch.setenv("TELEGRAM_CHAT_IDS", "42, -100777/5")
        monkeypatch.setenv("TELEGRAM_API_URL", server.url)
        yield server


def delivered(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def assert_token_is_nowhere(token: str, home: Path, *said: str) -> None:
    secret = token.split(":")[1]
    files = [path for path in home.rglob("*") if path.is_file()]
    # Run logs, events and compute logs of Dagster are among them.
    assert any("dagster/history/runs" in str(path) for path in files)
    for path in files:
        content = path.read_bytes()
        for shape in (token, quote(token, safe=""), secret):
            assert shape.encode() not in content, path
            assert shape.encode("utf-16-le") not in content, path
    assert secret not in "".join(said)


def test_a_dry_run_goes_into_the_folder_and_nowhere_else(
    run: Run, home: Path, tmp_path: Path, telegram: TelegramServer
) -> None:
    out = tmp_path / "отчёты"
    done = run("report", "feed", "--date", LAST, "--dry-run", "--out", out, "--home", home)

    assert done.code == 0
    assert "Feed: main figures for Mar 8, 2024\n\n1. DAU = 10\n    +11.11% vs Mar 7, 2024\n" in done.out
    assert "    +233.33% vs Mar 1, 2024\n" in done.out
    assert "4. CTR = 20.00%\n    0.00% vs Mar 7, 2024\n" in done.out
    assert done.out.endswith(f"\n\nwritten to {out / 'feed_daily' / str(LAST)}\n")
    name = f"feed_daily_{LAST}"
    assert delivered(out) == [
        f"feed_daily/{LAST}/{file}"
        for file in (
            "01-text.html",
            "01-text.txt",
            f"02-album-1-{name}.png",
            f"02-album-1-{name}.png.txt",
            f"03-{name}.pdf",
            f"03-{name}.pdf.txt",
        )
    ]
    assert (out / "feed_daily" / str(LAST) / f"02-album-1-{name}.png").read_bytes().startswith(b"\x89PNG")
    assert (out / "feed_daily" / str(LAST) / f"03-{name}.pdf").read_bytes().startswith(b"%PDF-")
    assert telegram.requests == []
    assert not (home / "outbox").exists()


def test_in_russian(run: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCALE", "ru")
    done = run("report", "feed", "--date", LAST, "--home", home)
    assert done.code == 0
    text = done.out.replace("\xa0", " ").replace("\u202f", " ")
    assert "Лента: основные показатели за 8 мар. 2024 г.\n\n1. DAU = 10\n    +11,11 % к 7 мар. 2024 г.\n" in text
    assert "2. Просмотры = 100\n" in text
    assert (home / "outbox" / "feed_daily" / str(LAST) / "01-text.txt").exists()


@pytest.mark.slow
def test_missing_and_outdated_days_are_computed_first(run: Run, tmp_path: Path) -> None:
    home = tmp_path / "home"
    (tmp_path / "feed.csv").write_text(feed_csv(days=3), "utf-8")
    assert run("load", "--feed", tmp_path / "feed.csv", "--home", home).code == 0
    report = ("report", "feed", "--date", "2024-03-03", "--home", home)

    first = run(*report)
    assert first.code == 0
    assert "compute 3 days: done" in first.err
    assert "1. DAU = 5\n    +25.00% vs Mar 2, 2024\n    n/a vs Feb 25, 2024\n" in first.out

    told = run(*report)
    assert told.code == 0
    assert told.out.startswith("feed_daily of 2024-03-03 was delivered on ")
    again = run(*report, "--again")
    assert (again.code, again.out) == (0, first.out)
    assert "facts/user_day" not in again.err

    (tmp_path / "late.csv").write_text(feed_csv(days=3).replace("\n0,", "\n77,"), "utf-8")
    assert run("load", "--feed", tmp_path / "late.csv", "--append", "--home", home).code == 0
    assert "1. DAU = 6\n" in run(*report, "--again").out


@pytest.mark.parametrize("kind", ["nothing at all", "messages only"])
def test_a_day_without_feed_events_is_not_reported(
    run: Run, home: Path, tmp_path: Path, telegram: TelegramServer, kind: str
) -> None:
    if kind == "messages only":
        (tmp_path / "m.csv").write_text(messages_csv(LAST + timedelta(days=1), days=1), "utf-8")
        assert run("load", "--messages", tmp_path / "m.csv", "--home", home).code == 0
    done = run("report", "feed", "--date", "2024-03-09", "--out", tmp_path / "out", "--home", home)
    assert (done.code, done.out) == (1, "")
    assert "Error: 2024-03-09 has no feed events: load them first" in done.err
    assert "Traceback" not in done.err
    assert telegram.requests == []
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("day", "said"), [("2024-02-29", "2024-02-29 is before START_DATE"), ("2999-01-01", "2999-01-01 is not over yet")]
)
def test_days_that_cannot_be_reported(run: Run, home: Path, day: str, said: str) -> None:
    done = run("report", "feed", "--date", day, "--home", home)
    assert (done.code, done.out) == (1, "")
    assert said in done.err


def test_a_folder_that_cannot_be_written_is_one_sentence(run: Run, home: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    out = tmp_path / "file" / "out"
    done = run("report", "feed", "--date", LAST, "--dry-run", "--out", out, "--home", home)
    assert done.code == 1
    assert done.err.endswith(f"Error: the folder {out / 'feed_daily' / str(LAST)} cannot be written: Not a directory\n")
    assert "written to" not in done.out


# ---------------------------------------------------------------- Telegram


def test_telegram_gets_text_picture_and_document_once(
    run: Run, home: Path, tmp_path: Path, telegram: TelegramServer
) -> None:
    done = run("report", "feed", "--date", LAST, "--out", tmp_path / "out", "--home", home)

    assert done.code == 0, done.err
    for chat, thread in (("42", None), ("-100777", 5)):
        text, picture, document = telegram.to(chat)
        assert [part.method for part in (text, picture, document)] == ["sendMessage", "sendPhoto", "sendDocument"]
        assert [part.thread for part in (text, picture, document)] == [thread] * 3
        assert text.text.startswith("Feed: main figures for Mar 8, 2024\n\n1. DAU = 10")
        assert text.entities == 5
        assert "nan" not in text.text
        assert picture.text == "Feed, Mar 2, 2024 - Mar 8, 2024"
        kept = home / "artifacts" / "feed_daily" / str(LAST) / "en"
        assert _digest(picture.media[0].content) == _digest((kept / "chart.png").read_bytes())
        assert _digest(document.media[0].content) == _digest((kept / "chart.pdf").read_bytes())
        assert document.media[0].filename == f"feed_daily_{LAST}.pdf"
    assert len(telegram.accepted) == 6
    pieces = f"1 text, 2 album, 3 document feed_daily_{LAST}.pdf"
    assert done.out.endswith(
        f"\n\nsent to {tmp_path / 'out' / 'feed_daily' / str(LAST)}\n"
        f"sent to telegram -100777/5: {pieces}\nsent to telegram 42: {pieces}\n"
    )
    assert len(delivered(tmp_path / "out")) == 6
    assert_token_is_nowhere(telegram.token, home, done.out, done.err)


def test_a_blocked_chat_is_named_and_keeps_nobody_else_from_the_report(
    run: Run, home: Path, telegram: TelegramServer
) -> None:
    telegram.faults.append(Fault("blocked", chat="42", times=0))
    done = run("report", "feed", "--date", LAST, "--home", home)

    # Whoever wants no more is no failure: it is paused, said here, and told to owners as a problem.
    assert done.code == 0
    assert "note: telegram 42 did not get it, paused: The bot was blocked by this person; " in done.err
    assert "-100777" not in done.err
    assert [line.partition(":")[0] for line in done.out.splitlines() if line.startswith("sent")] == [
        "sent to telegram -100777/5"
    ]
    assert telegram.to("42") == []
    assert [request for request in telegram.requests if request[1] == "42"] == [("sendMessage", "42")]
    assert [part.method for part in telegram.to("-100777")] == ["sendMessage", "sendPhoto", "sendDocument"]
    assert_token_is_nowhere(telegram.token, home, done.out, done.err)


def test_what_a_refused_token_or_a_wrong_address_held_up_is_sent_when_it_is_mended(
    run: Run, home: Path, telegram: TelegramServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = ("report", "feed", "--date", LAST, "--home", home)
    telegram.faults.append(Fault("bad_token", times=0))
    refused = run(*report)
    assert refused.code == 1
    assert "telegram 42, 1 text: pending. TELEGRAM_BOT_TOKEN is not accepted, get one from @BotFather" in refused.err
    assert refused.err.endswith(
        "\nWhat is left goes by itself (daemon, or `analytics-platform schedule`), for 24 hours at most.\n"
    )
    [entry] = table(run("reports", "history", "feed", "--home", home))
    assert entry["status"] == "sending"

    telegram.faults.clear()
    with monkeypatch.context() as patch:
        patch.setenv("TELEGRAM_API_URL", "ftp://127.0.0.1")
        wrong = run(*report)
    assert wrong.code == 1
    assert f"feed_daily of {LAST} was handed over on " in wrong.out
    assert "TELEGRAM_API_URL must begin with http" in wrong.err
    assert telegram.accepted == []

    sent = run("report", "feed", "--date", LAST - timedelta(days=1), "--home", home)
    assert sent.code == 0, sent.err
    for chat in ("42", "-100777"):
        assert [one.method for one in telegram.to(chat)] == ["sendMessage", "sendPhoto", "sendDocument"] * 2
        texts = [one.text for one in telegram.to(chat) if one.method == "sendMessage"]
        assert ["Mar 8" in text.splitlines()[0] for text in texts] == [True, False], "what was held up goes first"
    entry, *_ = table(run("reports", "history", "feed", "--home", home))
    assert (entry["period"], entry["status"], entry["tries"]) == (str(LAST), "delivered", "1")
    assert run(*report).code == 0, "delivered by now"
    said = [text for done in (refused, wrong, sent) for text in (done.out, done.err)]
    assert_token_is_nowhere(telegram.token, home, *said)


def test_telegram_without_anybody_is_one_sentence(run: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DELIVERY_CHANNEL", "telegram")
    done = run("report", "feed", "--date", LAST, "--home", home)
    assert done.code == 1
    assert done.err.splitlines()[-1] == (
        "Error: deliveries/feed_daily: nobody was told: nobody gets feed_daily; analytics-platform subscribers add "
        "ADDRESS --report feed_daily, or set TELEGRAM_CHAT_IDS, or DELIVERY_CHANNEL=folder"
    )


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
