"""Events as other programs keep them in ClickHouse: their databases, tables, columns and types, read as ours.

Belongs here: EVENTS_MAPPING, the expression for each column, what does not fit. Does not: asking the server for its
schema (`clickhouse.py`), tables of our own (`clickhouse_schema.py`).

Every column becomes what the statements expect: ids UInt32 or UInt64, texts of few values never NULL or empty, all
others possibly NULL, and times as they are, because a converted one would keep the server from using its key. Nothing
is cut silently: an id that does not fit stops the statement.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from analytics_platform.metrics.events import EVENT_TABLES, UNKNOWN, Column, EventTable, Kind
from analytics_platform.warehouses.base import Complaint
from analytics_platform.warehouses.clickhouse_text import TIME, literal, quoted

INSERTED_AT = "inserted_at"
_WRAPPED = re.compile(r"^(LowCardinality|Nullable)\((.*)\)$")
_INTEGER = re.compile(r"^U?Int(8|16|32|64|128|256)$")
_NUMBER = re.compile(r"^(U?Int(8|16|32|64|128|256)|Decimal.*|B?Float(16|32|64)|Bool)$")
_COMPOSED = ("Array", "Map", "Tuple", "Nested", "JSON", "Object", "AggregateFunction", "Variant", "Dynamic")
# Our columns in ClickHouse's types; optional ones may be NULL, except texts.
EVENT_TYPES = {
    Kind.UINT64: "UInt64",
    Kind.UINT32: "UInt32",
    Kind.INT64: "Int64",
    Kind.INT16: "Int16",
    Kind.INT8: "Int8",
    Kind.FLOAT: "Float64",
    Kind.BOOL: "Bool",
    Kind.TEXT: "LowCardinality(String)",
    Kind.LONG_TEXT: "String",
    Kind.TIME: TIME,
}
_FITTING = {Kind.INT8: ("Int8",), Kind.INT16: ("Int8", "UInt8", "Int16"), Kind.INT64: ("Int64",)}
_SMALL = (Kind.INT8, Kind.INT16)
_AS_JSON = ("Array", "Map", "Tuple", "JSON")
# As `sources/values.py` reads them; spelled out, for these two do not know each other.
_TRUE, _FALSE = "('true', 't', 'yes', '1')", "('false', 'f', 'no', '0')"
_PLAIN = re.compile(r"^[A-Za-z_]\w*\.[A-Za-z_]\w*$", re.ASCII)
_SHOWN = 12


@dataclass(frozen=True)
class EventSource:
    """Where an event table really is. `columns`: ours to theirs, where they are named in EVENTS_MAPPING.

    `inserted_at`: their column with the moment at which a row was written, if named. `own`: we create and load it.
    `mapped`: EVENTS_MAPPING says that it is there.
    """

    table: EventTable
    database: str
    name: str
    columns: Mapping[str, str]
    inserted_at: str | None
    own: bool
    mapped: bool = False

    @property
    def place(self) -> str:
        """For statements."""
        return f"{quoted(self.database)}.{quoted(self.name)}"

    @property
    def named(self) -> str:
        """For a person to type into a statement: quoted where it has to be."""
        return str(self) if _PLAIN.match(str(self)) else self.place

    def __str__(self) -> str:
        return f"{self.database}.{self.name}"


@dataclass(frozen=True)
class Reading:
    """How the columns of a source are read: an expression each, and what does not fit."""

    columns: Mapping[str, str]
    complaints: tuple[Complaint, ...]


def sources(mapping: Mapping[str, str], events_database: str | None, database: str) -> dict[str, EventSource]:
    """The sources by our name. `mapping`: table, or table.column, to theirs; a table of theirs may name its database.

    Tables in the results' database that are not mapped are our own. Raises ValueError naming an entry without a
    meaning.
    """
    known = {t.name: t for t in EVENT_TABLES}
    allowed = [*known, *(f"{t.name}.{c}" for t in EVENT_TABLES for c in (*(c.name for c in t.columns), INSERTED_AT))]
    for entry in mapping:
        if entry not in allowed:
            near = get_close_matches(entry, allowed, n=1)
            meant = f"; {near[0]!r} is meant?" if near else f"; tables are {', '.join(known)}"
            raise ValueError(f"there is no {entry!r} to be mapped{meant}")
    found = {}
    for name, table in known.items():
        theirs = mapping.get(name, name)
        base, _, rest = theirs.rpartition(".")
        columns = {c.name: mapping[f"{name}.{c.name}"] for c in table.columns if f"{name}.{c.name}" in mapping}
        inserted = mapping.get(f"{name}.{INSERTED_AT}")
        home = base or events_database or database
        mapped = name in mapping or bool(columns) or inserted is not None
        found[name] = EventSource(table, home, rest, columns, inserted, home == database and not mapped, mapped)
    return found


def reading(source: EventSource, theirs: Mapping[str, str]) -> Reading:
    """How to read a source whose columns have these types (`theirs`: name to type, empty when there is no table).

    Without columns and without a fatal complaint it is to be read as empty: an optional table that nobody mapped, and
    that is not there or another program's of the same name.
    """
    if not theirs:
        if source.table.optional and not source.mapped:
            what = f"{source.table.name}: there is no table {source}: it reads as empty"
            remedy = f"set EVENTS_MAPPING={source.table.name}=DATABASE.TABLE if such events are kept elsewhere"
            return Reading({}, (Complaint(what, remedy, fatal=False),))
        name = f"{source.table.name}=DATABASE.TABLE"
        remedy = (
            f"set EVENTS_DATABASE or EVENTS_MAPPING={name}; if it is there: GRANT SELECT ON {source.named} TO the user"
        )
        return Reading({}, (Complaint(f"{source.table.name}: there is no table {source} for this user", remedy),))
    columns: dict[str, str] = {}
    complaints: list[Complaint] = []
    for column in source.table.columns:
        name = _named(source, column, theirs)
        if name in theirs:
            expression = _expression(column, name, theirs[name])
            if expression is None:
                complaints.append(_misfit(source, column, name, theirs[name]))
            else:
                columns[column.name] = expression
        elif column.required or column.name in source.columns:
            complaints.append(_missing(source, column, name, theirs))
        else:
            columns[column.name] = _absent(column)
            known = column.kind in (Kind.TEXT, *_SMALL)
            what = f"{source} has no column {column.name}: it reads {UNKNOWN if known else 'NULL'}"
            remedy = f"add {source.table.name}.{column.name}=COLUMN to EVENTS_MAPPING if it has another name there"
            complaints.append(Complaint(what, remedy, fatal=False))
    judged = INSERTED_AT in source.columns  # a column of ours, too
    if not judged and source.inserted_at and not bare(theirs.get(source.inserted_at, ""))[0].startswith("DateTime"):
        kind = theirs.get(source.inserted_at)
        what = f"{source}.{source.inserted_at} is {kind}, {INSERTED_AT} needs DateTime or DateTime64"
        if source.inserted_at not in theirs:
            what = f"{source} has no column {source.inserted_at}"
        complaints.append(Complaint(what, f"correct {source.table.name}.{INSERTED_AT} in EVENTS_MAPPING"))
    wrong = [c.what for c in complaints if c.fatal]
    if wrong and source.table.optional and not source.mapped:
        # What it has instead would be said at each column.
        return as_empty(source, "; ".join(what.partition(" (it has ")[0] for what in wrong))
    return Reading(columns, tuple(complaints))


def as_empty(source: EventSource, why: str) -> Reading:
    """An optional table whose name somebody else's has, which nobody mapped and which does not fit."""
    name = source.table.name
    # What is under our name in our database stays in the way of a table of ours.
    other = ", or name another database in WAREHOUSE_URL to keep them in a table of ours" if source.own else ""
    remedy = (
        f"set EVENTS_MAPPING={name}=DATABASE.TABLE if such events are kept elsewhere, or {name}={source} with its "
        f"columns ({name}.COLUMN=THEIRS) if they are these{other}"
    )
    return Reading({}, (Complaint(f"{name}: {why}: it reads as empty", remedy, fatal=False),))


def selection(source: EventSource, columns: Mapping[str, str]) -> str:
    """The source as a table of ours, for statements; without `columns` one without rows.

    Beside our columns it has `inserted_at` where that is named.
    """
    if not columns:
        nothing = (f"defaultValueOfTypeName({literal(column_type(c))}) AS {c.name}" for c in source.table.columns)
        return f"(SELECT {', '.join(nothing)} WHERE 0)"
    listed = [f"{expression} AS {name}" for name, expression in columns.items()]
    if source.inserted_at and INSERTED_AT not in columns:
        listed.append(f"{quoted(source.inserted_at)} AS {INSERTED_AT}")
    return f"(SELECT {', '.join(listed)} FROM {source.place})"


def column_type(column: Column) -> str:
    """The type of a column in an event table of our own: what is optional may be NULL, unless it reads `unknown`."""
    kind = EVENT_TYPES[column.kind]
    return kind if column.required or column.kind is Kind.TEXT else f"Nullable({kind})"


def bare(kind: str) -> tuple[str, bool]:
    """A type without LowCardinality and Nullable, and whether it may be NULL."""
    nullable = False
    while wrapped := _WRAPPED.match(kind):
        nullable = nullable or wrapped[1] == "Nullable"
        kind = wrapped[2]
    return kind, nullable


def _named(source: EventSource, column: Column, theirs: Iterable[str]) -> str:
    if column.name in source.columns:
        return source.columns[column.name]
    spellings = (column.name, *column.aliases)
    return next((name for name in spellings if name in theirs), column.name)


def _absent(column: Column) -> str:
    return literal(UNKNOWN) if column.kind is Kind.TEXT else f"CAST(NULL AS {column_type(column)})"


def _expression(column: Column, name: str, kind: str) -> str | None:
    """Their column as ours; None when its type cannot be read so."""
    base, nullable = bare(kind)
    it = quoted(name)
    if column.kind is Kind.LONG_TEXT and base.startswith(_AS_JSON):
        return f"nullIf(toJSONString({it}), 'null')" if not column.required else None
    if base.startswith(_COMPOSED):
        return None
    match column.kind:
        case Kind.TIME:
            return it if base.startswith("DateTime") else None
        case Kind.UINT32 | Kind.UINT64:
            return _identifier(column, it, base, nullable=nullable)
        case Kind.TEXT:
            return _text(column, it, kind, base, nullable=nullable)
        case Kind.LONG_TEXT:
            return _long_text(column, it, base, nullable=nullable)
        case Kind.FLOAT:
            return _float(it, base)
        case Kind.BOOL:
            return _bool(it, base)
        case _:
            return _small(column, it, base)


def _identifier(column: Column, it: str, base: str, *, nullable: bool) -> str | None:
    if not _INTEGER.match(base):
        return None
    target = EVENT_TYPES[column.kind]
    value = f"assumeNotNull({it})" if nullable else it
    if base != target:
        value = f"accurateCast({value}, '{target}')"
    if nullable:
        value = f"to{target}({value} + {_refused(column, it)})"
    return value


def _refused(column: Column, it: str) -> str:
    """0, unless it is NULL, which stops the statement."""
    return f"throwIf(isNull({it}), {literal(f'{column.name} is NULL in an event')})"


def _as_text(it: str, base: str) -> str:
    if base.startswith("FixedString"):
        return f"toStringCutToZero({it})"
    return it if base == "String" else f"toString({it})"


def _long_text(column: Column, it: str, base: str, *, nullable: bool) -> str:
    text = _as_text(it, base)
    if not column.required:
        return f"nullIf({text}, '')"
    return f"if({_refused(column, it)} = 0, assumeNotNull({text}), '')" if nullable else text


def _float(it: str, base: str) -> str | None:
    number = it if base == "Float64" else f"toFloat64({it})"
    if base == "String" or base.startswith("FixedString"):
        number = f"toFloat64OrNull({_as_text(it, base)})"
    elif not _NUMBER.match(base):
        return None
    return number if base == "Bool" else f"if(isFinite({number}), {number}, NULL)"


def _bool(it: str, base: str) -> str | None:
    if base == "Bool":
        return it
    if _NUMBER.match(base):
        return f"multiIf({it} = 0, false, {it} = 1, true, NULL)"
    if base == "String" or base.startswith(("FixedString", "Enum")):
        text = f"lower({_as_text(it, base)})"
        return f"multiIf({text} IN {_FALSE}, false, {text} IN {_TRUE}, true, NULL)"
    return None


def _text(column: Column, it: str, kind: str, base: str, *, nullable: bool) -> str:
    it = _as_text(it, base)
    if column.required:
        return f"coalesce({it}, {literal(UNKNOWN)})" if nullable else it
    if kind == "LowCardinality(String)":  # stays what it is: grouping by the dictionary's keys is cheaper
        return f"if({it} = '', CAST({literal(UNKNOWN)} AS LowCardinality(String)), {it})"
    return f"coalesce(nullIf({it}, ''), {literal(UNKNOWN)})"


def _small(column: Column, it: str, base: str) -> str | None:
    target = EVENT_TYPES[column.kind]
    if base in _FITTING[column.kind]:
        return it
    if base.startswith("Enum"):
        return f"accurateCastOrNull(CAST({it} AS Int16), '{target}')"
    if base == "String":
        return f"to{target}OrNull({it})"
    if base.startswith("FixedString"):
        return f"to{target}OrNull(toStringCutToZero({it}))"
    return f"accurateCastOrNull({it}, '{target}')" if _NUMBER.match(base) else None


def _misfit(source: EventSource, column: Column, name: str, kind: str) -> Complaint:
    wanted = {
        Kind.TIME: "DateTime or DateTime64",
        Kind.UINT32: "a whole number",
        Kind.UINT64: "a whole number",
        Kind.TEXT: "a text or a number",
        Kind.LONG_TEXT: "a text or a number",
        Kind.BOOL: "Bool, a number or a text with one",
    }.get(column.kind, "a number or a text with one")
    entry = f"{source.table.name}.{column.name}"
    remedy = f"add {entry}=COLUMN to EVENTS_MAPPING for another column, or {source.table.name}=VIEW for a view"
    return Complaint(f"{source}.{name} is {kind}, {entry} needs {wanted}", remedy)


def _missing(source: EventSource, column: Column, name: str, theirs: Mapping[str, str]) -> Complaint:
    have = ", ".join(list(theirs)[:_SHOWN]) + (", ..." if len(theirs) > _SHOWN else "")
    entry = f"{source.table.name}.{column.name}"
    near = _nearest(name, list(theirs))
    remedy = f"add {entry}={near or 'COLUMN'} to EVENTS_MAPPING"
    return Complaint(f"{source} has no column {name} (it has {have})", remedy)


def _nearest(name: str, names: Sequence[str]) -> str:
    return next(iter(get_close_matches(name, names, n=1, cutoff=0.5)), "")
