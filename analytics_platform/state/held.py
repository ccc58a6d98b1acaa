"""A lease that is kept as long as its work takes.

Belongs here: taking it, renewing it before it runs out, giving it back. Does not: who may have it when, and that nobody
else writes meanwhile (`leases.py`, `funnels.py`).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta

from analytics_platform.state.database import StateError
from analytics_platform.state.funnels import FunnelLedger
from analytics_platform.state.leases import Lease
from analytics_platform.state.owners import Owner

# Longer than anything that happens between two looks at it: a request with its repeats, a page of the site.
LENGTH = timedelta(minutes=10)


class Held:
    """The lease of a piece of work that goes on. `clock` gives the present moment, aware."""

    def __init__(self, ledger: FunnelLedger, lease: Lease, clock: Callable[[], datetime], length: timedelta) -> None:
        self._ledger = ledger
        self._lease = lease
        self._clock = clock
        self._length = length

    def now(self) -> Lease:
        """The lease, renewed when a third of it is over; ask for it before every step.

        Raises LeaseLostError when somebody else has it by now: nothing more is to be done then.
        """
        now = self._clock()
        if now >= self._lease.until - self._length * 2 / 3:
            self._lease = self._ledger.renew(self._lease, now, self._length)
        return self._lease

    def sure(self) -> Lease:
        """The lease, renewed whenever it runs out, so that it is ours for certain and for its whole length from now on.

        Ask for it right before writing elsewhere than into the ledger, which looks at the lease by itself. Raises
        LeaseLostError when somebody else has it by now.
        """
        self._lease = self._ledger.renew(self._lease, self._clock(), self._length)
        return self._lease

    def release(self) -> None:
        """Give it back, if it is still ours."""
        self._ledger.release(self._lease)


@contextmanager
def held(
    ledger: FunnelLedger,
    owner: Owner,
    clock: Callable[[], datetime],
    gone: Callable[[Owner], bool],
    length: timedelta = LENGTH,
) -> Iterator[Held]:
    """The lease for what happens inside. Raises LeaseTakenError, which says who has it since when, and StateError.

    `gone`: whether a process has provably ended; the lease of such a one is taken over at once, that of another one
    after `length`.
    """
    kept = Held(ledger, ledger.take(owner, clock(), length, gone), clock, length)
    try:
        yield kept
    except BaseException:
        # What went wrong inside is what is told; a lease that cannot be given back runs out by itself.
        with suppress(StateError):
            kept.release()
        raise
    kept.release()
