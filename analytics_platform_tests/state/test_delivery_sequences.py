"""Whatever happens in whatever order: the delivery ledger against a plain model, and against what truly arrived."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from random import Random

import pytest

from analytics_platform.state.database import Database
from analytics_platform.state.deliveries import Deliveries
from analytics_platform.state.owners import Owner
from analytics_platform.state.part_changes import DIED, SILENT
from analytics_platform.state.parts import LostPartError, State, Wanted
from analytics_platform_tests.state.test_deliveries import FAILED, LEASE, NOW, PENDING, SENDING, SENT, UNCERTAIN

KEEP_TRYING = timedelta(hours=2)
OWNERS = [Owner(f"run{number}", "host", number) for number in range(3)]
PERIODS = ("2026-11-19", "2026-11-20")
WANTED = [
    Wanted("telegram", address, "", f"{place} {kind}", place, "en", "", kind == "text")
    for address in ("-1", "-2")
    for place, kind in ((1, "text"), (2, "album"))
]


@dataclass
class Expected:
    """What one part must be, by rules written down once more, and what truly became of it."""

    digest: str
    repeatable: bool
    try_until: datetime
    state: State = PENDING
    doubtful: bool = False
    attempts: int = 0
    owner: Owner | None = None
    lease_until: datetime | None = None
    next_at: datetime | None = None
    error: str = ""
    arrived: int = 0  # at the other side, whatever the ledger thinks
    allowed: int = 1  # arrivals without anybody asking for another

    @property
    def open(self) -> bool:
        return self.state is PENDING or (self.state is UNCERTAIN and self.repeatable)

    def free(self) -> None:
        self.owner = self.lease_until = self.next_at = None


@dataclass
class Try:
    """A request on its way. `arrives`: what it truly comes to; nobody knows yet."""

    part: int
    owner: Owner
    attempt: int
    arrives: bool


@dataclass
class World:
    """The ledger's rules without a database, the processes, and what they are at."""

    deliveries: Deliveries
    random: Random
    now: datetime = NOW
    dead: set[Owner] = field(default_factory=set)
    parts: dict[int, Expected] = field(default_factory=dict)
    named: dict[tuple[str, tuple[str, ...]], int] = field(default_factory=dict)
    tries: list[Try] = field(default_factory=list)

    def over(self, e: Expected) -> str:
        """Why that try counts as ended."""
        if e.state is not SENDING:
            return ""
        if e.owner in self.dead:
            return DIED
        return SILENT if e.lease_until and e.lease_until <= self.now else ""

    def leave(self, e: Expected, why: str) -> None:
        e.state, e.doubtful, e.error = UNCERTAIN, True, why

    def enter(self) -> None:
        period = self.random.choice(PERIODS)
        chosen = self.random.sample(WANTED, self.random.randint(1, len(WANTED)))
        wanted = [replace(one, digest=self.random.choice("ab")) for one in chosen]
        known = {key: number for (of, key), number in self.named.items() if of == period}
        stored = self.deliveries.enter("feed", period, wanted, self.now, self.now + KEEP_TRYING)
        assert {p.key for p in stored} == {w.key for w in wanted} | {
            key for key, number in known.items() if not self.fresh(number)
        }
        for key, number in known.items():
            if self.fresh(number) and key not in {w.key for w in wanted}:
                del self.parts[number], self.named[period, key]
        digests = {w.key: w for w in wanted}
        for part in stored:
            if part.key not in known:
                assert part.id not in {one.part for one in self.tries}
                one = digests[part.key]
                self.parts[part.id] = Expected(one.digest, one.repeatable, self.now + KEEP_TRYING)
                self.named[period, part.key] = part.id
            elif self.fresh(part.id):
                self.parts[part.id].digest = digests[part.key].digest

    def fresh(self, number: int) -> bool:
        return self.parts[number].state is PENDING and self.parts[number].attempts == 0

    def begin(self) -> None:
        owner = self.random.choice(OWNERS)
        self.dead.discard(owner)
        number = self.random.choice([*self.parts, 999_999])
        begun = self.deliveries.begin(number, owner, self.now, lease=LEASE, gone=self.dead.__contains__)
        e = self.parts.get(number)
        if e and (why := self.over(e)):
            self.leave(e, why)
        assert (begun is not None) == (e is not None and e.open)
        if begun and e:
            e.state, e.attempts, e.owner, e.lease_until = SENDING, e.attempts + 1, owner, self.now + LEASE
            e.next_at = None
            # What may have arrived is never sent again unmarked, and what is to be held never by itself.
            assert begun.doubtful or not e.arrived
            assert begun.repeatable or e.arrived < e.allowed
            self.tries.append(Try(number, owner, e.attempts, self.random.random() < 0.5))

    def end(self) -> None:
        if not self.tries:
            return
        done = self.tries.pop(self.random.randrange(len(self.tries)))
        proven = (SENT,) if done.arrives else (PENDING, FAILED)
        state = self.random.choice([*proven, UNCERTAIN])
        next_at = self.random.choice([None, self.now + timedelta(minutes=5)])
        e = self.parts.get(done.part)
        if e and done.arrives:
            e.arrived += 1
        lost = e is None or (e.owner, e.attempts) != (done.owner, done.attempt)
        try:
            self.deliveries.end(
                done.part, done.owner, state, self.now, error="said", next_at=next_at, attempt=done.attempt
            )
        except LostPartError:
            assert lost, (done, e)
            return
        assert not lost
        assert e
        e.doubtful = e.doubtful or state is UNCERTAIN
        if e.state is UNCERTAIN and state is not UNCERTAIN and e.attempts == 1:
            e.doubtful = False
        e.free()
        e.state, e.error = state, "said"
        e.next_at = next_at if state in (PENDING, UNCERTAIN) else None

    def die(self) -> None:
        """The process and its requests end; what was on its way may have arrived."""
        owner = self.random.choice(OWNERS)
        self.dead.add(owner)
        for lost in [one for one in self.tries if one.owner == owner]:
            self.tries.remove(lost)
            if lost.arrives and lost.part in self.parts:
                self.parts[lost.part].arrived += 1

    def release(self) -> None:
        released = self.deliveries.release_dead(self.now, self.dead.__contains__)
        left = {number: why for number, e in self.parts.items() if (why := self.over(e))}
        assert [part.id for part in released] == sorted(left)
        for number, why in left.items():
            self.leave(self.parts[number], why)

    def expire(self) -> None:
        expired = self.deliveries.expire(self.now)
        late = {number: e for number, e in self.parts.items() if e.open and e.try_until <= self.now}
        assert [part.id for part in expired] == sorted(late)
        for e in late.values():
            e.next_at = None
            if e.state is UNCERTAIN:
                e.repeatable = False
            else:
                said = f": {e.error}" if e.error else ""
                before = ", but may have arrived before" if e.doubtful else ""
                e.state, e.error = FAILED, f"not sent by {e.try_until:%Y-%m-%d %H:%M} UTC{before}{said}"

    def some(self) -> list[int]:
        return self.random.sample(list(self.parts), min(len(self.parts), 2))

    def give_up(self) -> None:
        chosen, states = self.some(), self.random.choice([(PENDING,), (PENDING, UNCERTAIN)])
        given_up = self.deliveries.give_up(chosen, "enough", self.now, states=states)
        mine = [number for number in chosen if self.parts[number].state in states]
        assert [part.id for part in given_up] == sorted(mine)
        for number in mine:
            e = self.parts[number]
            e.free()
            e.state, e.error = FAILED, "enough"

    def again(self) -> None:
        chosen, until = self.some(), self.now + KEEP_TRYING
        pending = self.deliveries.again(chosen, self.now, until)
        mine = [number for number in chosen if self.parts[number].state in (SENT, UNCERTAIN, FAILED)]
        assert [part.id for part in pending] == sorted(mine)
        for number in mine:
            e = self.parts[number]
            e.free()
            e.doubtful = e.doubtful or e.state is not FAILED
            e.state, e.error, e.try_until, e.allowed = PENDING, "", until, e.arrived + 1

    def withdraw(self) -> None:
        period = self.random.choice(PERIODS)
        gone = [name for name, number in self.named.items() if name[0] == period and self.fresh(number)]
        assert self.deliveries.withdraw("feed", period, self.now) == len(gone)
        for name in gone:
            del self.parts[self.named.pop(name)]

    def check(self) -> None:
        """The ledger says what the model says, part by part and in every summary."""
        stored = {part.id: part for period in PERIODS for part in self.deliveries.parts("feed", period)}
        assert set(stored) == set(self.parts)
        for number, e in self.parts.items():
            p = stored[number]
            assert (p.state, p.doubtful, p.attempts, p.owner) == (e.state, e.doubtful, e.attempts, e.owner)
            assert (p.lease_until, p.next_at, p.error) == (e.lease_until, e.next_at, e.error)
            assert (p.digest, p.repeatable, p.try_until) == (e.digest, e.repeatable, e.try_until)
            assert p.unfinished == (e.open or e.state is SENDING)
        due = {
            part.period
            for part in stored.values()
            if self.parts[part.id].open
            and part.try_until > self.now
            and (part.next_at is None or part.next_at <= self.now)
        }
        assert {period for _, period in self.deliveries.due(self.now)} == due
        rows = {row.period: row for row in self.deliveries.overview()}
        for period in PERIODS:
            mine = [part for part in stored.values() if part.period == period]
            assert self.deliveries.unfinished("feed", period) == any(part.unfinished for part in mine)
            assert self.deliveries.begun("feed", period) == any(part.attempts for part in mine)
            assert (period in rows) == bool(mine)
            if mine:
                assert rows[period].recipients == len({part.recipient for part in mine})
                assert rows[period].counts == {s: sum(part.state is s for part in mine) for s in State}


@pytest.mark.parametrize("seed", range(4))
def test_no_sequence_hides_what_may_have_arrived(database: Database, seed: int) -> None:
    random = Random(seed)
    world = World(Deliveries(database), random)
    world.enter()
    operations = [world.begin] * 6 + [world.end] * 5 + [world.enter, world.die, world.release, world.expire]
    operations += [world.give_up, world.again, world.withdraw]
    for _ in range(150):
        world.now += random.choice([timedelta(seconds=1), timedelta(minutes=1), timedelta(minutes=4), LEASE])
        if world.parts or random.random() < 0.5:
            random.choice(operations if world.parts else [world.enter])()
            world.check()
