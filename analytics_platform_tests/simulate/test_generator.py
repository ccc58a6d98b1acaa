"""The tables' shape, reproducibility, and the folder a run is written to."""

import hashlib
from dataclasses import replace
from datetime import date, timedelta
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from analytics_platform.metrics.events import FEED_ACTIONS, MESSAGE_ACTIONS, USER_EVENTS
from analytics_platform.simulate.generator import NotOurFolderError, generate, write
from analytics_platform.simulate.incidents import read_truth
from analytics_platform.simulate.scenario import Scenario
from analytics_platform_tests.simulate.history import FIRST, scenario

SMALL = scenario(3, 600)


def contents(folder: Path) -> dict[str, str]:
    """Every file below the folder and the hash of its bytes."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_tables_have_the_columns_of_the_events_and_are_in_order_of_time() -> None:
    for day in generate(SMALL):
        for table, rows in ((FEED_ACTIONS, day.feed), (MESSAGE_ACTIONS, day.messages)):
            assert rows.schema.names == [column.name for column in table.columns]
            assert rows.schema.field("user_id").type == pa.uint32()
            assert rows.schema.field("time").type == pa.timestamp("us")
            assert rows.schema.field("gender").type == pa.int8()
            assert rows.schema.field("age").type == pa.int16()
            assert all(column.null_count == 0 for column in rows.columns)
            assert pc.all(pc.less_equal(rows["time"][:-1], rows["time"][1:])).as_py()
            assert rows.num_rows > 0
        assert set(day.feed["action"].to_pylist()) == {"view", "like"}


def test_the_same_scenario_gives_the_same_files(tmp_path: Path) -> None:
    write(SMALL, tmp_path / "one")
    write(SMALL, tmp_path / "two")
    write(replace(SMALL, seed=8), tmp_path / "other")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    changed = contents(tmp_path / "other")
    assert all(changed[name] != digest for name, digest in contents(tmp_path / "one").items() if "actions" in name)


@pytest.mark.parametrize("days", [5, 40])
def test_a_longer_run_begins_with_the_days_of_a_shorter_one(days: int) -> None:
    short = scenario(days, 400)
    long = replace(short, days=90)
    for one, other in zip(generate(short), islice(generate(long), days), strict=True):
        assert one.day == other.day
        assert one.feed.equals(other.feed)
        assert one.messages.equals(other.messages)


def test_a_folder_holds_one_file_a_day_and_table_and_the_truth(tmp_path: Path) -> None:
    empty = FIRST + timedelta(days=19)
    run: Scenario = scenario(20, 300, empty_days=frozenset({empty}))
    told: list[tuple[int, int, int]] = []
    written = write(run, tmp_path / "events", lambda *values: told.append(values))
    days = [f"{date.fromordinal(FIRST.toordinal() + k)}.parquet" for k in range(20)]
    for table in (FEED_ACTIONS.name, MESSAGE_ACTIONS.name, USER_EVENTS.name):
        assert sorted(path.name for path in (tmp_path / "events" / table).iterdir()) == days
    feed = pq.read_table(tmp_path / "events" / FEED_ACTIONS.name / days[0])
    assert feed.equals(next(generate(run)).feed)
    assert pq.read_metadata(tmp_path / "events" / FEED_ACTIONS.name / f"{empty}.parquet").num_rows == 0
    assert [done for done, _, _ in told] == list(range(1, 21))
    assert told[-1] == (20, 20, written.feed_rows + written.message_rows + written.video_rows)
    assert read_truth(written.truth) == run.truth()


def test_text_is_kept_in_dictionaries_and_compressed(tmp_path: Path) -> None:
    write(SMALL, tmp_path)
    column = pq.read_metadata(next(iter(sorted((tmp_path / FEED_ACTIONS.name).iterdir())))).row_group(0)
    by_name = {column.column(k).path_in_schema: column.column(k) for k in range(column.num_columns)}
    assert by_name["city"].compression == "ZSTD"
    assert "RLE_DICTIONARY" in by_name["city"].encodings


def test_a_shorter_run_replaces_a_longer_one(tmp_path: Path) -> None:
    write(scenario(4, 300), tmp_path)
    (tmp_path / "notes.txt").write_text("kept", encoding="utf-8")
    write(scenario(2, 300), tmp_path)
    assert len(list((tmp_path / FEED_ACTIONS.name).iterdir())) == 2
    assert (tmp_path / "notes.txt").read_text(encoding="utf-8") == "kept"


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / FEED_ACTIONS.name).mkdir()
    theirs = tmp_path / FEED_ACTIONS.name / "2026-09-01.parquet"
    theirs.write_bytes(b"precious")
    with pytest.raises(NotOurFolderError, match="not made by a simulation"):
        write(SMALL, tmp_path)
    assert contents(tmp_path) == {f"{FEED_ACTIONS.name}/2026-09-01.parquet": hashlib.sha256(b"precious").hexdigest()}
    with pytest.raises(NotOurFolderError):
        write(SMALL, theirs)
