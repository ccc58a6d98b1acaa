"""Every query file gives the same rows on DuckDB and on ClickHouse, from the same events and stored tables."""

import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from importlib.resources import files

import pytest

from analytics_platform.metrics.events import EVENT_TABLES
from analytics_platform.queries import Query
from analytics_platform_tests.clickhouse_service import ClickHouse as Server
from analytics_platform_tests.metrics.product import Events
from analytics_platform_tests.queries import cases, foreign
from analytics_platform_tests.queries.clickhouse import ClickHouse
from analytics_platform_tests.queries.duck import DuckDB, Row
from analytics_platform_tests.queries.foreign import Foreign
from analytics_platform_tests.services import absent

HERE, SERVER, OTHERS = "in this process", "over HTTP", "events of other programs"


@dataclass
class Reference:
    """DuckDB with the rows of the cases, and what it has answered."""

    engine: DuckDB
    events: Events
    stored: Mapping[str, list[dict[str, object]]]
    answers: dict[str, list[list[Row]]] = field(default_factory=dict)

    def answered(self, name: str, questions: Sequence[Query]) -> list[list[Row]]:
        """Its answers to all questions of a query file, asked once."""
        if name not in self.answers:
            self.answers[name] = [self.engine.rows(query) for query in questions]
        return self.answers[name]


@dataclass(frozen=True)
class Engines:
    """Two engines that hold the same rows."""

    duckdb: Reference
    clickhouse: ClickHouse


@contextmanager
def _reference(events: Events) -> Iterator[Reference]:
    with DuckDB(cases.TABLES) as duckdb:
        for table in EVENT_TABLES:
            duckdb.put(f"events.{table.name}", events.of(table))
        stored = cases.stored(duckdb)
        for name, rows in stored.items():
            if name.endswith("_days"):
                duckdb.put(name, rows)
        yield Reference(duckdb, events, stored)


@pytest.fixture(scope="module")
def reference() -> Iterator[Reference]:
    with _reference(cases.events()) as found:
        yield found


@pytest.fixture(scope="module", params=[HERE, SERVER, OTHERS])
def engines(request: pytest.FixtureRequest) -> Iterator[Engines]:
    with ExitStack() as stack:
        url, others = None, None
        if request.param == HERE:
            if importlib.util.find_spec("chdb") is None:
                absent("ClickHouse's embedded engine not installed (pip install chdb)")
        else:
            server: Server = request.getfixturevalue("clickhouse_process")
            server.renew()
            url = server.empty_database("contract")
            others = Foreign(server.name("product")) if request.param == OTHERS else None
        if others:
            events = cases.events()
            whole = replace(events, feed=foreign.seconds(events.feed), messages=foreign.seconds(events.messages))
            duckdb = stack.enter_context(_reference(whole))
        else:
            duckdb = request.getfixturevalue("reference")
        clickhouse = stack.enter_context(ClickHouse(cases.TABLES, url, others))
        for table in EVENT_TABLES:
            clickhouse.put(f"events.{table.name}", duckdb.events.of(table))
        for name, rows in duckdb.stored.items():
            clickhouse.put(name, rows)
        yield Engines(duckdb, clickhouse)


def test_every_query_file_is_in_the_contract() -> None:
    names = {
        f.name.removesuffix(".sql") for f in files("analytics_platform.queries").iterdir() if f.name.endswith("sql")
    }
    # A text of its own for ClickHouse stands beside the standard one and is asked the same.
    assert {name.removesuffix(".clickhouse") for name in names} == set(cases.CASES)


@pytest.mark.parametrize("name", sorted(cases.CASES))
def test_both_engines_give_the_same_rows(engines: Engines, name: str) -> None:
    answered = 0
    questions = cases.CASES[name]()
    for query, known in zip(questions, engines.duckdb.answered(name, questions), strict=True):
        assert query.name == name
        answers = known, engines.clickhouse.rows(query)
        expected, found = answers if name in cases.ORDERED else (sorted(rows, key=_key) for rows in answers)
        answered += len(expected)
        for k, (left, right) in enumerate(zip(expected, found, strict=False)):
            assert _exact(right) == _exact(left), f"{name}, row {k} of {dict(query.params)}"
        assert len(found) == len(expected), f"{name}: {dict(query.params)}"
        assert not found or list(found[0]) == list(expected[0]), f"{name}: names of columns"
    assert answered, f"{name}: no question had an answer"


def test_the_events_are_the_same_in_both(engines: Engines) -> None:
    for table in EVENT_TABLES:
        columns = ", ".join(c.name for c in table.columns)
        query = Query("events", f"SELECT {columns} FROM events.{table.name}")
        left, right = (sorted(e.rows(query), key=_key) for e in (engines.duckdb.engine, engines.clickhouse))
        assert [_exact(r) for r in left] == [_exact(r) for r in right]


def _exact(row: Mapping[str, object]) -> list[tuple[str, str, object]]:
    """Names, types and values: 25 is not 25.0, and a missing value is not 0."""
    return [(name, type(value).__name__, value) for name, value in row.items()]


def _key(row: Mapping[str, object]) -> str:
    return repr(_exact(row))
