"""The tables of funnels on each kind of database: made, made half-way, another program's, kept beside others."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import event, inspect, make_url, text

from analytics_platform.state.database import Database, StateError, sqlite_url
from analytics_platform.state.funnel_models import METADATA
from analytics_platform.state.funnels import FunnelLedger, Standing
from analytics_platform.state.models import METADATA as STATE_METADATA
from analytics_platform.state.schema import FUNNELS, STATE
from analytics_platform_tests import mysql_service, services
from analytics_platform_tests.forked import answer, tell
from analytics_platform_tests.state.conftest import Started

SECRET = "p@ss/word:1"


def assert_as_the_models_are(database: Database) -> None:
    """Tables, columns, keys and indexes, by their names."""
    with database.read() as con:
        options = {"version_table": FUNNELS.revision_table, "compare_type": True, "compare_server_default": True}
        assert compare_metadata(MigrationContext.configure(con, opts=options), METADATA) == []
        there = inspect(con)
        assert set(there.get_table_names()) == {*METADATA.tables, FUNNELS.revision_table}
        for table in METADATA.tables.values():
            assert there.get_pk_constraint(table.name)["constrained_columns"] == table.primary_key.columns.keys()
            foreign = {constraint.name for constraint in table.foreign_key_constraints}
            assert {key["name"] for key in there.get_foreign_keys(table.name)} == foreign
        found = con.execute(text("SELECT version_num FROM funnel_revision")).scalars().all()
        assert found == FUNNELS.revisions()[-1:]


def test_the_steps_lead_to_the_tables_of_the_models(bare_url: str) -> None:
    database = Database(bare_url, FUNNELS)
    ledger = FunnelLedger(database)
    assert not ledger.exists()
    database.prepare()
    assert ledger.exists()
    assert_as_the_models_are(database)

    again = Database(bare_url, FUNNELS)
    assert again.exists()
    again.prepare()
    assert_as_the_models_are(again)
    assert {*METADATA.tables} == {*FUNNELS.tables}
    for one in (database, again):
        one.close()


def test_looking_whether_the_tables_are_there_makes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "state.db"
    assert not Database(sqlite_url(path), FUNNELS).exists()
    assert list(tmp_path.iterdir()) == []


def test_looking_at_an_empty_server_makes_nothing(mariadb: mysql_service.MariaDB) -> None:
    database = Database(mariadb.empty_database("bare_funnels"), FUNNELS)
    assert not database.exists()
    with mariadb.connect("bare_funnels") as con, con.cursor() as ask:
        assert ask.execute("SHOW TABLES") == 0
    database.close()


def test_several_processes_prepare_at_once(bare_url: str, started: Started, worker: str) -> None:
    with started(bare_url, *[["prepare"]] * 3) as processes:
        for process in processes:
            tell(process, "go")
        outcomes = [(answer(process), process.wait(60), process.stderr.read()) for process in processes]
    assert outcomes == [("done", 0, "")] * 3
    database = Database(bare_url, FUNNELS)
    assert_as_the_models_are(database)
    database.close()


@pytest.mark.parametrize("name", ["funnel_entries", "funnel_syncs"])
def test_a_table_of_another_program_is_refused_and_nothing_changed(bare_url: str, name: str) -> None:
    other = Database(bare_url, replace(FUNNELS, tables=()))
    if bare_url.startswith("sqlite"):
        Path(make_url(bare_url).database or "").parent.mkdir()
    with other._engine.begin() as con:
        con.execute(text(f"CREATE TABLE {name} (id INT, email VARCHAR(255))"))
        con.execute(text(f"INSERT INTO {name} VALUES (1, 'a@b.example')"))

    database = Database(bare_url, FUNNELS)
    for look in (database.exists, database.prepare):
        with pytest.raises(StateError) as caught:
            look()
        assert str(caught.value) == (
            f"the funnel ledger cannot be kept in {database.place}: its {name} is another program's; rename that, or "
            "name another database"
        )

    with other._engine.connect() as con:
        assert inspect(con).get_table_names() == [name]
        assert con.execute(text(f"SELECT count(*) FROM {name}")).scalar() == 1
    for one in (other, database):
        one.close()


@pytest.mark.parametrize("steps", [1, 2, 4, 8, 11])
def test_what_was_interrupted_half_way_is_done_to_its_end(mariadb: mysql_service.MariaDB, steps: int) -> None:
    url = mariadb.empty_database("bare_funnels")
    broken, done = Database(url, FUNNELS), list[str]()

    @event.listens_for(broken._engine, "after_cursor_execute")
    def interrupt(_con: object, _cursor: object, statement: str, *_: Any) -> None:
        done.append(statement)
        if sum("CREATE" in one for one in done) == steps:
            raise KeyError("power")

    with pytest.raises(KeyError):
        broken.prepare()
    broken.close()
    assert not Database(url, FUNNELS).exists()

    database = Database(url, FUNNELS)
    database.prepare()
    assert_as_the_models_are(database)
    assert FunnelLedger(database).standing() == Standing()
    database.close()


def test_they_are_kept_beside_the_state(bare_url: str) -> None:
    if bare_url.startswith("mysql"):
        with pytest.raises(StateError, match=r"^the state can be kept in sqlite or postgresql, not in mysql$"):
            Database(bare_url)
        return
    state, funnels = Database(bare_url), Database(bare_url, FUNNELS)
    state.prepare()
    assert not funnels.exists()
    funnels.prepare()
    with state.read() as con:
        names = {*STATE_METADATA.tables, *METADATA.tables, STATE.revision_table, FUNNELS.revision_table}
        assert set(inspect(con).get_table_names()) == names
    for one in (state, funnels):
        one.close()


def test_tables_of_another_version_are_told(bare_url: str, tmp_path: Path) -> None:
    shutil.copytree(FUNNELS.migrations, tmp_path / "steps")
    (tmp_path / "steps" / "versions" / "0002_next.py").write_text(
        'revision = "0002"\ndown_revision = "0001"\n\n\ndef upgrade() -> None:\n    pass\n'
    )
    newer = replace(FUNNELS, migrations=tmp_path / "steps")
    old, new = Database(bare_url, FUNNELS), Database(bare_url, newer)
    old.prepare()
    with pytest.raises(StateError, match=r"by an older version .* \(schema 0001, this version has 0002\); whatever"):
        new.exists()
    new.prepare()
    late = Database(bare_url, FUNNELS)
    for look in (late.exists, late.prepare):
        with pytest.raises(StateError, match=r"the funnel ledger in .* newer version .* \(schema 0002, .* up to 0001"):
            look()
    for one in (old, new, late):
        one.close()


def test_the_tables_do_not_go_by_the_rules_of_the_database(mariadb: mysql_service.MariaDB) -> None:
    database = Database(mariadb.empty_database("bare_funnels", "latin1", "latin1_swedish_ci"), FUNNELS)
    database.prepare()
    found = (
        "SELECT DISTINCT collation_name FROM information_schema.columns WHERE table_schema = 'bare_funnels' "
        "AND table_name <> 'funnel_revision' AND collation_name IS NOT NULL"
    )
    with database.read() as con:
        assert con.execute(text(found)).scalars().all() == ["utf8mb4_nopad_bin"]
        settings = con.execute(text("SELECT @@time_zone, @@tx_isolation, @@character_set_connection")).one()
    assert tuple(settings) == ("+00:00", "READ-COMMITTED", "utf8mb4")
    database.close()


def test_the_steps_are_packages_so_that_an_installed_platform_has_them() -> None:
    assert all((folder / "__init__.py").is_file() for folder in (FUNNELS.migrations, FUNNELS.migrations / "versions"))


# -------------------------------------------------------------------- addresses


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("nonsense", "the address of the funnel ledger's database cannot be read; write one such as"),
        ("oracle://u:verysecret@h/x", "can be kept in sqlite, postgresql or mysql, not in oracle"),
        ("mysql://u:verysecret@h", "needs the name of a database; write it after the host"),
        (f"mysql://u:{SECRET}@127.0.0.1/x", "write them as %40"),
        ("sqlite://", "the funnel ledger needs a file"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_sentence(address: str, said: str) -> None:
    with pytest.raises(StateError, match=said) as caught:
        Database(address, FUNNELS)
    assert not any(secret in str(caught.value) for secret in ("verysecret", "p@ss", "word:1"))


@pytest.mark.parametrize("scheme", ["mysql", "mariadb", "mysql+pymysql", "mysql+mysqldb"])
def test_an_address_may_name_any_client(mariadb: mysql_service.MariaDB, scheme: str) -> None:
    mariadb.empty_database("bare_funnels")
    database = Database(make_url(mariadb.url("bare_funnels")).set(drivername=scheme), FUNNELS)
    assert not database.exists()
    database.close()


def test_a_wrong_password_is_told_without_it(mariadb: mysql_service.MariaDB) -> None:
    database = Database(make_url(mariadb.url("tests")).set(password=SECRET), FUNNELS)
    with pytest.raises(StateError, match=r"Access denied for user 'tester'@") as caught:
        database.prepare()
    said = f"{caught.value} {database!r} {caught.value.__cause__} {database.place}"
    assert not any(secret in said for secret in (SECRET, quote_plus(SECRET)))
    assert caught.value.__suppress_context__


def test_who_may_only_read_is_told_so(mariadb: mysql_service.MariaDB) -> None:
    mariadb.empty_database("bare_funnels")
    database = Database(mariadb.url("bare_funnels", user="reader"), FUNNELS)
    assert not database.exists()
    with pytest.raises(StateError, match=r"CREATE command denied to user 'reader'"):
        database.prepare()
    database.close()


def test_a_server_that_is_not_there_is_one_sentence() -> None:
    with pytest.raises(StateError) as caught:
        Database(f"mysql://u:{quote_plus(SECRET)}@127.0.0.1:{services.free_port()}/x", FUNNELS).exists()
    assert str(caught.value).startswith("the funnel ledger in database x on 127.0.0.1:")
    assert "\n" not in str(caught.value)


def test_whoever_waits_too_long_for_another_is_told(
    mariadb: mysql_service.MariaDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("analytics_platform.state.database._MIGRATION_SECONDS", 0)
    monkeypatch.setattr("analytics_platform.state.database._WAIT_SECONDS", 1)
    database = Database(mariadb.empty_database("bare_funnels"), FUNNELS)
    with mariadb.connect("bare_funnels") as other, other.cursor() as ask:
        ask.execute("SELECT GET_LOCK(CONCAT('analytics_platform ', MD5('bare_funnels')), 9)")
        with pytest.raises(StateError, match=r"^another process was changing the schema of database bare_funnels on "):
            database.prepare()
        ask.execute("DO RELEASE_ALL_LOCKS()")
        database.prepare()
        database.close()
        # The server, not the connection, is to be the first that has waited long enough.
        monkeypatch.setattr("analytics_platform.state.database._MIGRATION_SECONDS", 60)
        database = Database(mariadb.url("bare_funnels"), FUNNELS)
        ask.execute("INSERT INTO funnel_syncs (id) VALUES (1)")
        ask.execute("BEGIN")
        ask.execute("UPDATE funnel_syncs SET last_mode = 'real'")
        with pytest.raises(StateError, match=r"cannot be used: .*Lock wait timeout"), database.write() as con:
            con.execute(text("UPDATE funnel_syncs SET last_mode = 'dry'"))
    database.close()


def test_a_connection_that_the_server_dropped_is_replaced(mariadb: mysql_service.MariaDB) -> None:
    database = Database(mariadb.empty_database("bare_funnels"), FUNNELS)
    ledger = FunnelLedger(database)
    assert ledger.standing() == Standing()
    with database.read() as con:
        mine = con.execute(text("SELECT CONNECTION_ID()")).scalar()
    with mariadb.connect() as admin, admin.cursor() as ask:
        ask.execute(f"KILL {mine}")
    assert ledger.standing() == Standing()
    database.close()


@pytest.fixture(scope="module")
def worker() -> str:
    """The module whose `main` the processes call."""
    return "funnel_worker"
