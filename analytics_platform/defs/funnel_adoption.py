"""Coming from the script that funnels replace: its people are put into the ledger of this home, and what that came to.

Belongs here: the order of it, its words. Does not: whom rows stand for (`funnels/adoption.py`), reading them
(`sources/modx_former.py`), writing (`state/funnels.py`), the terminal (`cli/funnel_adopt.py`).

Killed at any moment, it has adopted some people, each with the jobs that are still to be told of them, or nobody; done
again, it adopts the others.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from uuid import uuid4
from zoneinfo import ZoneInfo

from analytics_platform.defs.claims import gone, now
from analytics_platform.defs.funnel_syncs import Told
from analytics_platform.defs.liveness import alive
from analytics_platform.defs.resources import Ledgers
from analytics_platform.funnels.adoption import FARTHEST_ZONE, Adopted, Bad, Doubt, Fault, People, Words
from analytics_platform.funnels.plan import FunnelType
from analytics_platform.settings import Home, Settings, SettingsError
from analytics_platform.sources.modx_client import SiteError
from analytics_platform.sources.modx_former import ENTRIES, OUTBOX, FormerTables
from analytics_platform.state.held import Held, held
from analytics_platform.state.schema import FUNNELS

# Rows whose people are held at once: 80 MB. Of more, the table is read several times.
_AT_ONCE = 250_000
# People in one transaction.
_WRITTEN = 500
# Rows between two words of progress and two looks at the lease.
_TOLD_EVERY = 5_000
# A newest entry that is later than now by more is no matter of clocks that differ a little.
_CLOCK_SLACK = timedelta(minutes=5)
_NAMED = 20


def former_of(settings: Settings, zone: ZoneInfo | None, entries: str, outbox: str) -> FormerTables:
    """The script's tables in the site's database. `zone`: None: the site's. Opens nothing yet.

    Raises SettingsError without a site, SiteError for what cannot be the name of a table.
    """
    if settings.modx_url is None:
        raise SettingsError("MODX_URL is not set: it names the site's database (docs/funnels.md).")
    return FormerTables(
        settings.modx_url, zone or settings.modx_zone, settings.modx_zone, entries=entries, outbox=outbox
    )


def waiting(settings: Settings, ledgers: Ledgers) -> str:
    """Where the script's people wait to be adopted, in words, until a sync has let somebody in; else empty.

    Of an adoption that was killed half-way it says how many are left, for which it looks at all of them. Raises
    SettingsError without a site, SiteError, StateError.
    """
    ledger = ledgers.funnels
    begun = ledger.exists() and next(ledger.rows(None, None), None) is not None
    if begun and ledger.standing().last_started_at is not None:
        return ""
    former = former_of(settings, None, ENTRIES, OUTBOX)
    with former.reading():
        there = former.others()
    if ENTRIES not in there or FUNNELS.revision_table in there:
        return ""
    what = f"{ENTRIES} in {former.place} of a former script"
    if not begun:
        return f"{what}, whose people a first sync would let in again"
    taken = Adopting(settings, ledgers, former, lambda _what, _done, _total: None).look().by_funnel.values()
    left = sum(one.people for one in taken)
    return f"{what}, {left:,} of whose people are not adopted: a first sync would let them in again" if left else ""


@dataclass
class Taken:
    """People of one funnel. `people`: adopted now, out of so many `rows`; `known` are in the ledger already.

    Of the adopted: those who bought, who had bought before, of whom Brevo has yet to hear, and whose purchase is
    doubtful, by reason.
    """

    people: int = 0
    rows: int = 0
    known: int = 0
    purchased: int = 0
    customers: int = 0
    to_add: int = 0
    to_update: int = 0
    doubts: Counter[Doubt] = field(default_factory=Counter)

    def count(self, one: Adopted) -> None:
        """One who is adopted."""
        self.people += 1
        self.rows += one.rows
        self.purchased += one.purchased_at is not None
        self.customers += one.customer_since is not None
        self.to_add += one.to_add
        self.to_update += one.to_update
        if one.doubt:
            self.doubts[one.doubt] += 1


@dataclass
class Adoption:
    """What came of it. `entries`, `jobs`: the script's rows. `bad`: of the entries, with the first of them by name.

    `orphans`: outbox rows' entries that are not there; `ahead`: the newest entry is so far ahead of the clock.
    """

    entries: int
    jobs: int
    by_funnel: dict[FunnelType, Taken] = field(default_factory=lambda: {funnel: Taken() for funnel in FunnelType})
    bad: Counter[Fault] = field(default_factory=Counter)
    named: list[Bad] = field(default_factory=list)
    orphans: Sequence[int] = ()
    unknown_jobs: int = 0
    ahead: timedelta | None = None


@dataclass
class Adopting:
    """One go at it. `progress` is told what is done, how many, of how many."""

    settings: Settings
    ledgers: Ledgers
    former: FormerTables
    progress: Told
    began: datetime = field(default_factory=now)
    _ledger_there: bool = field(default=False, init=False)

    def look(self) -> Adoption:
        """What would be done. Writes nothing. Raises SettingsError, SiteError, StateError."""
        return self._adopt(None)

    def apply(self, home: Home) -> Adoption:
        """Do it, while no sync is at work. Raises LeaseTakenError when one is, SettingsError, SiteError, StateError."""
        with self.former.reading():  # what cannot be right is said before our tables are made
            self._check()
            if ahead := self._ahead():
                raise SiteError(f"nothing was adopted: {_clock(ahead)}")
        with (
            alive(home, f"terminal-{uuid4()}") as owner,
            held(self.ledgers.funnels, owner, now, gone) as lease,
        ):
            return self._adopt(lease)

    def _adopt(self, lease: Held | None) -> Adoption:
        former = self.former
        with former.reading():
            self._check()
            self._ledger_there = lease is not None or self.ledgers.funnels.exists()
            done = Adoption(*former.sizes())
            done.ahead = self._ahead()
            words = self._words(done.jobs, lease)
            parts = max(1, -(-done.entries // _AT_ONCE))
            settled = 0
            for part in range(parts):
                people = self._people(words, done.entries, part, parts, lease)
                for some in _some(people.adopted(), _WRITTEN):
                    self._take(some, done, lease)
                    settled += sum(one.rows for one in some)
                    self.progress("people looked up", settled, done.entries)
                done.bad += people.bad
                done.named += people.named[: _NAMED - len(done.named)]
            self.progress("people looked up", done.entries, done.entries)
        done.orphans, done.unknown_jobs = words.orphans(), words.unknown + words.nowhere
        return done

    def _check(self) -> None:
        """The tables are there, are the script's, and are not our own."""
        names = [name for name in self.former.names.values() if name.lower() in FUNNELS.tables]
        place = self.former.place
        if names and FUNNELS.revision_table in self.former.others():
            raise SettingsError(
                f"{' and '.join(names)} in {place}: the funnels' own, not the script's, as {FUNNELS.revision_table} "
                "beside says; name the script's tables by --entries and --outbox."
            )
        if names and self._with_the_site():
            raise SettingsError(
                f"FUNNEL_DATABASE_URL names {place}, where {' and '.join(names)} would be the funnels' own; name "
                "another one, or rename the script's tables and name them by --entries and --outbox."
            )
        self.former.check()

    def _with_the_site(self) -> bool:
        """Whether our tables are to be in the site's own database."""
        url, ours = self.settings.funnel_database_url, self.ledgers.funnels.place
        of_its_kind = url is not None and url.get_secret_value().startswith(("mysql", "mariadb"))
        return of_its_kind and self.former.place in (ours, f"{ours}:3306")

    def _ahead(self) -> timedelta | None:
        newest = self.former.newest(self.began + FARTHEST_ZONE)
        return newest - self.began if newest and newest - self.began > _CLOCK_SLACK else None

    def _words(self, total: int, lease: Held | None) -> Words:
        words, done = Words(), 0
        with closing(self.former.jobs()) as jobs:
            for job in jobs:
                words.add(job)
                done += 1
                self._tick(f"rows of {self.former.names['outbox']}", done, total, lease)
        self.progress(f"rows of {self.former.names['outbox']}", total, total)
        return words

    def _people(self, words: Words, total: int, part: int, parts: int, lease: Held | None) -> People:
        people, done = People(self.settings.funnel_plan, self.began, part, parts), part * total
        what = f"rows of {self.former.names['entries']}"
        with closing(self.former.entries()) as rows:
            for row in rows:
                people.take(row, words)
                done += 1
                self._tick(what, done, total * parts, lease)
        self.progress(what, (part + 1) * total, total * parts)
        return people

    def _tick(self, what: str, done: int, total: int, lease: Held | None) -> None:
        if done % _TOLD_EVERY == 0:
            if lease:
                lease.now()
            self.progress(what, done, total)

    def _take(self, some: Sequence[Adopted], done: Adoption, lease: Held | None) -> None:
        ledger = self.ledgers.funnels
        for funnel, counts in done.by_funnel.items():
            theirs = [one for one in some if one.funnel is funnel]
            known = ledger.known(funnel, [one.email for one in theirs]) if theirs and self._ledger_there else ()
            counts.known += len(known)
            new = [one for one in theirs if one.email not in known]
            if lease and new:
                ledger.adopt(lease.now(), new, now())
            for one in new:
                counts.count(one)


def _some(people: Iterator[Adopted], most: int) -> Iterator[list[Adopted]]:
    while some := list(islice(people, most)):
        yield some


# ------------------------------------------------------------------- in words


def lines(done: Adoption, former: FormerTables, *, would: bool) -> Iterator[str]:
    """What came of it, or what would come of it, for people; of addresses only hashes."""
    verb, be = ("would be adopted", "would be") if would else ("adopted", "are to be")
    entries, outbox = former.names["entries"], former.names["outbox"]
    yield f"{entries}: {done.entries:,} rows, times of entry in {former.zone}; {outbox}: {done.jobs:,} rows"
    if done.ahead:
        yield _clock(done.ahead)
    for funnel, one in done.by_funnel.items():
        said = [
            f"{funnel}: {_people(one.people)} {verb}{f' ({one.rows:,} rows)' if one.rows != one.people else ''}",
            *([f"{one.purchased:,} with a purchase"] if one.purchased else []),
            *([f"{one.customers:,} already customers (bought before they entered)"] if one.customers else []),
            *(f"{number:,} {doubt} (they stay open)" for doubt, number in one.doubts.items()),
        ]
        yield f"{', '.join(said)}; {one.known:,} in the ledger already"
    adds = sum(one.to_add for one in done.by_funnel.values())
    updates = sum(one.to_update for one in done.by_funnel.values())
    yield f"outbox: {adds:,} contacts {be} added, {updates:,} updated after a purchase; Brevo knows of the others"
    if done.bad:
        yield f"rows of {entries} left out: {', '.join(f'{number:,} {fault}' for fault, number in done.bad.items())}"
        named = (f"{bad.id} ({f'{bad.person}, ' if bad.person else ''}{bad.fault})" for bad in done.named)
        yield f"those rows by id: {', '.join(named)}{', ...' if done.bad.total() > len(done.named) else ''}"
    if done.orphans:
        first = ", ".join(str(number) for number in done.orphans[:_NAMED])
        more = ", ..." if len(done.orphans) > _NAMED else ""
        yield f"rows of {outbox} left out: those of {len(done.orphans):,} entries that are not there ({first}{more})"
    if done.unknown_jobs:
        yield f"rows of {outbox} left out: {done.unknown_jobs:,} of an unknown operation, or of no entry"


def _clock(ahead: timedelta) -> str:
    minutes = ahead // timedelta(minutes=1)
    return f"the newest entry was made {minutes:,} minutes from now: name the zone of the script's times by --zone"


def _people(number: int) -> str:
    return "1 person" if number == 1 else f"{number:,} people"
