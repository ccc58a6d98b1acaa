"""Whatever happens in whatever order, a claim is neither lost nor held twice: the ledger against a plain model."""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from random import Random

import pytest

from analytics_platform.cadence import Period
from analytics_platform.state.runs import (
    ClaimError,
    Entry,
    LostClaimError,
    Owner,
    RunLedger,
    SettledError,
    Status,
    TakenError,
)

START = datetime(2026, 11, 21, tzinfo=UTC)
LEASE = timedelta(minutes=10)
OWNERS = [Owner(f"run{number}", "host", number) for number in range(3)]
DAYS = [Period(date(2026, 11, day), date(2026, 11, day)) for day in (19, 20)]
ENDS = (Status.DELIVERED, Status.PRELIMINARY, Status.FAILED, Status.READY)
HANDED_OVER = (Status.DELIVERED, Status.PRELIMINARY, Status.SENDING)


@dataclass
class Expected:
    """What one period's entry must be, by rules written down once more."""

    status: Status | None = None
    owner: Owner | None = None
    lease_until: datetime = START
    delivering: bool = False
    attempts: int = 0
    changes: int = 0
    round: int = 1
    delivery: str | None = None
    numbers: int | None = None
    ended: set[str] = field(default_factory=set)  # deliveries that are no claim's any more
    seen: list[Entry] = field(default_factory=list)  # on its way, as somebody read it

    def leave(self, status: Status) -> None:
        """The claim, or the way, is over."""
        if self.delivering and self.delivery:
            # Of what is ready although delivery had begun, nothing was sent.
            (self.ended.discard if status is Status.READY else self.ended.add)(self.delivery)
        self.status, self.owner = status, None
        self.changes += 1

    def begin_anew(self) -> None:
        """Another round for what may have reached somebody."""
        self.round += self.delivering and self.status in (*HANDED_OVER, Status.FAILED)
        self.delivering, self.delivery = False, None


class Model:
    """The ledger's rules without a database."""

    def __init__(self) -> None:
        self.now = START
        self.dead: set[Owner] = set()
        self.periods = {day: Expected() for day in DAYS}

    def free(self, e: Expected) -> bool:
        """Whether that claim is over."""
        return e.owner in self.dead or e.lease_until <= self.now

    def claim(self, e: Expected, owner: Owner, *, again: bool) -> type[ClaimError] | None:
        """The error that must come, or what the entry becomes."""
        if e.status is Status.RUNNING:
            if e.owner == owner:
                return None
            if not self.free(e):
                return TakenError
            e.leave(self.left_behind(e))
        if e.status in HANDED_OVER and not again:
            return SettledError
        e.begin_anew()
        e.status, e.owner, e.lease_until = Status.RUNNING, owner, self.now + LEASE
        e.attempts += 1
        e.changes += 1
        return None

    def left_behind(self, e: Expected) -> Status:
        """What a process that never said how it ended leaves."""
        return Status.SENDING if e.delivering else Status.READY

    def own(self, e: Expected, owner: Owner) -> type[ClaimError] | None:
        """Only the owner may."""
        return None if e.status is Status.RUNNING and e.owner == owner else LostClaimError


def step(model: Model, ledger: RunLedger, random: Random) -> None:
    """One operation on both; both must agree on whether it was allowed."""
    model.now += random.choice([timedelta(seconds=1), timedelta(minutes=1)] * 4 + [LEASE])
    day, owner, now = random.choice(DAYS), random.choice(OWNERS), model.now
    e = model.periods[day]
    if e.owner and random.random() < 0.6:
        owner = e.owner
    wanted: type[ClaimError] | None = None
    raised: type[Exception] | None = None
    operation = random.choice(
        ["claim"] * 6 + ["delivering", "arrived"] * 4 + ["finish"] * 3 + ["renew", "expect", "release", "die", "reset"]
    )
    again, end = random.random() < 0.4, random.choice((*ENDS, Status.SENDING, Status.SENDING))
    if operation == "claim":
        model.dead.discard(owner)
        wanted = model.claim(e, owner, again=again)
    elif operation in ("finish", "renew", "delivering"):
        wanted = model.own(e, owner)
        if operation == "delivering" and e.lease_until <= now:
            wanted = LostClaimError
    elif operation == "reset" and e.status is Status.RUNNING and e.lease_until > now:
        wanted = TakenError
    try:
        match operation:
            case "claim":
                ledger.claim("feed", day, owner, now, lease=LEASE, gone=model.dead.__contains__, again=again)
            case "finish":
                ledger.finish("feed", day.last, owner, end, "", now)
                e.leave(end)
            case "delivering":
                deliver(ledger, day, owner, now, e, number=random.choice([None, random.randrange(9)]))
            case "arrived":
                arrive(ledger, e, random.choice(ENDS), now, random)
            case "renew":
                ledger.renew("feed", day.last, owner, now, LEASE)
                e.lease_until = now + LEASE
            case "expect":
                status = random.choice([Status.WAITING, Status.READY])
                ledger.expect("feed", day, status, "", now)
                untouched = e.status in (Status.RUNNING, *HANDED_OVER)
                if not untouched and not (e.status is Status.FAILED and e.delivering) and e.status is not status:
                    e.status = status
                    e.changes += 1
            case "release":
                released = ledger.release_dead(now, model.dead.__contains__)
                over = [x for x in model.periods.values() if x.status is Status.RUNNING and model.free(x)]
                assert len(released) == len(over)
                for ended in over:
                    ended.leave(model.left_behind(ended))
            case "die":
                model.dead.add(owner)
            case "reset":
                if ledger.reset("feed", day.last, now):
                    e.changes += e.status is not Status.WAITING
                    if e.status is Status.RUNNING:
                        e.status = model.left_behind(e)
                        if e.delivering and e.delivery:
                            e.ended.add(e.delivery)
                    e.begin_anew()
                    e.status, e.owner, e.attempts, e.numbers = Status.WAITING, None, 0, None
    except ClaimError as error:
        raised = type(error)
    assert raised is wanted, (operation, day, owner, e)


def deliver(ledger: RunLedger, day: Period, owner: Owner, now: datetime, e: Expected, *, number: int | None) -> None:
    """Delivery begins, under a name that no earlier delivery of that day has had."""
    stored = ledger.entry("feed", day.last)
    key = stored.key if stored else ""
    told = None if number is None else [{"name": "dau", "value": number, "share": False}]
    ledger.delivering("feed", day.last, owner, now, delivery=key, becomes=Status.DELIVERED, numbers=told)
    assert key not in e.ended
    e.delivering, e.delivery = True, key
    e.numbers = e.numbers if number is None else number


def arrive(ledger: RunLedger, e: Expected, end: Status, now: datetime, random: Random) -> None:
    """Somebody who has seen it on its way, now or long ago, ends it."""
    if not e.seen:
        return
    was = random.choice([e.seen[-1], random.choice(e.seen)])
    ended = ledger.arrived(was, end, "", now)
    assert (ended is not None) == (e.status is Status.SENDING and e.delivery == was.delivery)
    if ended:
        e.leave(end)


@pytest.mark.parametrize("seed", range(3))
def test_no_sequence_loses_or_doubles_a_claim(ledger: RunLedger, seed: int) -> None:
    random, model = Random(seed), Model()
    for _ in range(200):
        step(model, ledger, random)
        for day, e in model.periods.items():
            stored = ledger.entry("feed", day.last)
            assert (stored is None) == (e.status is None)
            if stored is not None:
                got = (stored.status, stored.owner, stored.attempts, stored.delivering)
                assert got == (e.status, e.owner, e.attempts, e.delivering)
                told = stored.numbers[0]["value"] if stored.numbers else None
                assert (stored.round, stored.delivery, told) == (e.round, e.delivery, e.numbers)
                assert stored.key == (f"{day.last}" if e.round == 1 else f"{day.last} #{e.round}")
                if stored.status is Status.SENDING and stored not in e.seen:
                    e.seen.append(stored)
                history = ledger.history("feed", day.last)
                assert len(history) == e.changes
                assert history[-1].status is stored.status
                assert all(one.moment <= other.moment for one, other in pairwise(history))
