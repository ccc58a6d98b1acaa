"""What a server has under the names of our tables, and what of it is another program's.

Belongs here: asking for columns, event tables that look like ours and are not. Does not: how other programs' events are
read (`clickhouse_events.py`), making tables (`clickhouse.py`, `clickhouse_schema.py`).
"""

from collections.abc import Collection, Mapping

from analytics_platform.warehouses.base import WarehouseError
from analytics_platform.warehouses.clickhouse_client import Server
from analytics_platform.warehouses.clickhouse_events import EventSource, Reading, as_empty
from analytics_platform.warehouses.clickhouse_schema import strange_events

Columns = Mapping[str, str]


def columns(server: Server, tables: Collection[tuple[str, str]]) -> dict[tuple[str, str], dict[str, str]]:
    """Columns and types by database and table, of those that this user sees."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    rows = server.rows(
        "SELECT database, table, name, type FROM system.columns "
        "WHERE database IN {databases:Array(String)} AND table IN {tables:Array(String)} "
        "AND default_kind NOT IN ('EPHEMERAL') ORDER BY database, table, position",
        {"databases": sorted({d for d, _ in tables}), "tables": sorted({t for _, t in tables})},
        name="columns",
    )
    for row in rows:
        key = (str(row["database"]), str(row["table"]))
        if key in tables:
            found.setdefault(key, {})[str(row["name"])] = str(row["type"])
    return found


def engines(server: Server, database: str) -> dict[str, str]:
    """Engine and key by table, as the server writes them."""
    rows = server.rows(
        "SELECT name, engine_full FROM system.tables WHERE database = {database:String}",
        {"database": database},
        name="engines",
    )
    return {str(row["name"]): str(row["engine_full"]) for row in rows}


def left_alone(
    sources: Mapping[str, EventSource], have: Mapping[tuple[str, str], Columns], made: Mapping[str, str]
) -> dict[str, Reading]:
    """Optional event tables of another program's where ours would be, by our name, and how they read: as empty.

    `have`: columns by database and table; `made`: engine and key by table of the results' database.
    """
    return {
        name: as_empty(source, f"{source} is not as we make it ({strange})")
        for name, source in sources.items()
        if source.table.optional and (strange := _strange(source, have, made))
    }


def refuse_foreign(
    sources: Mapping[str, EventSource], have: Mapping[tuple[str, str], Columns], made: Mapping[str, str]
) -> None:
    """Raises WarehouseError for events of other programs under our names: they would be altered and loaded over.

    Optional tables are left alone instead.
    """
    for source in sources.values():
        if not source.table.optional and (strange := _strange(source, have, made)):
            raise WarehouseError(
                f"{source} is not as we make it ({strange}): set EVENTS_MAPPING={source.table.name}={source} to "
                "read it as another program's, or name another database in WAREHOUSE_URL"
            )


def _strange(source: EventSource, have: Mapping[tuple[str, str], Columns], made: Mapping[str, str]) -> str:
    """In what a table differs from ours that is where ours would be; empty when there is none, or it is ours."""
    found = have.get((source.database, source.name), {})
    return strange_events(source.table, found, made.get(source.name, "")) if source.own and found else ""
