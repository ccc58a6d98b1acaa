"""Visits as their nested document says them: account, properties, visitors, events; and as flat items.

Belongs here: that form, what becomes of each of its fields. Does not: files (`visits`), DynamoDB (`dynamodb`), what a
value means (`values`).
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from analytics_platform.metrics.events import PAGE_EVENTS
from analytics_platform.sources.headers import spellings
from analytics_platform.sources.problems import EventFileError

FORM: Final = '{"id": ..., "name": ..., "properties": {ID: {"domain": ..., "visitors": {ID: {"events": [...]}}}}}'
_OTHER, _METADATA = "other", "metadata"
# By what names each column is found, in the order of the table; the last one takes what is left.
_COLUMNS: Final = tuple(spellings(column) for column in PAGE_EVENTS.columns if column.name != _OTHER)
_JSON: Final = json.JSONEncoder(ensure_ascii=False, sort_keys=True)
_ACCOUNT = ("id", "name", "properties")
_PROPERTY = ("domain", "provider", "type", "metadata", "visitors")
_VISITOR = ("events", "sender_id")
_DEEPER = {"properties", "visitors", "events"}
_HALF = "holds half a character; export it again as UTF-8"
_SHOWN = 60  # characters of an id that a message shows

Texts = tuple[str | None, ...]


class UnfitFieldError(ValueError):
    """A field of an event that fits no column; the text completes the sentence that begins with `value`."""

    def __init__(self, column: str, value: str, reason: str) -> None:
        super().__init__(reason)
        self.column = column
        self.value = value


@dataclass(frozen=True)
class VisitEvent:
    """One event and where it is: the `number` (from 1) of its visitor's events. `item`: flat, if it is an object."""

    property_id: str
    visitor: str
    number: int
    item: object

    @property
    def place(self) -> str:
        """`property X, visitor Y, event`, to be followed by the number."""
        return f"property {_shown(self.property_id)}, visitor {_shown(self.visitor)}, event"


def flat_items(document: Mapping[str, object]) -> Iterator[dict[str, object]]:
    """Every event of a nested document with all that is said of it, as a flat item: the event's fields as they are, and
    `id`, `name` of the account, `property`, `domain`, `provider`, `property_type`, `metadata` of the property,
    `visitor` and its `sender_id`.

    An event's own field of such a name is kept as `event.<name>`. EventFileError for a document of another form.
    """
    for event in visit_events(document, "the document", lambda _name: None):
        if not isinstance(event.item, dict):
            raise EventFileError(f"the document: {event.place} {event.number} is no object with fields")
        yield event.item


def json_text(value: object) -> str:
    """JSON with its names sorted, so that the same fields are the same text wherever they come from."""
    return _JSON.encode(value)


def item_texts(item: Mapping[str, object]) -> Texts:
    """A flat item as one text per column of `PAGE_EVENTS`, for `values.convert` and `values.parse`; fields without a
    column are the JSON of `other`. Raises UnfitFieldError.
    """
    left = dict(item)
    texts: list[str | None] = []
    for names in _COLUMNS:
        for name in names:
            if name in left:
                value = left.pop(name)
                texts.append(value if isinstance(value, str) and value.isascii() else _text(name, value))
                break
        else:
            texts.append(None)
    try:
        other = json_text(left) if left else None
        if other and not other.isascii():
            other.encode()
    except UnicodeEncodeError:
        raise UnfitFieldError(_OTHER, ", ".join(map(repr, left)), _HALF) from None
    return (*texts, other)


def _text(name: str, value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list) and name != _METADATA:
        raise UnfitFieldError(name, json_text(value), "is not a single value")
    text = value if isinstance(value, str) else json_text(value)
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise UnfitFieldError(name, ascii(text), _HALF) from None
    return text


def visit_events(document: Mapping[str, object], where: str, ignore: Callable[[str], None]) -> Iterator[VisitEvent]:
    """Every event as a flat item, with its place; `ignore` is told of fields of account, property, visitor that have no
    column. EventFileError for another form.
    """
    account = _fields(document, _ACCOUNT, "", ignore)
    for property_id, below in as_object(document.get("properties"), f"{where}: properties").items():
        here = f"property {_shown(property_id)}"
        site = as_object(below, f"{where}: {here}")
        own = _fields(site, _PROPERTY, "properties.", ignore)
        common = account | {"property": property_id, **own}
        if "type" in common:
            common["property_type"] = common.pop("type")
        for visitor, inside in as_object(site.get("visitors") or {}, f"{where}: visitors of {here}").items():
            place = f"{where}: {here}, visitor {_shown(visitor)}"
            seen = as_object(inside, place)
            given = common | {"visitor": visitor, **_fields(seen, _VISITOR, "visitors.", ignore)}
            events = seen.get("events") or []
            if not isinstance(events, list):
                raise EventFileError(f"{place} has events that are no list; a file of visits is {FORM}")
            for number, event in enumerate(events, start=1):
                yield VisitEvent(property_id, visitor, number, _merged(event, given))


def count_events(document: Mapping[str, object]) -> int:
    """How many events a document has, as far as it has the right form."""
    below = document.get("properties")
    sites = [site for site in below.values() if isinstance(site, dict)] if isinstance(below, dict) else []
    found = [site["visitors"] for site in sites if isinstance(site.get("visitors"), dict)]
    lists = [visitor.get("events") for visitors in found for visitor in visitors.values() if isinstance(visitor, dict)]
    return sum(len(events) for events in lists if isinstance(events, list))


def _merged(event: object, given: dict[str, object]) -> object:
    if not isinstance(event, dict):
        return event
    if given.keys().isdisjoint(event):
        return {**event, **given}
    return {f"event.{name}" if name in given else name: value for name, value in event.items()} | given


def _fields(
    item: Mapping[str, object], known: Sequence[str], prefix: str, ignore: Callable[[str], None]
) -> dict[str, object]:
    # What is said beside the part that goes deeper.
    for name in item:
        if name not in known:
            ignore(prefix + name)
    return {name: item[name] for name in known if name in item and name not in _DEEPER}


def as_object(value: object, where: str) -> dict[str, object]:
    """`value`, which must be a JSON object. EventFileError that begins with `where`."""
    if not isinstance(value, dict):
        raise EventFileError(f"{where} is no object with names; a file of visits is {FORM}")
    return value


def alone(document: Mapping[str, object], event: VisitEvent) -> dict[str, object]:
    """The document with nothing but that event, as it was."""
    properties = as_object(document["properties"], "")
    site = as_object(properties[event.property_id], "")
    visitor = as_object(as_object(site["visitors"], "")[event.visitor], "")
    events = visitor["events"]
    only = [events[event.number - 1]] if isinstance(events, list) else []
    seen = {event.visitor: visitor | {"events": only}}
    return {**document, "properties": {event.property_id: site | {"visitors": seen}}}


def _shown(name: str) -> str:
    plain = name.isprintable() and name.strip() == name and 0 < len(name) <= _SHOWN
    return name if plain else ascii(name[:_SHOWN])
