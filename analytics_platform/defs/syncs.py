"""What is brought up to date from elsewhere and not computed from events, by asset (`Report.syncs`).

Belongs here: until when each is complete, and which table of the warehouse it fills. Does not: doing it
(`defs/funnel_syncs.py`), what reports make of it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from analytics_platform.defs.resources import Ledgers
from analytics_platform.metrics.tables import FUNNEL_CONVERSIONS, ResultTable


@dataclass(frozen=True)
class Sync:
    """`table`: what it writes, by local days. `until`: everything before that moment (aware) is there; None: never.

    `settled`: whether nothing from before a moment waits to be written. If so, what is there of it is whole: no part is
    older than another.
    """

    table: ResultTable
    until: Callable[[Ledgers], datetime | None]
    settled: Callable[[Ledgers, datetime], bool]


def _funnels_settled(ledgers: Ledgers, before: datetime) -> bool:
    # Not by id: whoever was adopted from elsewhere entered before those with smaller ones.
    first = ledgers.funnels.unpublished_since() if ledgers.funnels.exists() else None
    return first is None or first >= before


SYNCS: Mapping[str, Sync] = {
    "funnels/conversions": Sync(
        FUNNEL_CONVERSIONS,
        until=lambda ledgers: ledgers.funnels.standing().published_until if ledgers.funnels.exists() else None,
        settled=_funnels_settled,
    ),
}
