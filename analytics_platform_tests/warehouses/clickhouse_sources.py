"""Events as other programs keep them in ClickHouse, in every type that can hold them, and the same events as ours.

Belongs here: the kinds of tables, making and filling them. Does not: assertions.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from analytics_platform.metrics.events import METRIC_TABLES, UNKNOWN, EventTable
from analytics_platform.simulate.scenario import Scenario
from analytics_platform.warehouses.clickhouse_client import Server
from analytics_platform.warehouses.clickhouse_text import quoted
from analytics_platform_tests.metrics.product import Events, feed, message, simulated

ZONE = ZoneInfo("Europe/Berlin")
DAY = date(2026, 3, 29)  # 23 hours
FIRST = DAY - timedelta(days=2)
THEIRS = "theirs"

Row = dict[str, Any]
_WORDS = ("zero", "one", "two", "three", "four", "five")
_NUMBERS = ", ".join(f"'{word}' = {k}" for k, word in enumerate(_WORDS))


@dataclass(frozen=True)
class Kept:
    """How another program keeps the events: a type for each column of ours that it has.

    `names`: theirs for ours. `blank`: what stands where nothing is known in a text or a number of those types. `exact`:
    times are kept to the microsecond; otherwise to the second.
    """

    types: Mapping[str, str]
    names: Mapping[str, str] = field(default_factory=dict)
    blank: Mapping[str, object] = field(default_factory=dict)
    exact: bool = False

    def column(self, name: str) -> str:
        """Their name for a column of ours."""
        return self.names.get(name, name)

    def has(self, table: EventTable) -> list[str]:
        """The columns of ours that they have."""
        return [c.name for c in table.columns if c.name in self.types]

    def ours(self, rows: Iterable[Row]) -> list[Row]:
        """The rows as we are to read them."""
        return [{name: self._ours(name, value) for name, value in row.items()} for row in rows]

    def theirs(self, table: EventTable, row: Row) -> list[Any]:
        """A row as they have it."""
        return [self._theirs(name, self._ours(name, row[name])) for name in self.has(table)]

    def _ours(self, name: str, value: Any) -> Any:
        if isinstance(value, datetime):
            return value if self.exact else value.replace(microsecond=0)
        if name not in self.types:
            return UNKNOWN if name in ("country", "city", "os", "source") else None
        if value is None and name not in self.blank:
            return 0 if name != "age" else 31  # a type that knows no NULL: somebody wrote a number there
        return value

    def _theirs(self, name: str, value: Any) -> Any:
        if value in (None, UNKNOWN) and name in self.blank:
            return self.blank[name]
        if isinstance(value, datetime):
            return value.replace(tzinfo=UTC)
        kind = self.types[name]
        if "Decimal" in kind:
            return Decimal(value)
        if "Enum" in kind and isinstance(value, int):
            return _WORDS[value]
        if isinstance(value, int) and ("String" in kind or "Float" in kind or "Bool" in kind):
            return str(value) if "String" in kind else float(value) if "Float" in kind else bool(value)
        return value


_OS = "Enum8('' = 0, 'iOS' = 1, 'Android' = 2)"
_TEXTS = dict.fromkeys(("country", "city", "os", "source"), "")
_NULLS = dict.fromkeys(("country", "city", "os", "source", "gender", "age", "exp_group"), None)

KINDS: Mapping[str, Kept] = {
    "wide numbers, texts that are empty": Kept(
        {
            "user_id": "UInt64",
            "post_id": "Int64",
            "receiver_id": "UInt128",
            "action": "Enum8('view' = 1, 'like' = 2, 'share' = 3)",
            "time": "DateTime",
            "gender": "UInt8",
            "age": "Int32",
            "country": "LowCardinality(String)",
            "city": "String",
            "os": _OS,
            "source": "FixedString(8)",
            "exp_group": "UInt16",
        },
        blank=_TEXTS,
    ),
    "everything may be NULL": Kept(
        {
            "user_id": "Nullable(Int64)",
            "post_id": "Nullable(UInt32)",
            "receiver_id": "Nullable(UInt64)",
            "action": "LowCardinality(Nullable(String))",
            "time": "DateTime64(3)",
            "gender": "Nullable(UInt8)",
            "age": "Nullable(Decimal(6, 2))",
            "country": "Nullable(String)",
            "city": "Nullable(FixedString(32))",
            "os": "LowCardinality(Nullable(String))",
            "source": "Nullable(Enum8('ads' = 1, 'organic' = 2))",
            "exp_group": "Nullable(Float64)",
        },
        names={"receiver_id": "reciever_id"},
        blank=_NULLS,
    ),
    "numbers as texts, a zone of half hours": Kept(
        {
            "user_id": "UInt32",
            "post_id": "UInt256",
            "receiver_id": "UInt32",
            "action": "FixedString(5)",
            "time": "DateTime64(9, 'Asia/Kolkata')",
            "gender": "String",
            "age": "FixedString(3)",
            "country": "LowCardinality(FixedString(64))",
            "city": "LowCardinality(String)",
            "os": "Nullable(String)",
            "source": "LowCardinality(Nullable(FixedString(16)))",
            "exp_group": "LowCardinality(String)",
        },
        names={"time": "when", "user_id": "select", "country": "it's `odd`"},
        blank={**_NULLS, "gender": "", "age": "", "country": "", "city": "", "exp_group": ""},
        exact=True,
    ),
    "half of the columns, Moscow time": Kept(
        {
            "user_id": "Int64",
            "post_id": "UInt32",
            "receiver_id": "UInt32",
            "action": "String",
            "time": "DateTime('Europe/Moscow')",
            "gender": f"Enum8({_NUMBERS})",
            "age": "Int16",
            "os": "String",
            "exp_group": f"Nullable(Enum16({_NUMBERS}))",
        },
        names={"action": "kind"},
        blank={"os": "", "exp_group": None},
    ),
    "as we would keep them": Kept(
        {
            "user_id": "UInt32",
            "post_id": "UInt32",
            "receiver_id": "UInt32",
            "action": "LowCardinality(String)",
            "time": "DateTime64(6, 'UTC')",
            "gender": "Bool",
            "age": "Nullable(Int16)",
            "country": "LowCardinality(String)",
            "city": "String",
            "os": "String",
            "source": "String",
            "exp_group": "Nullable(UInt64)",
        },
        blank={**_TEXTS, "age": None, "exp_group": None},
        exact=True,
    ),
}


def some_events() -> Events:
    """A few days around a day of 23 hours, and rows in which engines differ most easily."""
    found = simulated(Scenario(FIRST, 4, 60, 6, ZONE))
    noon, moment = datetime.fromisoformat("2026-03-29 10:00"), timedelta(microseconds=1)
    found.feed.extend(
        (
            feed(4_294_967_295, noon, post=4_294_967_295, age=0, country="Côte d’Ivoire", city="😀"),
            feed(901, noon, gender=None, age=None, country=UNKNOWN, os=UNKNOWN, source=UNKNOWN, exp_group=None),
            feed(902, noon + moment, "share", city=UNKNOWN),
            # The first and last moments of the day, and of the hours of half an hour's zones.
            *(feed(910 + n, datetime.fromisoformat("2026-03-28 23:00") + n * moment) for n in (-1, 0)),
            *(feed(920 + n, datetime.fromisoformat("2026-03-29 22:00") + n * moment) for n in (-1, 0)),
            *(feed(930 + n, datetime.fromisoformat("2026-03-29 10:30") + n * moment) for n in (-1, 0)),
        )
    )
    found.messages.extend(
        (
            *(message(901, n, noon + (n - 901) * moment, gender=None, os=UNKNOWN) for n in range(899, 904)),
            message(903, 4_294_967_295, noon, exp_group=None),
        )
    )
    return found


def make(server: Server, kept: Kept, names: Mapping[str, str], database: str = THEIRS, granularity: int = 8192) -> None:
    """Empty tables of that kind; `names`: theirs for our tables."""
    for table in METRIC_TABLES:
        place = f"{quoted(database)}.{quoted(names.get(table.name, table.name))}"
        body = ", ".join(f"{quoted(kept.column(name))} {kept.types[name]}" for name in kept.has(table))
        server.command(f"DROP TABLE IF EXISTS {place}", name="drop")
        time = quoted(kept.column("time"))
        server.command(
            f"CREATE TABLE {place} ({body}) ENGINE = MergeTree ORDER BY ({time}) "
            f"SETTINGS index_granularity = {granularity}",
            name="create",
        )


def fill(server: Server, kept: Kept, names: Mapping[str, str], events: Events, database: str = THEIRS) -> None:
    """Add those events."""
    for table in METRIC_TABLES:
        columns = kept.has(table)
        server.insert_rows(
            quoted(database),
            quoted(names.get(table.name, table.name)),
            {kept.column(name): kept.types[name] for name in columns},
            [kept.theirs(table, row) for row in events.of(table)],
            name="fill",
        )


def mapping(kept: Kept, names: Mapping[str, str]) -> dict[str, str]:
    """EVENTS_MAPPING for tables of that kind: only what has another name there."""
    found = dict(names)
    for table in METRIC_TABLES:
        for column in table.columns:
            theirs = kept.column(column.name)
            if column.name in kept.types and theirs not in (column.name, *column.aliases):
                found[f"{table.name}.{column.name}"] = theirs
    return found
