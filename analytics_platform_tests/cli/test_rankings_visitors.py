"""`rankings` and `visitors`: what they print to people and programs, what they store, what they refuse."""

import csv
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from analytics_platform.cli.console import JobError
from analytics_platform.cli.context import Context
from analytics_platform.cli.rankings import became_of
from analytics_platform.queries import compose
from analytics_platform.settings import Home, Settings
from analytics_platform.warehouses.duckdb import DuckDBWarehouse
from analytics_platform_tests.cli.conftest import Run, aside, table
from analytics_platform_tests.defs.videos import load_pages, load_videos, page, views

END = datetime(2026, 3, 4, 12)  # noqa: DTZ001 - naive UTC, as the warehouse stores it


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with video events until noon of 4 March 2026, and page events of that morning."""
    home = Home(tmp_path_factory.mktemp("ranked") / "home")
    warehouse = DuckDBWarehouse(home.events, home.results, home.scratch)
    doubled = views(END, {0: 160, 1: 40, 2: 40}, country="Côte d'Ivoire", video="v2")
    # So little older than those of the days before that no digit which is shown tells.
    steady = [*views(END - timedelta(seconds=30), {0: 40}), *views(END, {1: 40, 2: 40})]
    [unknown] = views(END, {2: 1})
    load_videos(warehouse, [*steady, *doubled, unknown | {"event_type": "video_hug"}])
    load_pages(
        warehouse,
        [
            page("r1", "anna", END - timedelta(hours=2)),
            page("r2", "anna", END - timedelta(hours=1), "/en/about"),
            page("r3", "boris", END - timedelta(minutes=30), "/"),
        ],
    )
    home.settings_file.write_text("START_DATE=2026-03-01\n")
    return home.path


def test_a_ranking_is_printed_and_not_stored(run: Run, place: Path) -> None:
    done = run("rankings", "--as-of", "2026-03-04T12:00", "--by", "country", "--home", place)
    assert done.code == 0, done.err
    rows = table(done)
    assert [(row["name"], row["users"], row["trend"]) for row in rows[:2]] == [
        ("Côte d'Ivoire", "160", "↑"),
        ("Mali", "40", "→"),
    ]
    assert rows[1]["change_%"] == "0.0", "steady traffic"
    assert "event types without a weight score 0: video_hug 1 (RANKING_WEIGHTS)" in done.err
    assert "as of 2026-03-04 12:00 UTC: 200 events in 24 h, 361 with the window before; normalised" in done.out
    home = Home(place)
    warehouse = DuckDBWarehouse(home.events, home.results, home.scratch)
    assert warehouse.rows(compose("rankings_as_of")) == [{"as_of": None}]


def test_the_documents_are_those_of_redis(run: Run, place: Path) -> None:
    done = run("rankings", "--as-of", "2026-03-04T12:00", "--json", "--home", place)
    found = json.loads(done.out)
    assert len(found) == 5
    assert list(found["analytics_popularity_by_country"]) == ["Côte d'Ivoire", "Mali"]
    assert "Côte" in done.out, "not escaped"
    only = run("rankings", "--as-of", "2026-03-04T12:00", "--json", "--by", "country", "--home", place)
    assert list(json.loads(only.out)) == ["analytics_popularity_by_country", "analytics_trending_by_country"]
    assert "video_hug 1" in only.err, "the metadata, which say so, are not among them"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("rankings", "--as-of", "soon"), 2, "--as-of 'soon' is no moment"),
        (("rankings", "--as-of", "0001-01-01T00:00Z"), 2, "is outside the years 1970 to 2261"),
        (("rankings", "--as-of", "2199-01-01"), 1, "is not over yet: name a moment before now"),
        (("rankings", "--as-of", "2025-01-01"), 1, "the ranking before stays"),
        (("rankings", "--by", "city"), 2, "city"),
        (("visitors",), 2, "give --last-minutes N, or --from A and --to B"),
        (("visitors", "--from", "2026-03-04"), 2, "give both --from A and --to B"),
        (("visitors", "--last-minutes", "5", "--from", "2026-03-04"), 2, "give --last-minutes N, or"),
        (("visitors", "--from", "2026-03-05", "--to", "2026-03-04"), 1, "not after its start"),
        (("visitors", "--from", "monday", "--to", "2026-03-04"), 1, "'monday' is no moment"),
    ],
)
def test_refusals_are_one_sentence(run: Run, place: Path, words: tuple[str, ...], code: int, said: str) -> None:
    done = run(*words, "--home", place)
    assert done.code == code
    assert said in " ".join(done.err.replace("│", " ").split())


def test_publishing_stores_the_ranking_of_its_day(place: Path, tmp_path: Path) -> None:
    done = aside(tmp_path, "rankings", "--as-of", "2026-03-04T12:00", "--publish", "--home", place)
    assert done.code == 0, done.err
    assert "stored as the ranking of 2026-03-04; REDIS_URL is not set, so it is not published" in done.err
    home = Home(place)
    warehouse = DuckDBWarehouse(home.events, home.results, home.scratch)
    assert warehouse.rows(compose("rankings_as_of")) == [{"as_of": END}]


def test_a_ranking_that_is_stored_is_called_so_though_redis_cannot_be_asked(tmp_path: Path) -> None:
    away = Settings(redis_url=SecretStr("redis://:hidden-word@127.0.0.1:1/0"))
    with pytest.raises(JobError) as told:
        became_of(Context(Home(tmp_path), away, END.date()), END.replace(tzinfo=UTC))
    assert str(told.value) == (
        "the ranking of 2026-03-04 is stored, but what Redis has is not known: nobody listens at 127.0.0.1:1: start "
        "Redis, or check host and port in REDIS_URL"
    )


def test_visitors_are_printed_and_stored(run: Run, place: Path, tmp_path: Path) -> None:
    window = ("--from", "2026-03-04T10:00", "--to", "2026-03-04T11:30:00")
    done = run("visitors", *window, "--home", place)
    assert done.code == 0, done.err
    rows = table(done)
    assert [(row["visitor"], row["events"], row["entry"]) for row in rows[:1]] == [("anna", "2", "/en/")]
    assert done.out.rstrip().endswith("1 visitor, 2 events from 2026-03-04 10:00 to 2026-03-04 11:30 UTC")
    target = tmp_path / "visitors.csv"
    assert run("visitors", *window, "--csv", target, "--home", place).out == f"1 visitor in {target}\n"
    with target.open(encoding="utf-8-sig", newline="") as stream:
        assert [row["visitor"] for row in csv.DictReader(stream)] == ["anna"]
    [one] = json.loads(run("visitors", *window, "--json", "--home", place).out)
    assert one["pages"] == ["/en/", "/en/about"]
    assert one["first_seen"] == "2026-03-04T10:00:00+00:00"


def test_none_is_an_answer(run: Run, place: Path) -> None:
    before = datetime.now(UTC)
    done = run("visitors", "--last-minutes", "5", "--home", place)
    assert done.code == 0
    moments = (before, datetime.now(UTC))  # midnight may be between them
    assert any(f"visitors from {moment - timedelta(minutes=5):%Y-%m-%d}" in done.out for moment in moments)
    assert ": none; the newest event known is of 2026-03-04 11:30" in done.out
    for_programs = run("visitors", "--last-minutes", "5", "--json", "--home", place)
    assert json.loads(for_programs.out) == []
    assert ": none; the newest event known is of 2026-03-04 11:30" in for_programs.err
