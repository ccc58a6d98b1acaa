"""Entries as rows of the warehouse's table, without addresses.

Belongs here: the columns of `funnel_conversions`. Does not: which entries, storing (`defs/funnel_syncs.py`).
"""

from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from itertools import islice
from typing import TYPE_CHECKING, Any

from analytics_platform.funnels.attribution import seconds_to_purchase
from analytics_platform.funnels.records import Entry
from analytics_platform.metrics.tables import FUNNEL_CONVERSIONS, result_schema

if TYPE_CHECKING:
    import pyarrow as pa

# Entries held as objects at a time: a day of a first sync may have all people of a site.
_CHUNK = 5_000


@dataclass(frozen=True)
class PublishedDay:
    """The rows of a day and, in the same order, the ids of their entries: what the ledger is told afterwards."""

    table: "pa.Table"
    ids: "array[int]"


def published_day(entries: Iterable[Entry], day: date) -> PublishedDay:
    """The entries of one local day, one row each, in the order in which they come (the ledger's: by id).

    They are gone through once and not kept: memory holds some thousands of them, and the columns.
    """
    import pyarrow as pa

    schema, ids = result_schema(FUNNEL_CONVERSIONS), array("q")
    batches: list[pa.RecordBatch] = []
    for chunk in _chunks(entries):
        ids.extend(entry.id for entry in chunk)
        columns = _columns(chunk, day)
        arrays = [pa.array(columns[field.name], field.type) for field in schema]
        batches.append(pa.record_batch(arrays, schema=schema))
    return PublishedDay(pa.Table.from_batches(batches, schema), ids)


def _columns(entries: list[Entry], day: date) -> Mapping[str, list[Any]]:
    return {
        "event_date": [day] * len(entries),
        "entry_id": [entry.id for entry in entries],
        "funnel_type": [entry.funnel.value for entry in entries],
        "test_id": [entry.test_id for entry in entries],
        "entered_at": [entry.entered_at.replace(tzinfo=None) for entry in entries],
        "seconds_to_purchase": [seconds_to_purchase(entry) for entry in entries],
        "already_customer": [entry.customer_since is not None for entry in entries],
    }


def _chunks(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    stream = iter(entries)
    while chunk := list(islice(stream, _CHUNK)):
        yield chunk
