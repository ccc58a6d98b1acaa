"""People whom the script that funnels replace has let in: whom its rows stand for, and what Brevo has yet to hear.

Belongs here: the rule. Does not: reading the script's tables (`sources/modx_former.py`), writing (`state/`).

The script kept addresses as they came, and its key let the same person in twice, so several rows may be one person. It
counted payments from before the entry as purchases, and those of any time after it.
"""

from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from zlib import crc32

from analytics_platform.funnels import person
from analytics_platform.funnels.plan import FunnelPlan, FunnelType
from analytics_platform.funnels.records import JobStatus, Operation

# No zone is farther from another one: an entry that lies ahead of the clock by more is not of a clock in another zone.
FARTHEST_ZONE = timedelta(hours=26)
# What lies before is a zero that some clock was set to, and days before 1970 could not be published everywhere.
_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)

_ADDED, _TO_ADD, _UPDATED, _TO_UPDATE, _SEEN = 1, 2, 4, 8, 16
_SAID = {
    (Operation.UPSERT_CONTACT.value, True): _ADDED,
    (Operation.UPSERT_CONTACT.value, False): _TO_ADD,
    (Operation.UPDATE_AFTER_PURCHASE.value, True): _UPDATED,
    (Operation.UPDATE_AFTER_PURCHASE.value, False): _TO_UPDATE,
}
_BLOCK = 1 << 16
_MOST_NAMED = 20
_FUNNELS = {funnel.value: funnel for funnel in FunnelType}


@dataclass(frozen=True, slots=True)
class FormerEntry:
    """A row of the script's `funnel_entries`. Texts as they stand there; moments aware, UTC, None where none is meant.

    `purchased`: the flag, which may be set without a moment that can be read.
    """

    id: int
    email: str | None = field(repr=False)
    funnel: str | None
    user_id: int | None
    test_id: int | None
    entered_at: datetime | None
    purchased: bool
    purchased_at: datetime | None


@dataclass(frozen=True, slots=True)
class FormerJob:
    """A row of the script's `brevo_sync_outbox`; texts as they stand there."""

    entry_id: int | None
    operation: str | None
    status: str | None


class Fault(StrEnum):
    """Why nobody can be adopted by a row."""

    ADDRESS = "without a valid address"
    FUNNEL = "of an unknown funnel"
    TIME = "without a time of entry that can be right"


class Doubt(StrEnum):
    """Why a purchase that the script flagged is none here; the entry stays open."""

    LATE = "bought too late to count"
    UNTIMED = "bought at a time that cannot be read"


@dataclass(frozen=True, slots=True)
class Bad:
    """A row that nobody is adopted by. `person`: a hash of what stands for an address; empty where nothing does."""

    id: int
    fault: Fault
    person: str


@dataclass(frozen=True, slots=True)
class Adopted:
    """One person in one funnel. `email`: normalised. `rows`: of the script's, that stand for it.

    `entered_at`: the earliest. At most one of `purchased_at` (at or after it, in time) and `customer_since` (before it)
    is set. `to_add`, `to_update`: Brevo has yet to hear of the entry, of the purchase; never of a customer.
    """

    email: str = field(repr=False)
    funnel: FunnelType
    entered_at: datetime
    user_id: int | None
    test_id: int | None
    list_id: int
    purchased_at: datetime | None
    customer_since: datetime | None
    to_add: bool
    to_update: bool
    doubt: Doubt | None
    rows: int


class Words:
    """What the script's outbox says of each of its entries. A byte an entry, whatever order they come in.

    `unknown`: rows of an operation that the script never had. `nowhere`: rows that name no entry.
    """

    def __init__(self) -> None:
        self._blocks: dict[int, bytearray] = {}
        self.unknown = self.nowhere = 0

    def add(self, job: FormerJob) -> None:
        """One row more. Whatever is not `success` is still to be told."""
        told = (job.status or "").strip().lower() == JobStatus.SUCCESS.value
        said = _SAID.get(((job.operation or "").strip().lower(), told))
        if job.entry_id is None:
            self.nowhere += 1
        elif said is None:
            self.unknown += 1
        else:
            block, place = divmod(job.entry_id, _BLOCK)
            self._blocks.setdefault(block, bytearray(_BLOCK))[place] |= said

    def of(self, entry_id: int) -> int:
        """For `People`; the entry is known to be there from now on."""
        block, place = divmod(entry_id, _BLOCK)
        bits = self._blocks.get(block)
        if bits is None:
            return 0
        bits[place] |= _SEEN
        return bits[place]

    def orphans(self) -> "array[int]":
        """Ids of entries that rows speak of and that were never asked for, in order."""
        found = array("q")
        for block, bits in sorted(self._blocks.items()):
            found.extend(block * _BLOCK + place for place, said in enumerate(bits) if said and not said & _SEEN)
        return found


@dataclass(slots=True)
class _Person:
    """What the rows of a person in a funnel come to, as they come."""

    first_id: int
    entered_at: datetime | None = None
    user_id: int | None = None
    test_id: int | None = None
    purchased: bool = False
    paid: tuple[datetime, ...] = ()
    said: int = 0
    rows: int = 0


class People:
    """The people of all rows, or of the `part`th of several `parts`: each person is in one part with all rows.

    `bad`: how many rows nobody is adopted by, by fault; `named`: the first of them.
    """

    def __init__(self, plan: FunnelPlan, now: datetime, part: int = 0, parts: int = 1) -> None:
        self._plan, self._part, self._parts = plan, part, parts
        self._latest = now + FARTHEST_ZONE
        self._people: dict[FunnelType, dict[str, _Person]] = {funnel: {} for funnel in FunnelType}
        self.bad: Counter[Fault] = Counter()
        self.named: list[Bad] = []

    def __len__(self) -> int:
        """How many rows stand for people, by now."""
        return sum(one.rows for people in self._people.values() for one in people.values())

    def take(self, row: FormerEntry, words: Words) -> None:
        """One row more; one of another part is left alone."""
        email = person.normal(row.email)
        if self._parts > 1 and crc32((email or "").encode()) % self._parts != self._part:
            return
        said = words.of(row.id)
        funnel = _FUNNELS.get((row.funnel or "").strip().lower())
        if email is None or funnel is None:
            self._refuse(row.id, Fault.ADDRESS if email is None else Fault.FUNNEL, email or (row.email or "").strip())
            return
        one = self._people[funnel].setdefault(email, _Person(row.id))
        one.rows += 1
        one.said |= said
        one.purchased |= row.purchased
        if row.purchased and row.purchased_at is not None:
            one.paid += (row.purchased_at,)
        moment = row.entered_at
        if moment is None or not _EARLIEST <= moment <= self._latest:
            return
        if one.entered_at is None or moment < one.entered_at:
            one.entered_at, one.user_id, one.test_id = moment, row.user_id, row.test_id

    def adopted(self) -> Iterator[Adopted]:
        """Everybody, once all rows are taken; whoever has no time of entry in any row is added to `bad` instead."""
        for funnel, people in self._people.items():
            for email, one in people.items():
                if one.entered_at is None:
                    self._refuse(one.first_id, Fault.TIME, email, one.rows)
                else:
                    yield self._adopted(email, funnel, one, one.entered_at)

    def _adopted(self, email: str, funnel: FunnelType, one: _Person, entered_at: datetime) -> Adopted:
        end = entered_at + self._plan.attribution
        bought = min((moment for moment in one.paid if entered_at <= moment < end), default=None)
        before = None if bought else min((moment for moment in one.paid if moment < entered_at), default=None)
        settled = bought is not None or before is not None or not one.purchased
        return Adopted(
            email,
            funnel,
            entered_at,
            one.user_id,
            one.test_id,
            self._plan.lists.get(funnel, 0),
            bought,
            before,
            to_add=before is None and one.said & (_ADDED | _TO_ADD) == _TO_ADD,
            to_update=bought is not None and one.said & (_UPDATED | _TO_UPDATE) == _TO_UPDATE,
            doubt=None if settled else Doubt.LATE if one.paid else Doubt.UNTIMED,
            rows=one.rows,
        )

    def _refuse(self, row_id: int, fault: Fault, address: str, rows: int = 1) -> None:
        self.bad[fault] += rows
        if len(self.named) < _MOST_NAMED:
            self.named.append(Bad(row_id, fault, person.hashed(address) if address else ""))
