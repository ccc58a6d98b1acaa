"""Every query file gives the same rows on DuckDB and on ClickHouse, from the same events and stored tables."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.resources import files

import pytest

from analytics_platform.metrics.events import EVENT_TABLES
from analytics_platform.queries import Query
from analytics_platform_tests.clickhouse_service import ClickHouse as Server
from analytics_platform_tests.queries import cases, foreign
from analytics_platform_tests.queries.clickhouse import ClickHouse
from analytics_platform_tests.queries.duck import DuckDB
from analytics_platform_tests.queries.foreign import Foreign

OWN, OTHERS = "own events", "events of other programs"


@dataclass(frozen=True)
class Engines:
    """Two engines that hold the same rows; `others`: the second has some events in another program's tables."""

    duckdb: DuckDB
    clickhouse: ClickHouse
    others: Foreign | None

    def differ_in(self, query: Query) -> bool:
        """Whether what it reads lies elsewhere than usual; without `others`, everything counts as that."""
        return self.others is None or any(f"events.{table}" in query.sql for table in self.others.tables)


@pytest.fixture(scope="module", params=[OWN, OTHERS])
def engines(request: pytest.FixtureRequest, clickhouse_process: Server) -> Iterator[Engines]:
    clickhouse_process.renew()
    url, events, others = clickhouse_process.empty_database("contract"), cases.events(), None
    if request.param == OTHERS:
        others = Foreign(clickhouse_process.name("product"))
        events = replace(events, feed=foreign.seconds(events.feed), messages=foreign.seconds(events.messages))
    with DuckDB(cases.TABLES) as duckdb, ClickHouse(cases.TABLES, url, others) as clickhouse:
        for table in EVENT_TABLES:
            for engine in (duckdb, clickhouse):
                engine.put(f"events.{table.name}", events.of(table))
        for name, rows in cases.stored(duckdb).items():
            if name.endswith("_days"):  # the rest, DuckDB computed itself
                duckdb.put(name, rows)
            clickhouse.put(name, rows)
        yield Engines(duckdb, clickhouse, others)


def test_every_query_file_is_in_the_contract() -> None:
    names = {
        f.name.removesuffix(".sql") for f in files("analytics_platform.queries").iterdir() if f.name.endswith("sql")
    }
    # A text of its own for ClickHouse stands beside the standard one and is asked the same.
    assert {name.removesuffix(".clickhouse") for name in names} == set(cases.CASES)


@pytest.mark.parametrize("name", sorted(cases.CASES))
def test_both_engines_give_the_same_rows(engines: Engines, name: str) -> None:
    answered = 0
    # What reads none of another program's tables is the same statement over the same tables as with our own events.
    questions = [query for query in cases.CASES[name]() if engines.differ_in(query)]
    for query in questions:
        assert query.name == name
        answers = engines.duckdb.rows(query), engines.clickhouse.rows(query)
        expected, found = answers if name in cases.ORDERED else (sorted(rows, key=_key) for rows in answers)
        answered += len(expected)
        for k, (left, right) in enumerate(zip(expected, found, strict=False)):
            assert _exact(right) == _exact(left), f"{name}, row {k} of {dict(query.params)}"
        assert len(found) == len(expected), f"{name}: {dict(query.params)}"
        assert not found or list(found[0]) == list(expected[0]), f"{name}: names of columns"
    assert answered or (engines.others and not questions), f"{name}: no question had an answer"


def test_the_events_are_the_same_in_both(engines: Engines) -> None:
    for table in EVENT_TABLES:
        columns = ", ".join(c.name for c in table.columns)
        query = Query("events", f"SELECT {columns} FROM events.{table.name}")
        left, right = (sorted(e.rows(query), key=_key) for e in (engines.duckdb, engines.clickhouse))
        assert [_exact(r) for r in left] == [_exact(r) for r in right]


def _exact(row: Mapping[str, object]) -> list[tuple[str, str, object]]:
    """Names, types and values: 25 is not 25.0, and a missing value is not 0."""
    return [(name, type(value).__name__, value) for name, value in row.items()]


def _key(row: Mapping[str, object]) -> str:
    return repr(_exact(row))
