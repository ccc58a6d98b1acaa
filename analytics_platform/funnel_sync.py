"""One sync of the funnels: who enters, who bought since, or only a look at what that would be.

Belongs here: reading the site once, having the rules choose, writing in transactions that are small. Does not: the
rules (`funnels/`), the ledger's own (`state/funnels.py`), telling the mailing service (`funnel_outbox.py`).

A sync that is killed has entered some of its people, each with the job that tells of it, or nobody; the next one
enters the others. All of it goes by the lease: whoever lost it writes nothing more.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain, islice
from typing import Protocol, TypeVar

from analytics_platform.funnels.attribution import Purchases, changes
from analytics_platform.funnels.candidates import Chosen, choose
from analytics_platform.funnels.person import hashed
from analytics_platform.funnels.plan import FunnelPlan, FunnelType
from analytics_platform.funnels.records import Change, Entry, JobStatus, NewEntry, Payment, Taken
from analytics_platform.state.funnels import FunnelLedger
from analytics_platform.state.held import Held

T = TypeVar("T")
# What is being done, how much of it is done, and of how much: 0 when that is not known.
Progress = Callable[[str, int, int], None]

# People who enter, or buyers, in one transaction.
_WRITTEN = 500
# Open entries looked at in one go.
_PAGE = 20_000
# Rows of the site between two words of progress and two looks at the lease.
_TOLD = 5_000
# Of those who would enter, how many a preview names by their hash.
_NAMED = 10


class Site(Protocol):
    """Where tests and payments come from."""

    def reading(self) -> AbstractContextManager[object]:
        """What is read inside is of one moment; inside another one, of that one's."""

    def taken(self, since: datetime, funnels: Collection[FunnelType]) -> Iterator[Taken]:
        """Tests taken at or after a moment that belong to one of these funnels, the newest first."""

    def payments(self) -> Iterator[Payment]:
        """All certificates that were paid for."""


@dataclass(frozen=True)
class Entries:
    """Who entered one funnel. `customers` had bought before: they are known from now on, and not written to; `entered`
    are the others. `full`: its batch is used up, and the next sync goes on.

    Tests: `looked_at`; of them of people `known` already, of people met `again` who entered for a newer one, and
    `not_addresses`.
    """

    entered: int = 0
    customers: int = 0
    looked_at: int = 0
    known: int = 0
    again: int = 0
    not_addresses: int = 0
    full: bool = False


@dataclass(frozen=True)
class Entered:
    """Who entered at a moment (aware, a whole second), by active funnel; `skipped`: those without a list."""

    at: datetime
    by_funnel: Mapping[FunnelType, Entries]
    skipped: tuple[FunnelType, ...]


@dataclass(frozen=True)
class Settled:
    """What became of one funnel's open entries. `open`: those looked at. `customers`: had bought before they entered,
    which the site knew only later."""

    purchased: int = 0
    customers: int = 0
    open: int = 0


@dataclass(frozen=True)
class Purchased:
    """What became of the open entries, by funnel; those of skipped funnels are looked at as well."""

    by_funnel: Mapping[FunnelType, Settled]


@dataclass(frozen=True)
class Preview:
    """What a sync would do now. `jobs`: those that wait or have failed, by what became of them; `upserts` and `updates`
    would come to them. `persons`: the first of those who would enter, as hashes, by funnel. `began`: whether there is a
    ledger at all; without one nobody is known."""

    entered: Entered
    purchased: Purchased
    jobs: Mapping[JobStatus, int]
    upserts: int
    updates: int
    persons: Mapping[FunnelType, tuple[str, ...]]
    began: bool


@dataclass
class FunnelSync:
    """One sync: made anew for each, since it keeps the payments once it has read them. `clock`: the moment, aware.

    Methods raise what the site raises, StateError when the ledger fails, LeaseLostError when somebody else works.
    """

    site: Site
    ledger: FunnelLedger
    plan: FunnelPlan
    clock: Callable[[], datetime]
    progress: Progress
    _purchases: Purchases | None = field(default=None, init=False, repr=False)

    def enter(self, held: Held) -> Entered:
        """Those who took a test enter their funnel, up to the plan's batch, each with the job that tells of it."""
        now = self._moment()
        chosen = self._chosen(now, self.ledger.known, held)
        entered, customers = Counter[FunnelType](), Counter[FunnelType]()
        done = 0
        for funnel in self.plan.active:
            ours = [entry for entry in chosen.entries if entry.funnel is funnel]
            for counted, new in (
                (entered, [entry for entry in ours if entry.customer_since is None]),
                (customers, [entry for entry in ours if entry.customer_since is not None]),
            ):
                for some in _some(new, _WRITTEN):
                    counted[funnel] += self.ledger.enter(held.now(), some, now)
                    done += len(some)
                    self.progress("people entered", done, len(chosen.entries))
        return self._entered(now, chosen, entered, customers)

    def purchases(self, held: Held) -> Purchased:
        """Every open entry is looked at once; those whose person bought are settled."""
        found = self._read(held)
        count = _Count()
        for page in self._open_entries():
            count.looked_at(page)
            for some in _some(changes(page, found, self.plan), _WRITTEN):
                # Nobody else writes, so each of them is still open, and all are settled.
                self.ledger.settle(held.now(), some, self.clock())
                count.settled(some)
            held.now()
            self.progress("open entries looked at", count.open.total(), 0)
        return count.purchased()

    def preview(self) -> Preview:
        """What `enter` and `purchases` would come to now. Writes nothing: no ledger where there is none, no lease."""
        now, began = self._moment(), self.ledger.exists()
        chosen = self._chosen(now, self.ledger.known if began else _nobody, None)
        new = [entry for entry in chosen.entries if entry.customer_since is None]
        customers = Counter(entry.funnel for entry in chosen.entries if entry.customer_since is not None)
        purchased = self._would_purchase([_as_entered(entry, now) for entry in new], began=began)
        return Preview(
            entered=self._entered(now, chosen, Counter(entry.funnel for entry in new), customers),
            purchased=purchased,
            jobs=dict(self.ledger.counts()) if began else {},
            upserts=len(new),
            updates=sum(settled.purchased for settled in purchased.by_funnel.values()),
            persons={
                funnel: tuple(hashed(e.email) for e in islice((e for e in new if e.funnel is funnel), _NAMED))
                for funnel in self.plan.active
            },
            began=began,
        )

    # ---------------------------------------------------------------- reading

    def _moment(self) -> datetime:
        """Of entry: a whole second, as the site's payments are. One of that very second is not from before it."""
        return self.clock().replace(microsecond=0)

    def _chosen(
        self,
        now: datetime,
        known: Callable[[FunnelType, Collection[str]], Collection[str]],
        held: Held | None,
    ) -> Chosen:
        # Payments and tests of one moment: else a test could be seen without the payment that came before it.
        with self.site.reading():
            purchases = self._read(held)
            active = self.plan.active
            taken = self.site.taken(now - self.plan.window, active) if active else iter(())
            return choose(self._told("tests read", taken, held), self.plan, known, purchases, now)

    def _read(self, held: Held | None) -> Purchases:
        if self._purchases is None:
            with self.site.reading():
                self._purchases = Purchases.of(self._told("payments read", self.site.payments(), held))
        return self._purchases

    def _told(self, what: str, rows: Iterable[T], held: Held | None) -> Iterator[T]:
        """The rows, their number told as they come, the lease kept meanwhile."""
        done = 0
        for row in rows:
            yield row
            done += 1
            if done % _TOLD == 0:
                if held:
                    held.now()
                self.progress(what, done, 0)
        self.progress(what, done, done)

    def _open_entries(self) -> Iterator[Sequence[Entry]]:
        after = 0
        while page := self.ledger.open_entries(after, _PAGE):
            yield page
            after = page[-1].id

    # ---------------------------------------------------------------- figures

    def _would_purchase(self, new: Sequence[Entry], *, began: bool) -> Purchased:
        found, count = self._read(None), _Count()
        for page in chain(self._open_entries() if began else (), [new]):
            count.looked_at(page)
            count.settled(list(changes(page, found, self.plan)))
        return count.purchased()

    def _entered(
        self, now: datetime, chosen: Chosen, entered: Mapping[FunnelType, int], customers: Mapping[FunnelType, int]
    ) -> Entered:
        return Entered(
            at=now,
            by_funnel={
                funnel: Entries(
                    entered=entered.get(funnel, 0),
                    customers=customers.get(funnel, 0),
                    looked_at=tests.looked_at,
                    known=tests.known,
                    again=tests.again,
                    not_addresses=tests.not_addresses,
                    full=funnel in chosen.full,
                )
                for funnel, tests in chosen.by_funnel.items()
            },
            skipped=tuple(funnel for funnel in FunnelType if funnel not in self.plan.active),
        )


@dataclass
class _Count:
    """The figures of purchases as they come."""

    open: Counter[FunnelType] = field(default_factory=Counter)
    bought: Counter[FunnelType] = field(default_factory=Counter)
    before: Counter[FunnelType] = field(default_factory=Counter)

    def looked_at(self, entries: Iterable[Entry]) -> None:
        self.open.update(entry.funnel for entry in entries)

    def settled(self, found: Iterable[Change]) -> None:
        for change in found:
            (self.bought if change.purchased_at else self.before)[change.funnel] += 1

    def purchased(self) -> Purchased:
        return Purchased({f: Settled(self.bought[f], self.before[f], self.open[f]) for f in FunnelType})


def _some(rows: Iterable[T], most: int) -> Iterator[list[T]]:
    """In order, so many at a time."""
    left = iter(rows)
    while some := list(islice(left, most)):
        yield some


def _nobody(_funnel: FunnelType, _emails: Collection[str]) -> Collection[str]:
    return ()


def _as_entered(new: NewEntry, now: datetime) -> Entry:
    """As it would stand in the ledger; it has no number yet."""
    return Entry(0, new.email, new.funnel, new.user_id, new.test_id, now)
