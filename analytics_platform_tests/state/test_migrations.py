"""From nothing to the newest schema, by several at once, never back, and never by an older version."""

from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

import analytics_platform.state.migrations as steps
from analytics_platform.state.database import Database, StateError
from analytics_platform.state.models import METADATA, REVISION
from analytics_platform.state.schema import STATE, Schema
from analytics_platform_tests.forked import answer, tell
from analytics_platform_tests.state.conftest import Started


def scripts() -> ScriptDirectory:
    """The steps, as Alembic reads them."""
    config = Config()
    config.set_main_option("script_location", str(Path(str(steps.__file__)).parent))
    return ScriptDirectory.from_config(config)


def test_the_steps_lead_to_the_tables_of_the_models(database: Database) -> None:
    with database.read() as con:
        options = {"version_table": REVISION.name, "compare_type": True, "compare_server_default": True}
        assert compare_metadata(MigrationContext.configure(con, opts=options), METADATA) == []
        assert set(inspect(con).get_table_names()) == {*METADATA.tables, REVISION.name}


def test_keys_and_indexes_have_the_names_of_the_models(database: Database) -> None:
    with database.read() as con:
        for table in METADATA.tables.values():
            there = inspect(con)
            key = there.get_pk_constraint(table.name)
            assert key["name"] == table.primary_key.name
            assert key["constrained_columns"] == table.primary_key.columns.keys()
            assert {i["name"] for i in there.get_indexes(table.name)} == {i.name for i in table.indexes}
            foreign = {constraint.name for constraint in table.foreign_key_constraints}
            assert {f["name"] for f in there.get_foreign_keys(table.name)} == foreign


def test_there_is_one_line_of_steps_numbered_by_their_files() -> None:
    walked = [step.revision for step in scripts().walk_revisions()][::-1]
    assert walked == STATE.revisions()
    assert len(scripts().get_heads()) == 1


def test_there_is_no_way_back(database: Database) -> None:
    database.prepare()
    config = Config()
    config.set_main_option("script_location", str(Path(str(steps.__file__)).parent))
    with database.write() as con:
        config.attributes["connection"] = con
        with pytest.raises(AttributeError, match="downgrade"):
            command.downgrade(config, "base")
    assert "no way back" in " ".join((steps.__doc__ or "").split())
    with database.read() as con:
        assert inspect(con).has_table("report_periods")


def test_preparing_again_changes_nothing(url: str, database: Database) -> None:
    database.prepare()
    with database.write() as con:
        con.execute(text("INSERT INTO report_cursors VALUES ('feed', '2026-11-20')"))
    again = Database(url)
    again.prepare()
    with again.read() as con:
        assert con.execute(text("SELECT count(*) FROM report_cursors")).scalar() == 1
        stored = con.execute(text("SELECT version_num FROM state_revision")).scalars().all()
        assert stored == STATE.revisions()[-1:]
    again.close()


def test_a_newer_database_is_refused_and_left_alone(url: str, database: Database) -> None:
    database.prepare()
    with database.write() as con:
        con.execute(text("UPDATE state_revision SET version_num = '9999'"))
    older = Database(url)
    newest = STATE.revisions()[-1]
    with pytest.raises(
        StateError, match=rf"written by a newer version .* \(schema 9999, .* up to {newest}\); update the package$"
    ):
        older.prepare()
    with database.read() as con:
        assert con.execute(text("SELECT version_num FROM state_revision")).scalar() == "9999"
    older.close()


def test_a_step_that_fails_leaves_nothing_behind(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    migrate = Schema.migrate

    def fail(schema: Schema, con: Connection) -> None:
        migrate(schema, con)
        raise KeyError("power")

    with monkeypatch.context() as broken:
        broken.setattr(Schema, "migrate", fail)
        with pytest.raises(KeyError):
            database.prepare()
    with database._engine.connect() as con:
        assert inspect(con).get_table_names() == []
    database.prepare()


def test_several_processes_prepare_at_once(url: str, started: Started) -> None:
    with started(url, *[["prepare"]] * 5) as processes:
        for process in processes:
            tell(process, "go")
        outcomes = [(answer(process), process.wait(), process.stderr.read()) for process in processes]
    assert outcomes == [("done", 0, "")] * 5


def test_the_steps_are_packages_so_that_an_installed_platform_has_them() -> None:
    folders = {Path(step.path).parent for step in scripts().walk_revisions()} | {Path(str(steps.__file__)).parent}
    assert len(folders) == 2
    assert all((folder / "__init__.py").is_file() for folder in folders)
