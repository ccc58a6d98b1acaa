"""Whatever happens in whatever order, a claim is neither lost nor held twice: the ledger against a plain model."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from random import Random

import pytest

from analytics_platform.cadence import Period
from analytics_platform.state.runs import ClaimError, LostClaimError, Owner, RunLedger, SettledError, Status, TakenError

START = datetime(2026, 11, 21, tzinfo=UTC)
LEASE = timedelta(minutes=10)
OWNERS = [Owner(f"run{number}", "host", number) for number in range(3)]
DAYS = [Period(date(2026, 11, day), date(2026, 11, day)) for day in (19, 20)]
ENDS = (Status.DELIVERED, Status.PRELIMINARY, Status.FAILED, Status.READY)


@dataclass
class Expected:
    """What one period's entry must be, by rules written down once more."""

    status: Status | None = None
    owner: Owner | None = None
    lease_until: datetime = START
    delivering: bool = False
    attempts: int = 0
    changes: int = 0


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
        if e.status in (Status.DELIVERED, Status.PRELIMINARY) and not again:
            return SettledError
        if e.status is Status.RUNNING:
            if e.owner == owner:
                return None
            if not self.free(e):
                return TakenError
            e.changes += 1
        e.status, e.owner, e.lease_until, e.delivering = Status.RUNNING, owner, self.now + LEASE, False
        e.attempts += 1
        e.changes += 1
        return None

    def own(self, e: Expected, owner: Owner) -> type[ClaimError] | None:
        """Only the owner may."""
        return None if e.status is Status.RUNNING and e.owner == owner else LostClaimError

    def end(self, e: Expected, status: Status) -> None:
        """The claim is over."""
        e.status, e.owner = status, None
        e.changes += 1


def step(model: Model, ledger: RunLedger, random: Random) -> None:
    """One operation on both; both must agree on whether it was allowed."""
    model.now += random.choice([timedelta(seconds=1), timedelta(minutes=1), LEASE])
    day, owner, now = random.choice(DAYS), random.choice(OWNERS), model.now
    e = model.periods[day]
    wanted: type[ClaimError] | None = None
    raised: type[Exception] | None = None
    operation = random.choice(
        ["claim"] * 4 + ["finish"] * 2 + ["delivering", "renew", "expect", "release", "die", "reset"]
    )
    again, end = random.random() < 0.3, random.choice(ENDS)
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
                model.end(e, end)
            case "delivering":
                ledger.delivering("feed", day.last, owner, now)
                e.delivering = True
            case "renew":
                ledger.renew("feed", day.last, owner, now, LEASE)
                e.lease_until = now + LEASE
            case "expect":
                status = random.choice([Status.WAITING, Status.READY])
                ledger.expect("feed", day, status, "", now)
                untouched = e.status in (Status.RUNNING, Status.DELIVERED, Status.PRELIMINARY)
                if not untouched and not (e.status is Status.FAILED and e.delivering) and e.status is not status:
                    e.status = status
                    e.changes += 1
            case "release":
                released = ledger.release_dead(now, model.dead.__contains__)
                over = [x for x in model.periods.values() if x.status is Status.RUNNING and model.free(x)]
                assert len(released) == len(over)
                for ended in over:
                    model.end(ended, Status.FAILED if ended.delivering else Status.READY)
            case "die":
                model.dead.add(owner)
            case "reset":
                if ledger.reset("feed", day.last, now):
                    e.changes += e.status is not Status.WAITING
                    e.status, e.owner, e.attempts, e.delivering = Status.WAITING, None, 0, False
    except ClaimError as error:
        raised = type(error)
    assert raised is wanted, (operation, day, owner, e)


@pytest.mark.parametrize("seed", range(3))
def test_no_sequence_loses_or_doubles_a_claim(ledger: RunLedger, seed: int) -> None:
    random, model = Random(seed), Model()
    for _ in range(120):
        step(model, ledger, random)
        for day, e in model.periods.items():
            stored = ledger.entry("feed", day.last)
            assert (stored is None) == (e.status is None)
            if stored is not None:
                got = (stored.status, stored.owner, stored.attempts, stored.delivering)
                assert got == (e.status, e.owner, e.attempts, e.delivering)
                history = ledger.history("feed", day.last)
                assert len(history) == e.changes
                assert history[-1].status is stored.status
                assert all(one.moment <= other.moment for one, other in pairwise(history))
