"""What rankings are counted from: the statement against plain Python, on DuckDB and on ClickHouse."""

import importlib.util
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from analytics_platform.queries import Query
from analytics_platform.rankings.counting import ranking_query
from analytics_platform.rankings.plan import MOST_SLICES, Mode, Plan
from analytics_platform_tests.queries.clickhouse import ClickHouse
from analytics_platform_tests.queries.duck import DuckDB
from analytics_platform_tests.rankings.crooked import HOUR, MOMENT, event, events
from analytics_platform_tests.rankings.oracle import Event, Key, counted
from analytics_platform_tests.services import absent

AS_OF = datetime.fromisoformat("2026-03-29 02:00")
DAY = timedelta(days=1)
# A borderline of each kind is a few events away from 3 persons.
PLANS = (
    Plan(min_audience=3),
    Plan(min_audience=3, mode=Mode.COMPAT),
    Plan(min_audience=1, decay_days=0.25),
    Plan(min_audience=1_000),
    Plan(min_audience=2, recent=HOUR, previous=HOUR),
    Plan(min_audience=2, recent=2 * HOUR, previous=60 * HOUR, mode=Mode.COMPAT),
    Plan(min_audience=4, weights={"video_view": -1.0, "video_share": 0.0000005, "never": 3.0}),
)


class Engine:
    """Either engine, with events of one test alone."""

    def __init__(self, own: DuckDB | ClickHouse) -> None:
        self.own = own

    def put(self, events: Collection[Event]) -> None:
        if isinstance(self.own, DuckDB):
            self.own.clear()
        else:
            database = self.own.warehouse.layout.database
            self.own.warehouse.server.command(f"TRUNCATE TABLE {database}.user_events", name="clear")
        if events:
            self.own.put("events.user_events", [{"event_id": k, **event} for k, event in enumerate(events)])

    def found(self, query: Query) -> dict[Key, dict[str, Any]]:
        rows = self.own.rows(query)
        found = {}
        for row in rows:
            kind, ranked_by, name, member = (row.pop(column) for column in ("kind", "ranked_by", "name", "member"))
            found[str(kind), str(ranked_by), str(name), None if member is None else str(member)] = row
        assert len(found) == len(rows), "a row came twice"
        return found


@pytest.fixture(scope="module", params=["duckdb", "clickhouse"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    if request.param == "duckdb":
        with DuckDB(()) as duckdb:
            yield Engine(duckdb)
        return
    if importlib.util.find_spec("chdb") is None:
        absent("ClickHouse's embedded engine not installed (pip install chdb)")
    with ClickHouse(()) as clickhouse:
        yield Engine(clickhouse)


def same(found: Mapping[Key, object], expected: Mapping[Key, object]) -> None:
    """Told by the first few rows that are not."""
    assert set(found) == set(expected)
    wrong = {key: (found[key], expected[key]) for key in expected if found[key] != expected[key]}
    assert not dict(list(wrong.items())[:3])


@pytest.mark.parametrize("seed", range(2))
def test_every_figure_is_that_of_plain_python(engine: Engine, seed: int) -> None:
    made = events(seed, AS_OF)
    engine.put(made)
    for plan in PLANS:
        expected = counted(made, plan, AS_OF)
        assert {key[0] for key in expected} == {"group", "video", "type", "country", "odd"}
        same(engine.found(ranking_query(plan, AS_OF)), expected)


def test_an_empty_table_gives_no_rows(engine: Engine) -> None:
    engine.put([])
    assert engine.found(ranking_query(Plan(), AS_OF)) == {}


def test_windows_are_half_open(engine: Engine) -> None:
    hours = (0, 24, 48, 72)
    engine.put([event(AS_OF - k * HOUR + n * MOMENT) for k in hours for n in (-1, 0)])
    whole = engine.found(ranking_query(Plan(), AS_OF))["group", "country", "Mali", None]
    assert (whole["events_recent"], whole["events_previous"]) == (2, 4)
    assert (whole["users_previous"], whole["audience_previous"], whole["audience_squares"]) == (1, 2, 2)


def test_ids_of_users_and_of_sessions_never_mix_and_the_nameless_are_one(engine: Engine) -> None:
    who: Sequence[Mapping[str, object]] = (
        {"user_id": "1", "session_id": "9"},
        {"user_id": None, "session_id": "1"},
        {"user_id": "", "session_id": "1"},
        {"user_id": None, "session_id": None},
        {"user_id": "", "session_id": ""},
    )
    engine.put([event(AS_OF - HOUR, **one) for one in who])
    assert engine.found(ranking_query(Plan(), AS_OF))["group", "country", "Mali", None]["users_recent"] == 3


def test_ages_count_from_the_window_s_end_or_all_from_now(engine: Engine) -> None:
    engine.put([event(AS_OF - n * DAY) for n in (1, 2)])
    key = ("group", "country", "Mali", None)
    normalised, compat = (engine.found(ranking_query(Plan(mode=m), AS_OF))[key] for m in (Mode.NORMALISED, Mode.COMPAT))
    assert (normalised["score_recent"], normalised["score_previous"]) == (367_879, 367_879)
    assert (compat["score_recent"], compat["score_previous"]) == (367_879, 135_335)


def test_of_equal_scores_the_smaller_ids_come_first(engine: Engine) -> None:
    engine.put([event(AS_OF - HOUR, video_id=f"v{n:02d}", user_id=str(n)) for n in range(40)])
    found = engine.found(ranking_query(Plan(), AS_OF))
    assert sorted(str(key[3]) for key in found if key[:2] == ("video", "country")) == [f"v{n:02d}" for n in range(10)]
    assert sorted(str(key[3]) for key in found if key[:2] == ("video", "category")) == [f"v{n:02d}" for n in range(5)]


def test_a_video_in_several_categories_and_countries_has_each_person_once(engine: Engine) -> None:
    places = [(country, category) for country in ("Mali", "Togo") for category in ("art", "music")]
    engine.put([event(AS_OF - HOUR, video_id="v", country=a, category=b) for a, b in places for _ in range(3)])
    found = engine.found(ranking_query(Plan(min_audience=1), AS_OF))
    for by, names in (("country", ("Mali", "Togo")), ("category", ("art", "music"))):
        for name in names:
            assert found["video", by, name, "v"]["users_recent"] == 1
            assert found["video", by, name, "v"]["events_recent"] == 6
            assert found["group", by, name, None]["users_recent"] == 1


def test_somebody_who_watched_in_two_countries_is_one_person_of_the_only_category(engine: Engine) -> None:
    both = [
        ("anna", "Mali", 50),
        ("anna", "Togo", 50),
        ("anna", "Togo", 30),
        ("boris", "Mali", 50),
        ("boris", "Mali", 1),
    ]
    engine.put(
        [
            event(AS_OF - hours * HOUR, video_id="v", category="art", user_id=user, country=country)
            for user, country, hours in both
        ]
    )
    found = engine.found(ranking_query(Plan(min_audience=1), AS_OF))
    in_all, in_mali = found["video", "category", "art", "v"], found["video", "country", "Mali", "v"]
    # The two days before are slices of their own: anna and boris in the first, anna in the second.
    previous = ("users_recent", "users_previous", "audience_previous", "audience_squares")
    assert [in_all[name] for name in previous] == [1, 2, 3, 5]
    assert [in_mali[name] for name in previous] == [1, 2, 2, 4]
    assert [found["video", "country", "Togo", "v"][name] for name in previous] == [0, 1, 2, 2]


def test_every_column_but_the_names_is_a_whole_number_of_64_bits(engine: Engine) -> None:
    engine.put(events(9, AS_OF))
    query = ranking_query(Plan(min_audience=2), AS_OF)
    if isinstance(engine.own, ClickHouse):
        kinds = [str(field.type) for field in engine.own.warehouse.table(query).schema]
        assert kinds == ["string"] * 4 + ["int64"] * 11
    else:
        described = Query("described", f"DESCRIBE {query.sql}", query.params)
        assert [row["column_type"] for row in engine.own.rows(described)] == ["VARCHAR"] * 4 + ["BIGINT"] * 11


def test_the_moment_may_be_of_any_zone() -> None:
    aware = AS_OF.replace(tzinfo=UTC).astimezone(timezone(timedelta(hours=5)))
    assert ranking_query(Plan(), aware) == ranking_query(Plan(), AS_OF)


def test_more_slices_than_a_number_has_bits_are_refused_with_the_most_there_may_be() -> None:
    ranking_query(Plan(recent=HOUR, previous=MOST_SLICES * HOUR), AS_OF)
    with pytest.raises(ValueError, match="61 times are the most"):
        Plan(recent=HOUR, previous=(MOST_SLICES + 1) * HOUR)
