"""Who is to enter a funnel: of the tests taken, the people who are in none of that kind yet.

Belongs here: the rule. Does not: reading tests (`sources/modx.py`), who is in a funnel (`state/funnels.py`), writing.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice

from analytics_platform.funnels import person
from analytics_platform.funnels.attribution import Purchases
from analytics_platform.funnels.plan import FunnelPlan, FunnelType
from analytics_platform.funnels.records import NewEntry, Taken

_CHUNK = 5_000  # tests that are looked at together: one question a funnel to the ledger
_REMEMBERED = 1_000_000  # people found in a funnel who are not asked for again: 150 MB

Known = Callable[[FunnelType, Collection[str]], Collection[str]]


@dataclass(slots=True)
class Counted:
    """What became of the tests of a funnel that were looked at: `looked_at` is those left out and those that led in.

    `known`: of people who are in the funnel already; `not_addresses`: nobody can be written to there; `again`: of
    people who were chosen for a newer test.
    """

    looked_at: int = 0
    known: int = 0
    not_addresses: int = 0
    again: int = 0


@dataclass(frozen=True)
class Chosen:
    """Who is to enter, the newest test first, and what was left out (`by_funnel`, of the active ones).

    `full`: funnels whose batch is used up, so that there may be more people for the next sync. The counts are tests,
    not people; tests of a funnel that is full are not looked at.
    """

    entries: tuple[NewEntry, ...] = field(repr=False)
    by_funnel: Mapping[FunnelType, Counted]
    full: frozenset[FunnelType]

    @property
    def looked_at(self) -> int:
        """Tests of all funnels that were looked at."""
        return sum(counted.looked_at for counted in self.by_funnel.values())

    @property
    def known(self) -> int:
        """Tests of people who are in the funnel already."""
        return sum(counted.known for counted in self.by_funnel.values())

    @property
    def not_addresses(self) -> int:
        """Tests under something that is no address."""
        return sum(counted.not_addresses for counted in self.by_funnel.values())

    @property
    def again(self) -> int:
        """Tests of people who were chosen for a newer one."""
        return sum(counted.again for counted in self.by_funnel.values())


def choose(taken: Iterable[Taken], plan: FunnelPlan, known: Known, purchases: Purchases, now: datetime) -> Chosen:
    """Who enters at `now` (aware), from the tests taken, the newest first as the site gives them.

    A person enters a funnel once: `known` says which of some addresses (normalised) are in it. Of several tests the
    newest counts. Whoever paid before `now` enters as a customer, which uses up a place of the batch as well, so that
    no sync looks at them again. Reading ends when the batch of every active funnel is full; nothing older than the
    window is looked at.
    """
    chosen: dict[tuple[FunnelType, str], NewEntry] = {}
    counted = {kind: Counted() for kind in plan.active}
    wanting = dict.fromkeys(plan.active, plan.batch) if plan.batch else dict.fromkeys(plan.active, -1)
    since = now - plan.window
    inside: dict[FunnelType, set[str]] = {kind: set() for kind in plan.active}
    tests = iter(taken) if wanting else iter(())
    while wanting and (chunk := list(islice(tests, _CHUNK))):
        if sum(map(len, inside.values())) > _REMEMBERED:
            inside = {kind: set() for kind in plan.active}
        of_interest = [test for test in chunk if test.funnel in wanting and test.taken_at >= since]
        named = [
            (test, test.email if test.email in inside[test.funnel] else person.normal(test.email))
            for test in of_interest
        ]
        for kind, asked in _asked(named, chosen, inside):
            inside[kind].update(known(kind, asked))
        for test, email in named:
            kind = test.funnel
            if kind not in wanting:
                continue
            counts = counted[kind]
            counts.looked_at += 1
            if email is None:
                counts.not_addresses += 1
            elif (kind, email) in chosen:
                counts.again += 1
            elif email in inside[kind]:
                counts.known += 1
            else:
                before = purchases.first_before(email, kind, now)
                chosen[kind, email] = NewEntry(email, kind, test.result_id, test.test_id, plan.lists[kind], before)
                wanting[kind] -= 1
                if not wanting[kind]:
                    del wanting[kind]
    return Chosen(tuple(chosen.values()), counted, frozenset(counted) - frozenset(wanting))


def _asked(
    named: Iterable[tuple[Taken, str | None]],
    chosen: Collection[tuple[FunnelType, str]],
    inside: Mapping[FunnelType, Collection[str]],
) -> Iterator[tuple[FunnelType, list[str]]]:
    """The addresses that the ledger is to be asked about, each once, by funnel."""
    asked: dict[FunnelType, dict[str, None]] = {}
    for test, email in named:
        if email is not None and email not in inside[test.funnel] and (test.funnel, email) not in chosen:
            asked.setdefault(test.funnel, {})[email] = None
    return ((kind, list(emails)) for kind, emails in asked.items())
