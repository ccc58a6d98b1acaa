"""What was paid for, and what that makes of entries: a purchase in time, a customer from before, or nothing.

Belongs here: the rule of attribution, how long a purchase took. Does not: reading payments (`sources/modx.py`), keeping
flags (`state/`).
"""

from array import array
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

from analytics_platform.funnels import person
from analytics_platform.funnels.plan import FunnelPlan, FunnelType
from analytics_platform.funnels.records import Change, Entry, Payment

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TICK = timedelta(microseconds=1)
_SECOND = timedelta(seconds=1)


class Purchases:
    """Moments of payment (UTC) by person and funnel. Addresses are asked for as `person.normal` gives them."""

    def __init__(self) -> None:
        # Whole microseconds in arrays: a list of datetimes would take twice the memory.
        self._paid: dict[FunnelType, dict[str, array[int]]] = {kind: {} for kind in FunnelType}
        self._count = self._strangers = 0

    @classmethod
    def of(cls, payments: Iterable[Payment]) -> "Purchases":
        """All payments, in whatever order they come. Those under something that is no address are only counted."""
        found = cls()
        for payment in payments:
            email = person.normal(payment.email)
            if email is None:
                found._strangers += 1
                continue
            paid = found._paid[payment.funnel]
            moments = paid.get(email)
            if moments is None:
                paid[email] = array("q", [_ticks(payment.paid_at)])
            else:
                insort(moments, _ticks(payment.paid_at))
            found._count += 1
        return found

    def __len__(self) -> int:
        """Payments that are known by an address."""
        return self._count

    @property
    def not_addresses(self) -> int:
        """Payments that were left out, as nobody is known by what stands there."""
        return self._strangers

    def first_before(self, email: str, funnel: FunnelType, moment: datetime) -> datetime | None:
        """The earliest payment before `moment` (excluded)."""
        moments = self._paid[funnel].get(email)
        return _moment(moments[0]) if moments and moments[0] < _ticks(moment) else None

    def first_within(self, email: str, funnel: FunnelType, start: datetime, length: timedelta) -> datetime | None:
        """The earliest payment from `start` (included) until `length` after it (excluded)."""
        moments = self._paid[funnel].get(email)
        if not moments:
            return None
        place = bisect_left(moments, _ticks(start))
        return _moment(moments[place]) if place < len(moments) and moments[place] < _ticks(start + length) else None


def changes(entries: Iterable[Entry], purchases: Purchases, plan: FunnelPlan) -> Iterator[Change]:
    """What the payments make of the open ones among the entries, in their order; most of them stay as they are.

    The earliest payment within the attribution window is the purchase. Without one, a payment from before the entry
    that the site told later makes the person somebody who was a customer already.
    """
    for entry in entries:
        if entry.purchased_at is not None or entry.customer_since is not None:
            continue
        bought = purchases.first_within(entry.email, entry.funnel, entry.entered_at, plan.attribution)
        if bought is not None:
            yield Change(entry.id, entry.funnel, purchased_at=bought)
        elif (before := purchases.first_before(entry.email, entry.funnel, entry.entered_at)) is not None:
            yield Change(entry.id, entry.funnel, customer_since=before)


def seconds_to_purchase(entry: Entry) -> int | None:
    """From the second of entry to the second of purchase; None without a purchase, 0 within the same second.

    So the second of entry and this number give the very second of the purchase. The time between the two, rounded
    down, would not: it would put a purchase at midnight into the day before, when somebody entered within a second.
    """
    if entry.purchased_at is None:
        return None
    return (entry.purchased_at.replace(microsecond=0) - entry.entered_at.replace(microsecond=0)) // _SECOND


def _ticks(moment: datetime) -> int:
    return (moment - _EPOCH) // _TICK


def _moment(ticks: int) -> datetime:
    return _EPOCH + ticks * _TICK
