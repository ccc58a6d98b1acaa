"""What holds for any table: moments, errors without secrets, forked processes, what importing costs."""

import sqlite3
import subprocess
import sys
import threading
import time
from datetime import UTC, date, datetime
from pathlib import Path
from urllib.parse import quote_plus
from zoneinfo import ZoneInfo

import psycopg
import pytest
from sqlalchemy import make_url, text

from analytics_platform.cadence import Period
from analytics_platform.state.database import Database, StateError, sqlite_url
from analytics_platform.state.problems import Problems
from analytics_platform.state.runs import RunLedger, Status
from analytics_platform_tests import services

NOW = datetime(2026, 11, 21, 11, 0, 0, 123456, tzinfo=UTC)
DAY = Period(date(2026, 11, 20), date(2026, 11, 20))
SECRET = "p@ss/word:1"


def test_moments_come_back_as_utc_whatever_zone_they_were_given_in(ledger: RunLedger) -> None:
    ledger.expect("feed", DAY, Status.READY, "", NOW.astimezone(ZoneInfo("Asia/Kamchatka")))

    stored = ledger.entry("feed", DAY.last)

    assert stored
    assert (stored.created_at, stored.created_at.tzinfo) == (NOW, UTC)


def test_a_moment_without_a_zone_is_refused(ledger: RunLedger) -> None:
    with pytest.raises(ValueError, match="no time zone"):
        ledger.expect("feed", DAY, Status.READY, "", NOW.replace(tzinfo=None))
    assert ledger.entries() == []


def test_any_text_can_be_stored(problems: Problems) -> None:
    worst = "Ошибка \0 in \udce4.csv 'quoted'; DROP TABLE problems --" + "x" * 100_000

    problems.record("job é", "failed", worst, NOW)

    [found] = problems.open()
    assert found.text == worst.replace("\0", " ").replace("\udce4", "?")


def test_an_exception_undoes_the_transaction(database: Database, ledger: RunLedger) -> None:
    def interrupted() -> None:
        with database.write() as con:
            con.execute(text("INSERT INTO report_cursors VALUES ('feed', '2026-11-20')"))
            raise KeyError("interrupted")

    with pytest.raises(KeyError):
        interrupted()
    assert ledger.settled_until("feed") is None


def test_history_belongs_to_an_entry(database: Database) -> None:
    with pytest.raises(StateError, match=r"(?i)foreign key"), database.write() as con:
        con.execute(
            text(
                "INSERT INTO report_changes (report, period_last, moment, status, reason, run_id) "
                "VALUES ('nobody', '2026-11-20', '2026-11-20 00:00:00', 'ready', '', '')"
            )
        )


def test_a_commit_is_on_the_disk_when_it_returns(tmp_path: Path) -> None:
    with Database(sqlite_url(tmp_path / "state.db")).write() as con:
        assert con.execute(text("PRAGMA synchronous")).scalar() == 2
        assert con.execute(text("PRAGMA journal_mode")).scalar() == "wal"


# --------------------------------------------------------------------- errors


@pytest.mark.parametrize("address", ["", "no address", "://", "postgresql://u:p@h:port/x"])
def test_what_is_not_an_address_is_refused_in_one_sentence(address: str) -> None:
    with pytest.raises(StateError, match=r"address of the state's database cannot be read; write one such as"):
        Database(address)


@pytest.mark.parametrize("address", ["mysql://u:verysecret@h/x", "oracle://u:verysecret@h/x"])
def test_other_databases_are_refused(address: str) -> None:
    with pytest.raises(StateError, match=r"^the state can be kept in sqlite or postgresql, not in \w+$"):
        Database(address)


@pytest.mark.parametrize("address", ["sqlite://", "sqlite:///:memory:"])
def test_a_database_in_memory_is_refused(address: str) -> None:
    with pytest.raises(StateError, match="needs a file"):
        Database(address)


def test_a_wrong_password_is_told_without_it(postgres: services.Postgres) -> None:
    address = make_url(postgres.url("postgres")).set(password=SECRET, query={"sslpassword": "other-secret"})
    database = Database(address)
    with pytest.raises(StateError) as caught:
        database.prepare()

    said = f"{caught.value} {database!r} {caught.value.__cause__} {database.place}"
    assert "password authentication failed" in said
    assert caught.value.__suppress_context__
    assert all(secret not in said for secret in (SECRET, "p%40ss", "other-secret"))


def test_what_an_engine_says_is_shown_without_the_password(postgres: services.Postgres) -> None:
    database = Database(postgres.empty_database())
    with pytest.raises(StateError) as caught, database.read() as con:
        con.execute(text(f"SELECT '{postgres.password}'::int"))
    assert "<password>" in str(caught.value)
    assert postgres.password not in str(caught.value)
    database.close()


def test_an_unquoted_password_is_not_taken_for_a_host() -> None:
    with pytest.raises(StateError, match=r"write them as %40") as caught:
        Database(f"postgresql://u:{SECRET}@127.0.0.1/x")
    assert not any(part in str(caught.value) for part in ("p@ss", "ss/", "word:1"))


def test_a_server_that_is_not_there_is_one_sentence() -> None:
    with pytest.raises(StateError) as caught:
        Database(f"postgres://u:{quote_plus(SECRET)}@127.0.0.1:{services.free_port()}/x?connect_timeout=3").prepare()
    assert str(caught.value).startswith("the state in database x on 127.0.0.1:")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_something_else_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    path.write_text("x" * 5000)
    with pytest.raises(StateError, match=rf"^the state in {path} cannot be used: file is not a database$"):
        Database(sqlite_url(path)).prepare()


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match=r"^the state cannot be kept in .*: (Not a directory|File exists)$"):
        Database(sqlite_url(tmp_path / "file" / "state.db")).prepare()


# ----------------------------------------------------------- waiting and forks


def test_reading_does_not_wait_for_a_writer(database: Database, ledger: RunLedger) -> None:
    ledger.settle("feed", DAY.last, NOW)
    with database.write() as con:
        con.execute(text("UPDATE report_cursors SET settled_until = '2027-01-01'"))
        assert ledger.settled_until("feed") == DAY.last
    assert ledger.settled_until("feed") == date(2027, 1, 1)


def test_a_writer_waits_for_another(database: Database, ledger: RunLedger) -> None:
    ledger.settle("feed", DAY.last, NOW)
    with database.write() as con:
        con.execute(text("UPDATE report_cursors SET settled_until = '2027-01-01'"))
        other = threading.Thread(target=ledger.settle, args=("feed", date(2026, 12, 1), NOW))
        other.start()
        time.sleep(0.3)
        assert other.is_alive()
    other.join(60)
    assert ledger.settled_until("feed") == date(2027, 1, 1)


FORK = """
import os, sys
from datetime import date, datetime, UTC
from analytics_platform.state.database import Database
from analytics_platform.state.runs import RunLedger
database = Database(sys.stdin.readline())
ledger = RunLedger(database)
now = datetime(2026, 11, 21, tzinfo=UTC)
ledger.settle("feed", date(2026, 11, 1), now)
for number in range(5):
    child = os.fork()
    if not child:
        ledger.settle(f"child {number}", date(2026, 11, 2), now)
        os._exit(0 if ledger.settled_until("feed") else 1)
    ledger.settle("feed", date(2026, 11, 3 + number), now)
    assert os.waitpid(child, 0)[1] == 0
    assert ledger.settled_until(f"child {number}") == date(2026, 11, 2)
"""


def test_a_forked_process_shares_no_connection(url: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORK], input=url, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_connection_that_the_server_dropped_is_replaced(postgres: services.Postgres) -> None:
    database = Database(postgres.empty_database())
    ledger = RunLedger(database)
    ledger.settle("feed", DAY.last, NOW)
    with database.read() as con:
        mine = con.execute(text("SELECT pg_backend_pid()")).scalar()
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as admin:
        admin.execute("SELECT pg_terminate_backend(%s)", [mine])
    assert ledger.settled_until("feed") == DAY.last
    database.close()


# ----------------------------------------------------------------------- cost


def test_importing_the_state_imports_nothing_heavy() -> None:
    check = (
        "import sys, analytics_platform.state.runs, analytics_platform.state.problems, analytics_platform.state.owners;"
        "print(*sorted({'sqlalchemy', 'alembic', 'psycopg', 'dagster', 'filelock'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_a_prepared_database_never_imports_alembic(database: Database, url: str) -> None:
    database.prepare()
    check = (
        "import sys; from analytics_platform.state.database import Database; Database(sys.stdin.readline()).prepare();"
        "print('alembic' in sys.modules, 'sqlalchemy.orm' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", check], input=url, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_nothing_stays_open_between_two_transactions_on_a_file(tmp_path: Path) -> None:
    ledger = RunLedger(Database(sqlite_url(tmp_path / "state.db")))
    ledger.settle("feed", DAY.last, NOW)
    assert ledger.settled_until("feed") == DAY.last
    # The write-ahead log goes with the last connection.
    assert sorted(path.name for path in tmp_path.iterdir()) == ["state.db", "state.db.lock"]


def test_sqlite_is_told_busy_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state.db"
    Database(sqlite_url(path)).prepare()
    monkeypatch.setattr("analytics_platform.state.database._WAIT_SECONDS", 0)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        with pytest.raises(StateError, match="another process kept it locked for 0 s"):
            RunLedger(Database(sqlite_url(path))).settle("feed", DAY.last, NOW)
    finally:
        other.close()
