"""`load` and `generate`: all or nothing, what a bad row says, START_DATE, and what may be mixed."""

import gzip
import json
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


# -------------------------------------------------------- videos and visits

VIDEOS = (
    "event_id,event_type,timestamp,user_id,session_id,pays,id_categorie,video_id\n"
    "1,video_view,2024-03-01 10:00:00,u1,s1,Mali,sport,v1\n"
    "2,video_view,2024-03-01 11:00:00,,s2,Mali,sport,v1\n"
    "3,video_rewind,2024-03-02 10:00:00,u1,s3,,sport,v1\n"
)


def visits(*created: str) -> str:
    """One visitor of one site, who opened a page at each of these times."""
    events = [{"request_id": f"r{k}", "created": time, "type": "page"} for k, time in enumerate(created)]
    return json.dumps({"id": "a", "name": "b", "properties": {"site": {"visitors": {"v": {"events": events}}}}})


def test_videos_and_visits_are_loaded_with_the_others(run: Run, files: Path) -> None:
    home = files / "home"
    (files / "videos.csv").write_text(VIDEOS, "utf-8")
    (files / "events.json.gz").write_bytes(gzip.compress(visits("2024-03-02T08:00:00+09:00").encode()))
    tables = ("--feed", files / "feed.csv", "--videos", files / "videos.csv", "--visits", files / "events.json.gz")
    done = run("load", *tables, "--home", home)
    assert done.code == 0, done.err
    assert "feed_actions: 84 rows from 1 file, 2024-03-01 to 2024-03-02" in done.out
    assert "user_events: 3 rows from 1 file, 2024-03-01 to 2024-03-02" in done.out
    assert "  event types: video_view 2, video_rewind 1" in done.out
    assert "page_events: 1 row from 1 file, 2024-03-01 to 2024-03-01" in done.out
    assert "  event types without a weight: video_rewind 1\n" in done.err
    assert "write page_events: done" in done.err


def test_event_types_with_a_weight_of_ones_own_are_not_told(
    run: Run, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (files / "videos.csv").write_text(VIDEOS, "utf-8")
    monkeypatch.setenv("RANKING_WEIGHTS", "video_rewind=0.5")
    done = run("load", "--videos", files / "videos.csv", "--home", files / "home")
    assert (done.code, "without a weight" in done.err) == (0, False)


def test_a_bad_visit_names_its_place_and_no_table_is_written(run: Run, files: Path) -> None:
    home = files / "home"
    (files / "events.json").write_text(visits("2024-03-02T08:00:00+09:00", "soon"), "utf-8")
    words = ("load", "--feed", files / "feed.csv", "--visits", files / "events.json", "--home", home)
    done = run(*words)
    assert (done.code, done.out) == (1, "")
    assert f"{files / 'events.json'}, property site, visitor v, event 2, column created: 'soon' is not a" in done.err
    assert events(run, home)[0].endswith("is empty")

    skipped = run(*words, "--on-error", "skip")
    assert skipped.code == 0
    assert "page_events: 1 row from 1 file" in skipped.out
    rejected = home / "rejected_page_events.csv"
    assert f"1 row rejected: see {rejected}" in skipped.err
    assert "2,created,soon," in rejected.read_text("utf-8")


def test_flat_visits_are_loaded_too_but_not_both_forms_at_once(run: Run, files: Path) -> None:
    (files / "flat.csv").write_text("request_id,visitor,created\n9,v,2024-03-02 08:00:00\n", "utf-8")
    (files / "events.json").write_text(visits("2024-03-02T08:00:00Z"), "utf-8")
    done = run("load", "--visits", files / "flat.csv", "--home", files / "home")
    assert "page_events: 1 row from 1 file, 2024-03-02 to 2024-03-02" in done.out
    both = run("load", "--visits", files / "flat.csv", "--visits", files / "events.json", "--home", files / "home")
    assert (both.code, both.out) == (1, "")
    assert "events.json is nested JSON and " in both.err


def test_a_load_names_files_of_some_table(run: Run, tmp_path: Path) -> None:
    done = run("load", "--home", tmp_path / "home")
    assert done.code == 2
    assert "--feed, --messages, --videos or --visits" in done.err


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
    videos, pages = done.out.splitlines()[1].split(";")[0].split(" video events and ")
    assert done.out.endswith(f"; planted trends in {out / 'trending.csv'}\n")
    more = run("load", "--videos", out / "user_events", "--visits", out / "visits.json", "--home", home)
    assert more.code == 0
    assert f"user_events: {videos} rows from 2 files" in more.out
    assert f"page_events: {pages.split(' ')[0]} rows from 1 file" in more.out
    assert "without a weight" not in more.err


def test_generate_refuses_a_folder_with_other_files_and_bad_numbers(run: Run, tmp_path: Path) -> None:
    (tmp_path / "diary.txt").write_text("mine")
    done = run("generate", "--days", 1, "--users", 60, "--out", tmp_path, "--home", tmp_path / "home")
    assert (done.code, done.out) == (1, "")
    assert str(tmp_path) in done.err
    assert (tmp_path / "diary.txt").read_text() == "mine"

    few = run("generate", "--days", 1, "--users", 5, "--out", tmp_path / "new", "--home", tmp_path / "home")
    assert few.code == 1
    assert "users must be from 50 to 2000000, not 5" in few.err
