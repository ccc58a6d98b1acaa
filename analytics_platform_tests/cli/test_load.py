"""`load` and `generate`: all or nothing, what a bad row says, START_DATE, and what may be mixed."""

import gzip
from datetime import date
from pathlib import Path

import pytest

from analytics_platform_tests.cli.conftest import FIRST, Run, feed_csv, messages_csv


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with two days of both tables."""
    (tmp_path / "feed.csv").write_text(feed_csv(days=2), "utf-8")
    (tmp_path / "messages.csv").write_text(messages_csv(days=2), "utf-8")
    return tmp_path


def events(run: Run, home: Path) -> list[str]:
    """What doctor says of the event tables."""
    return [line.strip() for line in run("doctor", "--home", home).out.splitlines() if "_actions" in line]


def test_what_was_loaded_is_told(run: Run, files: Path) -> None:
    home = files / "home"
    done = run("load", "--feed", files / "feed.csv", "--messages", files / "messages.csv", "--home", home)
    assert done.code == 0
    assert "feed_actions: 84 rows from 1 file, 2024-03-01 to 2024-03-02" in done.out
    assert "actions: view 70, like 14" in done.out
    assert "message_actions: 4 rows from 1 file, 2024-03-01 to 2024-03-02" in done.out
    assert "write feed_actions: done" in done.err
    assert (home / "settings.env").read_text() == "START_DATE=2024-03-01\n"


@pytest.mark.parametrize("append", [False, True])
def test_loading_twice_replaces_or_adds(run: Run, files: Path, append: bool) -> None:
    home = files / "home"
    for _ in range(2):
        extra = ["--append"] if append else []
        assert run("load", "--feed", files / "feed.csv", *extra, "--home", home).code == 0
    assert f"feed_actions: {168 if append else 84} rows, last event" in events(run, home)[0]


def test_a_bad_row_names_its_place_and_nothing_is_written(run: Run, files: Path) -> None:
    home = files / "home"
    lines = feed_csv(days=2).splitlines()
    lines[50] = lines[50].replace(",Russia,", ",Russia,", 1).replace(",20,", ",old,").replace(",21,", ",old,")
    lines[50] = lines[50].replace(",22,", ",old,").replace(",23,", ",old,")
    (files / "feed.csv").write_text("\n".join(lines) + "\n", "utf-8")

    done = run("load", "--messages", files / "messages.csv", "--feed", files / "feed.csv", "--home", home)

    assert (done.code, done.out) == (1, "")
    assert f"{files / 'feed.csv'}, line 51, column age: 'old' is not a whole number" in done.err
    assert not (home / "settings.env").exists()
    assert [line.split(" is ")[-1] for line in events(run, home)] == ["empty", "empty"]


def test_bad_rows_are_left_out_on_request(run: Run, files: Path) -> None:
    home = files / "home"
    with (files / "feed.csv").open("a") as stream:
        stream.write("x,1,view,2024-03-02 10:00:00,1,20,Russia,Moscow,iOS,ads,1\n")
    done = run("load", "--feed", files / "feed.csv", "--on-error", "skip", "--home", home)
    assert done.code == 0
    assert "feed_actions: 84 rows" in done.out
    rejected = home / "rejected_feed_actions.csv"
    assert f"1 row rejected: see {rejected}" in done.err
    assert "86,user_id,x," in rejected.read_text()

    chosen = files / "rejects.csv"
    words = ("load", "--feed", files / "feed.csv", "--on-error", "skip", "--rejects", chosen)
    assert str(chosen) in run(*words, "--home", home).err
    assert chosen.exists()
    # With two tables there are two files, so that a record can be put right and loaded again.
    both = run(*words, "--messages", files / "messages.csv", "--home", home)
    assert both.code == 0
    assert (files / "rejects_feed_actions.csv").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "does not exist"), (b"", "empty"), (b"a,b\n1,2\n", "user_id"), (gzip.compress(b"a,b\n1,2\n"), "user_id")],
    ids=["absent", "empty", "other columns", "other columns, gzipped"],
)
def test_files_that_cannot_be_loaded(run: Run, tmp_path: Path, content: bytes | None, said: str) -> None:
    path = tmp_path / ("feed.csv.gz" if content and content[:2] == b"\x1f\x8b" else "feed.csv")
    if content is not None:
        path.write_bytes(content)
    done = run("load", "--feed", path, "--home", tmp_path / "home")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("Error: ")
    assert said in done.err


def test_times_without_an_offset_are_read_in_their_zone(run: Run, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = files / "home"
    monkeypatch.setenv("TIMEZONE", "Europe/Moscow")
    done = run("load", "--feed", files / "feed.csv", "--source-timezone", "Europe/Moscow", "--home", home)
    assert "2024-03-01 to 2024-03-02" in done.out
    assert "last event 2024-03-02 05:47 UTC" in events(run, home)[0]


# -------------------------------------------------------------- START_DATE


def test_start_date_moves_back_with_earlier_events_and_never_forward(run: Run, files: Path) -> None:
    home = files / "home"

    def loaded(first: date) -> str:
        (files / "feed.csv").write_text(feed_csv(first, days=1), "utf-8")
        assert run("load", "--feed", files / "feed.csv", "--home", home).code == 0
        return (home / "settings.env").read_text()

    assert loaded(FIRST) == "START_DATE=2024-03-01\n"
    assert loaded(date(2024, 4, 1)) == "START_DATE=2024-03-01\n"
    (home / "settings.env").write_text("# mine\nTIMEZONE=UTC\nSTART_DATE=2024-03-01\nLOCALE=ru\n")
    assert loaded(date(2024, 2, 1)) == "# mine\nTIMEZONE=UTC\nLOCALE=ru\nSTART_DATE=2024-02-01\n"


def test_a_start_date_from_the_environment_that_hides_days_is_told(
    run: Run, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = files / "home"
    monkeypatch.setenv("START_DATE", "2024-03-02")
    done = run("load", "--feed", files / "feed.csv", "--home", home)
    assert done.code == 0
    assert "START_DATE is 2024-03-02 in the environment or .env, so days from 2024-03-01 cannot be material" in done.err
    refused = run("materialize", "--date", "2024-03-01", "--home", home)
    assert (refused.code, refused.err.split(":")[1].strip()) == (1, "2024-03-01 is before START_DATE (2024-03-02)")


# ---------------------------------------------------------------- generate


def test_generate_writes_files_that_load_reads(run: Run, tmp_path: Path) -> None:
    out, home = tmp_path / "events", tmp_path / "home"
    done = run("generate", "--days", 2, "--users", 60, "--seed", 3, "--out", out, "--home", home)
    assert done.code == 0
    assert f"in {out}; planted incidents in {out / 'truth.csv'}" in done.out
    loaded = run("load", "--feed", out / "feed_actions", "--messages", out / "message_actions", "--home", home)
    assert loaded.code == 0
    assert loaded.out.splitlines()[0].split(" rows")[0] == f"feed_actions: {done.out.split(' ')[0]}"


def test_generate_refuses_a_folder_with_other_files_and_bad_numbers(run: Run, tmp_path: Path) -> None:
    (tmp_path / "diary.txt").write_text("mine")
    done = run("generate", "--days", 1, "--users", 60, "--out", tmp_path, "--home", tmp_path / "home")
    assert (done.code, done.out) == (1, "")
    assert str(tmp_path) in done.err
    assert (tmp_path / "diary.txt").read_text() == "mine"

    few = run("generate", "--days", 1, "--users", 5, "--out", tmp_path / "new", "--home", tmp_path / "home")
    assert few.code == 1
    assert "users must be from 50 to 2000000, not 5" in few.err
