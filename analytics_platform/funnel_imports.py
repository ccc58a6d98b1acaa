"""Imports under way: contacts that the mailing service was handed over together, until it says what became of them.

Belongs here: asking after imports within what an account may, when one is given up, what its end makes of its jobs.
Does not: starting them, noting outcomes, everything one by one (`funnel_outbox.py`).

An import that failed, or that nobody hears of any more, loses nobody: its contacts go one by one then, and telling
somebody again changes nothing.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from analytics_platform.contacts.base import (
    ContactRefusedError,
    Contacts,
    ContactsBusyError,
    ContactsClosedError,
    ImportState,
)
from analytics_platform.funnels.person import masked, normal
from analytics_platform.funnels.records import Job, JobStatus, Outcome
from analytics_platform.state.funnels import FunnelLedger

# What imports are asked about in one go, a request each. An account has 100 of them an hour, and a go comes every 15
# minutes.
POLLS = 20
# An import of a hundred thousand contacts takes minutes: so late, this one will never be told of.
LONGEST = timedelta(hours=2)
_LONGEST_ERROR = 500


@dataclass
class Imports:
    """The imports of one go, by the service's number, and when each began (aware). `clock`: the moment, aware.

    `closed`: why one of them may not be asked after in this go.
    """

    ledger: FunnelLedger
    contacts: Contacts
    clock: Callable[[], datetime]
    under_way: dict[int, datetime] = field(default_factory=dict)
    polls_left: int = POLLS
    closed: ContactsClosedError | None = None

    def resume(self) -> None:
        """Those that earlier goes left."""
        self.under_way.update(self.ledger.imports())

    def began(self, process_id: int) -> None:
        """One was handed over."""
        self.under_way[process_id] = self.clock()

    def ended(self, step: Callable[[], None]) -> Iterator[list[Outcome]]:
        """Asks after each, as long as it may; for each that has ended, what becomes of its jobs, to be noted.

        `step` comes before each request. Raises what that raises, StateError.
        """
        asking = True
        for process_id, since in list(self.under_way.items()):
            state = ImportState(done=False)
            # Whatever the service would say or not say of it, its contacts do not wait any longer.
            if self.clock() - since >= LONGEST:
                hours = LONGEST / timedelta(hours=1)
                state = ImportState(done=True, failed=True, about=f"it has not ended within {hours:g} hours")
            elif asking and self.polls_left:
                step()
                self.polls_left -= 1
                try:
                    state = self.contacts.import_state(process_id)
                except ContactRefusedError as error:
                    state = ImportState(done=True, failed=True, about=str(error))
                except ContactsBusyError as error:
                    # One that cannot be told of does not keep the others from it; no more requests at all do.
                    asking = error.retry_after_seconds is None
                except ContactsClosedError as error:
                    # Of this request alone, or of all? Contacts will tell; the next go asks again.
                    self.closed = error
                    del self.under_way[process_id]
                    continue
            if state.done or state.failed:
                del self.under_way[process_id]
                yield self._outcomes(process_id, state)

    def _outcomes(self, process_id: int, state: ImportState) -> list[Outcome]:
        # Whatever was to be tried again meanwhile is no longer part of it.
        jobs = self.ledger.of_import(process_id)
        if state.failed:
            # What was given up stays so.
            jobs = [job for job in jobs if job.status is JobStatus.IMPORTING]
            now, about = self.clock(), said(f"import {process_id} failed: {state.about}")
            return [Outcome(job.id, JobStatus.PENDING, job.retries, about, now, process_id) for job in jobs]
        refused = {normal(email) for email in state.refused}
        return [
            failed(job, f"the mailing service refused it in import {process_id}: {state.about}")
            if job.email in refused
            else Outcome(job.id, JobStatus.SUCCESS, job.retries, process_id=process_id)
            for job in jobs
        ]


def failed(job: Job, reason: str) -> Outcome:
    """It is not tried again."""
    return Outcome(job.id, JobStatus.FAILED, job.retries, said(reason), process_id=job.process_id)


def said(text: str) -> str:
    """What stands with a job: one line without addresses."""
    # Cut last: half an address would no longer be known as one.
    return " ".join(masked(text).split())[:_LONGEST_ERROR]
