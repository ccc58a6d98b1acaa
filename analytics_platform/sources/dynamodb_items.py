"""From DynamoDB's items to Arrow batches of page events: exactly those of a window, each request once.

Belongs here: what an attribute means, which items are no events. Does not: requests, files, what a value of a column is
(`values.py`). Imported with the first page, as it needs pyarrow.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from analytics_platform.metrics.events import PAGE_EVENTS, Column, arrow_schema
from analytics_platform.metrics.windows import EPOCH, Window
from analytics_platform.sources.dynamodb_client import DynamoError
from analytics_platform.sources.values import UnfitError, Value, convert, parse

Item = Mapping[str, Mapping[str, Any]]
"""An item as DynamoDB sends it: attribute -> {type: value}."""

_TIME, _KEY, _OTHER = "time", "request_id", "other"
_COLUMNS: Final = PAGE_EVENTS.columns
_SCHEMA: Final = arrow_schema(PAGE_EVENTS)
_TYPES: Final = dict(zip(_SCHEMA.names, _SCHEMA.types, strict=True))
_SHOWN = 60  # characters of a value that a message shows


class _NoZone(tzinfo):
    """For times that must say themselves how far from UTC they are."""

    def utcoffset(self, _moment: datetime | None, /) -> timedelta:
        raise UnfitError("names no offset from UTC, such as Z or +09:00")

    def dst(self, _moment: datetime | None, /) -> None:
        return None

    def tzname(self, _moment: datetime | None, /) -> str:
        return "no zone"


NO_ZONE: Final = _NoZone()


@dataclass
class Reading:
    """What became of a reading; complete once all batches have been taken.

    `items` were looked at, `events` are of the window and were handed on, `repeated` came a second time, `bad` are no
    events (`first_bad`: what is wrong with one of them). `as_of`: the moment, UTC, whose state an export shows.
    """

    place: str
    items: int = 0
    events: int = 0
    repeated: int = 0
    bad: int = 0
    first_bad: str = ""
    as_of: datetime | None = None


class Converter:
    """Items of any order to batches with the schema of `arrow_schema(PAGE_EVENTS)`.

    The window is exact to the microsecond. `time_attribute` becomes `time`;
    attributes that have no column become JSON in `other`, but for those `left_out`. An item that is no event raises
    DynamoError, or is counted with `skip_bad`. The first of two items of one request is taken.
    """

    def __init__(
        self,
        reading: Reading,
        window: Window,
        time_attribute: str,
        *,
        left_out: Sequence[str] = (),
        skip_bad: bool = False,
    ) -> None:
        self.reading = reading
        self._from, self._to = _micros(window.start), _micros(window.end)
        self._time = time_attribute
        self._skip_bad = skip_bad
        named = {column.name for column in _COLUMNS} - {_TIME, _OTHER}
        self._known = frozenset({*named, time_attribute, *left_out})
        self._times: dict[str, int] = {}

    def batch(self, items: Sequence[Item]) -> pa.RecordBatch:
        """The events of the window among these items that were not met before; maybe none."""
        batch = self._quick(items)
        if batch is None:
            batch = self._careful(items)
        return self._once(batch)

    def _quick(self, items: Sequence[Item]) -> pa.RecordBatch | None:
        """All at once; None if anything needs a closer look."""
        times = self._column(PAGE_EVENTS.column(_TIME), items)
        if times is None:
            return None
        counted = times.cast(pa.int64())
        inside = pc.and_(pc.greater_equal(counted, self._from), pc.less(counted, self._to))
        if not pc.all(inside).as_py():
            places = pc.indices_nonzero(inside).to_pylist()
            items, times = [items[place] for place in places], times.filter(inside)
        arrays = []
        for column in _COLUMNS:
            array = times if column.name == _TIME else self._column(column, items)
            if array is None:
                return None
            arrays.append(array)
        return pa.record_batch(arrays, schema=_SCHEMA)

    def _column(self, column: Column, items: Sequence[Item]) -> pa.Array | None:
        try:
            return convert(column, pa.array(self._texts(column, items), pa.string()), _TYPES[column.name], NO_ZONE)
        except UnfitError:  # a time without an offset
            return None

    def _texts(self, column: Column, items: Sequence[Item]) -> list[str | None]:
        if column.name == _OTHER:
            return [None if item.keys() <= self._known else self._rest(item) for item in items]
        name = self._time if column.name == _TIME else column.name
        try:
            return [item[name]["S"] for item in items]  # what nearly all are
        except KeyError:
            return [None if (value := item.get(name)) is None else _text(value) for item in items]

    def _rest(self, item: Item) -> str:
        return _json({name: _plain(value) for name, value in item.items() if name not in self._known})

    def _careful(self, items: Sequence[Item]) -> pa.RecordBatch:
        """Item by item, value by value."""
        columns: list[list[Value]] = [[] for _ in _COLUMNS]
        for item in items:
            values = self._values(item)
            if values is not None:
                for gathered, value in zip(columns, values, strict=True):
                    gathered.append(value)
        arrays = [pa.array(values, kind) for values, kind in zip(columns, _SCHEMA.types, strict=True)]
        return pa.record_batch(arrays, schema=_SCHEMA)

    def _values(self, item: Item) -> list[Value] | None:
        """One event's values; None outside the window and for what is no event."""
        values: dict[str, Value] = {}
        for column in (PAGE_EVENTS.column(_TIME), *_COLUMNS):
            [text] = self._texts(column, [item])
            try:
                value = values[column.name] = parse(column, text, NO_ZONE)
            except UnfitError as unfit:
                self._bad(item, column, text, str(unfit))
                return None
            if column.name == _TIME and not (isinstance(value, int) and self._from <= value < self._to):
                return None
        return [values[column.name] for column in _COLUMNS]

    def _bad(self, item: Item, column: Column, text: str | None, reason: str) -> None:
        name = self._time if column.name == _TIME else column.name
        key = _text(item[_KEY]) if _KEY in item else None
        who = f"item {_KEY} {_short(key)}" if key else f"the item {_short(_json(_whole(item)))}"
        what = "is missing, and every event needs one" if text is None else f"{_short(text)} {reason}"
        self._count_bad(f"{self.reading.place}, {who}, attribute {name}: {what}")

    def _count_bad(self, sentence: str) -> None:
        if not self._skip_bad:
            raise DynamoError(f"{sentence}; correct the item, or set DYNAMODB_ON_ERROR=skip")
        self.reading.bad += 1
        self.reading.first_bad = self.reading.first_bad or sentence

    def _once(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Each request once, whatever page brings it again."""
        kept: list[int] = []
        times = batch.column(_TIME).cast(pa.int64()).to_pylist()
        for place, (key, micros) in enumerate(zip(batch.column(_KEY).to_pylist(), times, strict=True)):
            before = self._times.get(key)
            if before is None:
                self._times[key] = micros
                kept.append(place)
            elif before == micros:
                self.reading.repeated += 1
            else:
                self._count_bad(
                    f"{self.reading.place} holds two events of {_KEY} {_short(key)}, at {_shown(before)} and "
                    f"{_shown(micros)}"
                )
        if len(kept) < batch.num_rows:
            batch = batch.take(pa.array(kept, pa.int64()))
        self.reading.events += batch.num_rows
        return batch


def _micros(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


def _shown(micros: int) -> str:
    return f"{(EPOCH + timedelta(microseconds=micros)).isoformat(' ')} UTC"


def _short(text: str | None) -> str:
    text = text or ""
    return repr(text) if len(text) <= _SHOWN else repr(text[:_SHOWN]) + "..."


def _text(value: Mapping[str, Any]) -> str | None:
    """An attribute as the text of a column; None stands for NULL."""
    ((kind, held),) = value.items()
    if kind == "S":
        return str(held)
    if kind == "NULL":
        return None
    if kind == "N":
        return format(Decimal(held), "f") if "E" in held.upper() else str(held)
    if kind == "BOOL":
        return "true" if held else "false"
    return _json(_plain(value))


def _whole(item: Item) -> object:
    return {name: _plain(value) for name, value in item.items()}


def _plain(value: Mapping[str, Any]) -> object:
    """An attribute as JSON has it: sets are sorted lists, binary values Base64."""
    ((kind, held),) = value.items()
    match kind:
        case "N":
            return _number(held)
        case "M":
            return _whole(held)
        case "L":
            return [_plain(one) for one in held]
        case "SS":
            return sorted(held)
        case "NS":
            return sorted(_number(one) for one in held)
        case "B":
            return held if isinstance(held, str) else base64.b64encode(held).decode("ascii")
        case "BS":
            return sorted(str(_plain({"B": one})) for one in held)
        case "NULL":
            return None
    return held


def _number(text: str) -> int | float:
    number = Decimal(text)
    return int(number) if number == number.to_integral_value() else float(number)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)
