"""ClickHouse as the warehouse: results in one database, events there or wherever other programs keep them.

Belongs here: the port on a server: what a statement reads, where a day is computed, the ledgers. Does not: the
connection (`clickhouse_client.py`), DDL (`clickhouse_schema.py`), other programs' events (`clickhouse_events.py`,
`clickhouse_found.py`), loading (`clickhouse_load.py`), moving a computed day in (`clickhouse_exchange.py`).

There are no transactions. A day is computed into a table of its own and then moved in as a partition, which readers see
whole or not at all. The ledger is told before that the day is on its way (computed, but not current) and after that it
is there: killed between any two steps, a day is old, new, or to be computed again, and never new but called old.
"""

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import uuid4
from zoneinfo import ZoneInfo

from analytics_platform.metrics.events import EventTable, Kind, arrow_schema
from analytics_platform.metrics.tables import STANDARD_TABLES, ResultTable, result_schema
from analytics_platform.metrics.windows import Window
from analytics_platform.queries import Query
from analytics_platform.warehouses import clickhouse_found, clickhouse_load, clickhouse_watch, parts
from analytics_platform.warehouses import clickhouse_schema as schema
from analytics_platform.warehouses.base import Complaint, EventLoad, Loaded, Row, WarehouseError
from analytics_platform.warehouses.clickhouse_client import Server
from analytics_platform.warehouses.clickhouse_events import EventSource, Reading, bare, reading, selection
from analytics_platform.warehouses.clickhouse_exchange import exchange, exchange_part
from analytics_platform.warehouses.clickhouse_text import aware, plain, plain_table, quoted, statement, unquoted
from analytics_platform.warehouses.ledgered import Ledgered

if TYPE_CHECKING:
    import pyarrow as pa

_ABANDONED_HOURS = 48


@dataclass
class ClickHouseWarehouse(Ledgered):
    """Results in `layout.database` of `server`; events where `sources` (by our name) says.

    `basis` names the settings that results depend on (time zone, labels): days computed under another are not current.
    For `patience_seconds` a process waits for another one that stores a part of the same day.
    """

    server: Server
    layout: schema.Layout
    sources: Mapping[str, EventSource]
    basis: str = ""
    result_tables: tuple[ResultTable, ...] = STANDARD_TABLES
    patience_seconds: float = 10.0
    _places: dict[str, str] = field(default_factory=dict, init=False, repr=False)
    _empty: Mapping[str, Reading] = field(default_factory=dict, init=False, repr=False)
    _keys: dict[str, str] = field(default_factory=dict, init=False, repr=False)
    _turn: threading.RLock = field(default_factory=threading.RLock, init=False, repr=False)

    # ---------------------------------------------------------------- port

    @property
    def engine(self) -> str:
        """See the port."""
        return "clickhouse"

    @property
    def place(self) -> str:
        """See the port."""
        elsewhere = [str(s) for s in self.sources.values() if not s.own]
        events = f", events in {', '.join(elsewhere)}" if elsewhere else ""
        return f"ClickHouse at {self.server.address}, database {self.layout.database}{events}"

    def prepare(self) -> Sequence[str]:
        """See the port. Reads first: a prepared database needs no rights to change tables."""
        with self._turn:
            if self._places:
                return ()
            done: list[str] = []
            have = self._columns({(self.layout.database, name) for name in self._ours()})
            engines = self._engines()
            clickhouse_found.refuse_foreign(self.sources, have, engines)
            left = clickhouse_found.left_alone(self.sources, have, engines)
            for name, wanted, create in self._wanted():
                if name in left:
                    continue
                found = have.get((self.layout.database, name), {})
                if not found:
                    if not done:
                        self._ensure_database()
                    self.server.command(create, name=f"create_{name}")
                    done.append(f"table {name} created")
                for column, kind in wanted.items() if found else ():
                    if column not in found:
                        text = schema.add_column(self.layout, name, column, kind)
                        self.server.command(text, name=f"alter_{name}")
                        done.append(f"column {name}.{column} added")
                    elif bare(found[column])[0] != bare(kind.partition(" DEFAULT ")[0])[0]:
                        raise WarehouseError(
                            f"{self.layout.database}.{name}.{column} is {found[column]}, {kind} is needed: name "
                            "another database in WAREHOUSE_URL, or drop that table and compute its days again"
                        )
            done += self._keep_ttl(engines)
            self._drop_abandoned()
            self._find_places(left)
            return done

    def check(self) -> Sequence[Complaint]:
        """See the port."""
        complaints: list[Complaint] = []
        types = self._columns({(s.database, s.name) for s in self.sources.values()})
        left = clickhouse_found.left_alone(self.sources, types, self._engines())
        for name, source in self.sources.items():
            if source.own and (source.database, source.name) not in types:
                continue  # `prepare` makes it
            found = left.get(name) or reading(source, types.get((source.database, source.name), {}))
            complaints += found.complaints
            if found.columns and not any(c.fatal for c in found.complaints):
                text = f"SELECT * FROM {selection(source, found.columns)} LIMIT 0"
                try:
                    self.server.rows(text, name=f"check_{source.table.name}")
                except WarehouseError as error:
                    remedy = f"GRANT SELECT ON {source.named} TO {self.server.address.user}"
                    complaints.append(Complaint(str(error), remedy))
        return complaints

    def rows(self, query: Query) -> list[Row]:
        """See the port."""
        text, params = self._statement(query)
        try:
            found = self.server.rows(text, params, name=query.name)
        except WarehouseError:
            self._places = {}  # other programs may have changed their tables: the next statement looks anew
            raise
        return [{k: plain(v) for k, v in row.items()} for row in found]

    def table(self, query: Query) -> "pa.Table":
        """See the port."""
        return plain_table(self.server.table(*self._statement(query), name=query.name))

    def replace_day(self, table: ResultTable, day: date, query: Query, *, also: Query | None = None) -> int:
        """See the port. `also` is added first, in a statement of its own."""
        moment = self.now()
        columns = ", ".join(quoted(name) for name, _ in table.columns)
        with self.staged_for(table.name) as staged:
            self._insert(f"{staged} ({columns})", columns, query)
            if also:
                self._insert(f"{self._known_places()[f'results.{table.name}']} ({columns})", columns, also)
            return exchange(self, table, day, staged, moment)

    def load(
        self,
        loads: Sequence[EventLoad],
        zone: ZoneInfo,
        *,
        append: bool = False,
        progress: Callable[[str, int, int], None] | None = None,
    ) -> list[Loaded]:
        """See the port. Each day (UTC) of a table is exchanged at once; the tables and days follow one another."""
        for events in loads:
            source = self.sources[events.table.name]
            if not source.own:
                raise WarehouseError(
                    f"{events.table.name} is {source}, which other programs write: events are loaded only into our own "
                    "tables (no EVENTS_DATABASE, no EVENTS_MAPPING for it)"
                )
        if any(f"events.{events.table.name}" in self._empty for events in loads):
            self._places = {}  # somebody may have made room for it since
        self.prepare()
        for events in loads:
            if empty := self._empty.get(f"events.{events.table.name}"):
                raise WarehouseError("; ".join(f"{c.what} -> {c.remedy}" for c in empty.complaints))
        return clickhouse_load.load(self, loads, zone, append=append, progress=progress)

    def note_changes(self, first: date, last: date, zone: ZoneInfo) -> Collection[date]:
        """See the port. Counts events by day, and takes their latest `inserted_at` where EVENTS_MAPPING names it."""
        if first > last:
            return ()
        return clickhouse_watch.note_changes(self, first, last, zone)

    def event_batches(self, table: EventTable, window: Window) -> "Iterator[pa.RecordBatch]":
        """See the port."""
        wanted = arrow_schema(table)
        listed = ", ".join(
            f"toDateTime64({quoted(c.name)}, 6, 'UTC') AS {quoted(c.name)}" if c.kind is Kind.TIME else quoted(c.name)
            for c in table.columns
        )
        text = f"SELECT {listed} FROM (SELECT * FROM events.{table.name} WHERE time >= $start AND time < $end)"
        asked = Query(f"read_{table.name}", text, {"start": window.start, "end": window.end})
        for batch in self.server.batches(*self._statement(asked), name=asked.name):
            if batch.num_rows:
                yield batch.cast(wanted)

    def stored_rows(self, table: ResultTable, day: date) -> "pa.Table":
        """See the port."""
        wanted = result_schema(table)
        listed = ", ".join(quoted(n) for n in wanted.names)
        text = f"SELECT {listed} FROM results.{table.name} WHERE event_date = $day"
        asked = Query(f"read_{table.name}", text, {"day": day})
        return self.server.table(*self._statement(asked), name=asked.name).cast(wanted)

    def store_day(self, table: ResultTable, day: date, rows: "pa.Table") -> int:
        """See the port."""
        moment = self.now()
        self._allow_null(table, {name for name in rows.column_names if rows[name].null_count})
        with self.staged_for(table.name) as staged:
            if rows.num_rows:
                self.server.insert(self.layout.database, unquoted(staged), rows, name=f"store_{table.name}")
            return exchange(self, table, day, staged, moment)

    def store_part(self, table: ResultTable, day: date, part: parts.Part, rows: "pa.Table") -> int:
        """See the port."""
        of = parts.naive(table, part)
        parts.refuse_others(table, day, of, rows)
        if not of:
            return self.store_day(table, day, rows)
        moment = self.now()
        self._allow_null(table, {name for name in rows.column_names if rows[name].null_count})
        return exchange_part(self, table, day, of, rows=rows, moment=moment)

    # --------------------------------------------------- what its parts use

    def now(self) -> datetime:
        """The server's clock, naive UTC to the microsecond: ledgers of one server compare with themselves."""
        [row] = self.server.rows("SELECT now64(6, 'UTC') AS moment", name="now")
        moment = plain(row["moment"])
        if not isinstance(moment, datetime):
            raise WarehouseError(f"ClickHouse at {self.server.address} does not tell the time: {moment!r}")
        return moment

    def ledger(self, table: str, rows: Sequence[Mapping[str, object]]) -> None:
        """Add rows to a ledger in one insert; the newest of a key counts."""
        if rows:
            types = {name: schema.LEDGERS[table][name] for name in rows[0]}
            values = [[aware(row[name]) for name in types] for row in rows]
            self.server.insert_rows(self.layout.database, table, types, values, name=f"ledger_{table}")

    def events_place(self, name: str) -> str | None:
        """An event table, for statements; None for an optional one that cannot be read, which nothing else hangs on.

        Raises WarehouseError when another cannot be read.
        """
        place = f"events.{name}"
        if self.sources[name].table.optional and place not in self._known_places():
            self._places = {}  # somebody may mend it
            return None
        return self._statement(Query(f"watch_{name}", place))[0]

    @contextmanager
    def staged_for(self, name: str, what: str = "") -> Iterator[str]:
        """A table of the shape and key of our table `name`, gone at the end; its quoted name with the database.

        `what` of that table is collected there, as the comment says.
        """
        self.prepare()
        staged = f"{schema.STAGED}{name}_{uuid4().hex[:16]}"
        if name not in self._keys:  # the key of a table never changes
            self._keys.update(self._engines())
        text = schema.create_staging(self.layout, name, staged, self._keys[name], what)
        self.server.command(text, name=f"stage_{name}")
        place = f"{quoted(self.layout.database)}.{quoted(staged)}"
        try:
            yield place
        except BaseException:
            # The error at hand is the one to tell; what stays behind is dropped by a later `prepare`.
            with suppress(WarehouseError):
                self.server.command(f"DROP TABLE IF EXISTS {place}", name=f"unstage_{name}")
            raise
        self.server.command(f"DROP TABLE IF EXISTS {place}", name=f"unstage_{name}")

    # ------------------------------------------------------------ internals

    def _insert(self, target: str, columns: str, query: Query) -> None:
        text, params = self._statement(query)
        self.server.command(f"INSERT INTO {target} SELECT {columns} FROM ({text})", params, name=query.name)

    def _allow_null(self, table: ResultTable, columns: AbstractSet[str]) -> None:
        """Days that were computed elsewhere before a metric was known have none of it, which is not 0."""
        self.prepare()
        strict = {name: kind for name, kind in schema.result_columns(table).items() if "Nullable(" not in kind}
        place = (self.layout.database, table.name)
        have = self._columns({place})[place] if strict.keys() & columns else {}
        for name in have.keys() & strict.keys() & columns:
            if "Nullable(" not in have[name]:
                text = schema.allow_null(self.layout, table.name, name, strict[name])
                self.server.command(text, name=f"alter_{table.name}")

    def _statement(self, query: Query) -> tuple[str, dict[str, object]]:
        if any(name in query.sql for name in self._empty):
            self._places = {}  # another program may have made its table since
        try:
            return statement(query, self._known_places())
        except KeyError as error:
            complaints = [c for c in self.check() if c.fatal]
            self._places = {}  # somebody may mend it while this process lives; other threads keep what they hold
            said = "; ".join(f"{c.what} -> {c.remedy}" for c in complaints) or f"there is no table {error}"
            raise WarehouseError(f"query {query.name}: {said}") from None

    def _known_places(self) -> Mapping[str, str]:
        with self._turn:
            self.prepare()
            return self._places

    def _ours(self) -> list[str]:
        return [name for name, _, _ in self._wanted()]

    def _wanted(self) -> Iterator[tuple[str, Mapping[str, str], str]]:
        """Tables of ours: name, columns, the statement that makes it."""
        for name, columns in schema.wanted(self.result_tables).items():
            yield name, columns, schema.create_results(self.layout, name, columns)
        for source in self.sources.values():
            if source.own:
                made = schema.create_events(self.layout, source.table)
                yield source.name, schema.event_columns(source.table), made

    def _columns(self, tables: Collection[tuple[str, str]]) -> dict[tuple[str, str], dict[str, str]]:
        return clickhouse_found.columns(self.server, tables)

    def _find_places(self, left: Mapping[str, Reading]) -> None:
        """`left`: see `clickhouse_found.left_alone`."""
        database = quoted(self.layout.database)
        places = {f"results.{t.name}": f"{database}.{quoted(t.name)}" for t in self.result_tables}
        for ledger, prefix in ((schema.COMPUTED, "results"), (schema.LOADED, "events")):
            # Less than no rows: the day is computed for the first time just now.
            shown = " AND ".join(("rows >= 0", *self.layout.kept(ledger)))
            places[f"{prefix}.{ledger}"] = f"(SELECT * FROM {database}.{quoted(ledger)} FINAL WHERE {shown})"
        types = self._columns({(s.database, s.name) for s in self.sources.values()})
        empty: dict[str, Reading] = {}
        for name, source in self.sources.items():
            found = left.get(name) or reading(source, types.get((source.database, source.name), {}))
            if source.own and name not in left:
                places[f"events.{name}"] = source.place
            elif not any(c.fatal for c in found.complaints):
                places[f"events.{name}"] = selection(source, found.columns)
                empty |= {} if found.columns else {f"events.{name}": found}
        self._places, self._empty = places, empty

    def _ensure_database(self) -> None:
        found = self.server.rows(
            "SELECT name FROM system.databases WHERE name = {name:String}",
            {"name": self.layout.database},
            name="databases",
        )
        if not found:
            text = f"CREATE DATABASE IF NOT EXISTS {quoted(self.layout.database)}{self.layout.everywhere}"
            self.server.command(text, name="create_database")

    def _engines(self) -> dict[str, str]:
        return clickhouse_found.engines(self.server, self.layout.database)

    def _keep_ttl(self, have: Mapping[str, str]) -> Iterator[str]:
        """Bring TTLs to FACTS_KEEP_DAYS. Tables made just now have them."""
        for name in schema.wanted(self.result_tables):
            wanted = self.layout.ttl(name)
            if name not in have:
                continue
            if (wanted and f" TTL {wanted}" not in have[name]) or (" TTL " in have[name] and not wanted):
                if name == schema.COMPUTED and (before := schema.ttl_days(have[name])):
                    # Of days that are gone, or may be, while their entries still wait to be dropped.
                    self.server.command(schema.forget(self.layout, before), name="forget_expired")
                self.server.command(schema.set_ttl(self.layout, name), name=f"alter_{name}")
                yield f"{name}: rows are kept {f'{self.layout.keep_days} days' if wanted else 'for ever'}"

    def _drop_abandoned(self) -> None:
        """Tables that a killed process left: older than any statement may take."""
        hours = timedelta(seconds=self.server.limits.time_seconds) / timedelta(hours=1)
        rows = self.server.rows(
            "SELECT name FROM system.tables WHERE database = {database:String} AND match(name, {ours:String}) "
            "AND startsWith(comment, {comment:String}) "
            "AND metadata_modification_time < now() - toIntervalHour({hours:UInt32})",
            {
                "database": self.layout.database,
                # Somebody else may call a table staged_something, too.
                "ours": f"^{schema.STAGED}({'|'.join(self._ours())})_[0-9a-f]{{16}}$",
                "comment": schema.BEING_COMPUTED,
                "hours": int(max(_ABANDONED_HOURS, 2 * hours)),
            },
            name="abandoned",
        )
        for row in rows:
            place = f"{quoted(self.layout.database)}.{quoted(str(row['name']))}"
            self.server.command(f"DROP TABLE IF EXISTS {place}", name="drop_abandoned")
