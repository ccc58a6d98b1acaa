"""Entries as rows of the warehouse's table, without addresses.

Belongs here: the columns of `funnel_conversions`. Does not: which entries, storing (`defs/funnel_syncs.py`).
"""

from collections.abc import Iterable
from datetime import date, timedelta
from typing import TYPE_CHECKING

from analytics_platform.funnels.records import Entry
from analytics_platform.metrics.tables import FUNNEL_CONVERSIONS, result_schema

if TYPE_CHECKING:
    import pyarrow as pa

_SECOND = timedelta(seconds=1)


def table_of(entries: Iterable[Entry], day: date) -> "pa.Table":
    """The entries of one local day, one row each, by id.

    Seconds to a purchase are whole ones, rounded down: a purchase at the moment of entry is 0 seconds away.
    """
    import pyarrow as pa

    rows = [
        {
            "event_date": day,
            "entry_id": entry.id,
            "funnel_type": entry.funnel.value,
            "test_id": entry.test_id,
            "entered_at": entry.entered_at.replace(tzinfo=None),
            "seconds_to_purchase": None
            if entry.purchased_at is None
            else (entry.purchased_at - entry.entered_at) // _SECOND,
            "already_customer": entry.customer_since is not None,
        }
        for entry in sorted(entries, key=lambda one: one.id)
    ]
    return pa.Table.from_pylist(rows, schema=result_schema(FUNNEL_CONVERSIONS))
