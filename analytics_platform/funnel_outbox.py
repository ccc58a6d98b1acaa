"""The outbox is worked off: what the ledger says of people is told to the mailing service.

Belongs here: what goes when and in which order, what an answer makes of a job, when to stop. Does not: requests and
their pace (`contacts/`), imports under way (`funnel_imports.py`), what is kept of a job (`state/funnels.py`), who is in
a funnel (`funnel_sync.py`).

A job is noted after its request, each in a transaction of its own: a kill repeats one request at most, and repeating it
changes nothing at the mailing service. A try that failed counts against a job only when the service answers otherwise:
while it is down, or the account closed, jobs wait and none fails.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum, auto
from itertools import islice
from typing import NoReturn, Protocol

from analytics_platform.contacts.base import (
    Contact,
    ContactRefusedError,
    Contacts,
    ContactsBusyError,
    ContactsClosedError,
)
from analytics_platform.contacts.breaker import Breaker
from analytics_platform.funnel_imports import Imports, failed, said
from analytics_platform.funnels.person import masked
from analytics_platform.funnels.plan import FunnelType
from analytics_platform.funnels.records import Job, JobStatus, Operation, Outcome
from analytics_platform.state.funnels import FunnelLedger
from analytics_platform.state.held import Held

# The documented back-off: the n-th repeat comes n times as late, and there are so many of them.
WAIT, RETRIES = timedelta(minutes=5), 5
# So many calls in a row that the service could not answer: unless it answers otherwise, it is left alone for a while.
STREAK, OPEN = 5, timedelta(seconds=60)
# Due jobs held in memory at a time: 30 MB. Imports of less than that are too many to ask about within an hour.
_PAGE = 20_000
# So many are told one by one before it is looked again who was given up meanwhile: some seconds.
_AGAIN = 100
# Outcomes in one transaction.
_NOTED = 1_000
_PAUSES = (2.0, 4.0, 8.0, 16.0, 32.0, 60.0)


class Service(Contacts, Protocol):
    """The mailing service, which also says whether it is there."""

    def account(self) -> str:
        """Whose account it is. Raises what all calls raise."""
        ...


class End(Enum):
    """Why a go at the outbox was over."""

    DONE = auto()  # nothing was left that was due
    TIME = auto()  # its time was over
    CIRCUIT = auto()  # the service is down, or was until a moment ago
    CLOSED = auto()  # key, plan or list: a person has to do something


@dataclass(frozen=True)
class Worked:
    """What one go at the outbox came to; numbers of jobs.

    `sent` one by one; `imported`: in imports that ended well; `failed` for good; `put_off`: could not be sent and are
    tried again. As it is afterwards: `importing` contacts in imports under way, `left` still pending: those put off,
    and `held`, which wait for their funnel to lead to a list.
    `circuit_open_until`: aware, when nothing is sent before. `stopped`: what the service says when nothing is sent
    before a person does something; a sentence, else empty.
    """

    end: End
    sent: int = 0
    imported: int = 0
    failed: int = 0
    put_off: int = 0
    importing: int = 0
    left: int = 0
    held: int = 0
    circuit_open_until: datetime | None = None
    stopped: str = ""


@dataclass(frozen=True)
class Outbox:
    """Works the outbox off. `import_from`: when more than so many contacts are to be added to the same list, they are
    imported together. `clock`: the moment, aware; `progress` is told what is done, how many, and of how many (0: not
    known). `lists`: where funnels lead now; under 1: nowhere, and who is to be added waits. `sleep` waits so many
    seconds.

    Whoever waits goes to the list of today and not to that of the entry, which may never have been one.
    """

    ledger: FunnelLedger
    contacts: Service
    import_from: int
    clock: Callable[[], datetime]
    progress: Callable[[str, int, int], None]
    lists: Mapping[FunnelType, int]
    sleep: Callable[[float], None] = time.sleep

    @property
    def active(self) -> tuple[FunnelType, ...]:
        """The funnels that lead to a list."""
        return tuple(kind for kind in FunnelType if self.lists.get(kind, 0) > 0)

    def work(self, held: Held, until: datetime) -> Worked:
        """One go: imports under way, then contacts, then purchases. Nothing is begun at or after `until` (aware); what
        was begun may take the service's client some minutes while it does not answer.

        Raises StateError when the ledger fails, and LeaseLostError when somebody else works: nothing is sent then.
        """
        breaker = Breaker(STREAK, OPEN.total_seconds(), open_until=self.ledger.standing().circuit_open_until)
        go = _Go(self, held, until, breaker, Imports(self.ledger, self.contacts, self.clock))
        go.run()
        counts = self.ledger.counts()
        return Worked(
            end=go.end,
            sent=go.sent,
            imported=go.imported,
            failed=go.failed,
            put_off=go.put_off,
            importing=counts.get(JobStatus.IMPORTING, 0),
            left=counts.get(JobStatus.PENDING, 0),
            held=self.ledger.held(self.active),
            circuit_open_until=breaker.open_until if go.end is End.CIRCUIT else None,
            stopped=go.stopped,
        )


class _OverError(Exception):
    """This go is over; why stands in it."""


@dataclass(frozen=True)
class _Missed:
    """A try that the service could not answer."""

    job: Job
    error: ContactsBusyError


@dataclass
class _Go:
    """One go. `answers`: the service answered something; `missed`: tries in a row without an answer, not noted yet."""

    box: Outbox
    held: Held
    until: datetime
    breaker: Breaker
    imports: Imports
    end: End = End.DONE
    sent: int = 0
    imported: int = 0
    failed: int = 0
    put_off: int = 0
    stopped: str = ""
    answers: bool = False
    missed: list[_Missed] = field(default_factory=list)

    def run(self) -> None:
        try:
            self._all()
        except _OverError:
            pass
        except ContactsClosedError as error:
            self._close(error)
        # What was cut off says nothing about its contacts, unless the service answered others.
        self._note_missed(counted=self.answers and self.end is not End.CLOSED)

    def _all(self) -> None:
        if self.breaker.is_open(self.box.clock()):
            self._over(End.CIRCUIT)
        if self.breaker.open_until is not None:
            self._probe()
        self.imports.resume()
        self._ask_about_imports()
        pauses = iter(_PAUSES)
        while True:
            for page in self._due(Operation.UPSERT_CONTACT):
                self._upsert(page)
            for page in self._due(Operation.UPDATE_AFTER_PURCHASE):
                self._one_by_one(page)
            if self.missed:
                self._note_missed(counted=self.answers or self._silence() is None)
            if not self._imports_end(pauses):
                break
        if self.imports.closed and not self.answers:
            raise self.imports.closed

    def _close(self, error: ContactsClosedError) -> None:
        self.end, self.stopped = End.CLOSED, masked(str(error))

    def _step(self) -> None:
        """Before each request: is there time, and are we still the ones who work?"""
        if self.box.clock() >= self.until:
            self._over(End.TIME)
        self.held.now()

    def _over(self, end: End) -> NoReturn:
        self.end = end
        raise _OverError

    def _due(self, operation: Operation) -> Iterator[list[Job]]:
        now, after = self.box.clock(), 0
        while page := self.box.ledger.due(now, _PAGE, after, self.box.active):
            after = page[-1].id
            if ours := [job for job in page if job.operation is operation]:
                yield ours

    # ------------------------------------------------------------- one by one

    def _one_by_one(self, jobs: Sequence[Job]) -> None:
        # Those first that failed least: the time of a go is not spent on the same ones again and again.
        ordered = sorted(jobs, key=lambda one: (one.retries, one.id))
        pending = set[int]()
        for number, job in enumerate(ordered):
            self._step()
            if number % _AGAIN == 0:
                pending = self._pending(ordered[number : number + _AGAIN])
            if job.id not in pending:
                continue
            try:
                self.box.contacts.upsert(self._contact(job))
            except ContactRefusedError as error:
                if error.asked:
                    self._answered()
                self._note([failed(job, str(error))])
                self.failed += 1
            except ContactsBusyError as error:
                self._miss(job, error)
            else:
                self._answered()
                self._note([Outcome(job.id, JobStatus.SUCCESS, job.retries, process_id=job.process_id)])
                self.sent += 1
            self.box.progress("contacts told", number + 1, len(jobs))

    def _pending(self, jobs: Sequence[Job]) -> set[int]:
        """Those that nobody gave up since they were read."""
        return self.box.ledger.pending([job.id for job in jobs])

    def _contact(self, job: Job) -> Contact:
        # An update adds to no list.
        added = job.operation is Operation.UPSERT_CONTACT
        lists = (self.box.lists[FunnelType(job.payload["funnel_type"])],) if added else ()
        return Contact(job.email, lists, job.payload.get("attributes") or {})

    def _answered(self) -> None:
        """The service works: what it did not answer before is about those contacts."""
        self.answers = True
        self._note_missed(counted=True)
        left_open = self.breaker.open_until is not None
        self.breaker.succeeded()
        if left_open:
            self.box.ledger.circuit(self.held.now(), None)

    def _miss(self, job: Job, error: ContactsBusyError) -> None:
        self.missed.append(_Missed(job, error))
        self._unanswered(error)

    def _unanswered(self, error: ContactsBusyError) -> None:
        """One failure more in a row. The last one that is borne ends the go, unless the service is there: then those
        contacts have something to them, and the others go on. One that wants no more requests is believed."""
        last = self.breaker.failures + 1 >= STREAK
        if last and error.retry_after_seconds is None and self._silence() is None:
            self._answered()
        elif self.breaker.failed(self.box.clock(), error.retry_after_seconds):
            self._leave_alone()

    def _probe(self) -> None:
        """It was left alone: is it there again? Not asked by a contact, which may be what it cannot answer."""
        silence = self._silence()
        if silence is None:
            self._answered()
        elif self.breaker.failed(self.box.clock(), silence.retry_after_seconds):
            self._leave_alone()

    def _leave_alone(self) -> NoReturn:
        self._note_missed(counted=False)
        self.box.ledger.circuit(self.held.now(), self.breaker.open_until)
        self._over(End.CIRCUIT)

    def _note_missed(self, *, counted: bool) -> None:
        """The tries in a row are noted; `counted` against their jobs, or as tries that prove nothing."""
        missed, self.missed = self.missed, []
        now = self.box.clock()
        outcomes = [_missed(one, now, counted=counted) for one in missed]
        self._note(outcomes, now)
        lost = sum(outcome.status is JobStatus.FAILED for outcome in outcomes)
        self.failed += lost
        self.put_off += len(outcomes) - lost

    def _silence(self) -> ContactsBusyError | None:
        """Why the service does not answer what any account may ask; None: it does."""
        self._step()
        try:
            self.box.contacts.account()
        except ContactRefusedError:
            return None  # an answer as well
        except ContactsBusyError as error:
            return error
        return None

    def _note(self, outcomes: Sequence[Outcome], now: datetime | None = None) -> None:
        left = iter(outcomes)
        while some := list(islice(left, _NOTED)):
            self.box.ledger.note(self.held.now(), some, now or self.box.clock())

    # ---------------------------------------------------------------- imports

    def _upsert(self, jobs: Sequence[Job]) -> None:
        """Together those of which many lead to the same lists, each alone the others."""
        alone, together = list[Job](), defaultdict[tuple[int, ...], dict[str, Job]](dict)
        for job in jobs:
            same = together[self._contact(job).list_ids]
            # What was part of an import that failed goes alone; and two of a person in one import would be one.
            if job.process_id is not None or job.email in same:
                alone.append(job)
            else:
                same[job.email] = job
        for list_ids, people in together.items():
            if len(people) > self.box.import_from:
                alone += self._import(list_ids, list(people.values()))
            else:
                alone += people.values()
        self._one_by_one(alone)

    def _import(self, list_ids: tuple[int, ...], jobs: Sequence[Job]) -> Sequence[Job]:
        """Starts imports of them; those that are to go alone instead, since their import was refused."""
        alone: list[Job] = []
        left = iter(jobs)
        for contacts in self.box.contacts.import_chunks([self._contact(job) for job in jobs]):
            some = list(islice(left, len(contacts)))
            self._step()
            pending = self._pending(some)
            some = [job for job in some if job.id in pending]
            if not some:
                continue
            try:
                process_id = self.box.contacts.start_import([self._contact(job) for job in some], list_ids)
            except ContactRefusedError as error:
                if error.asked:
                    self._answered()
                alone += some  # one of them is the reason, and will be told
            except ContactsBusyError as error:
                if error.retry_after_seconds is None and self._silence() is None:
                    alone += some  # it is imports that it cannot do
                    continue
                self.missed += [_Missed(job, error) for job in some]
                self._note_missed(counted=False)
                self._unanswered(error)
            else:
                self._answered()
                self.imports.began(process_id)
                self._note([Outcome(job.id, JobStatus.IMPORTING, job.retries, process_id=process_id) for job in some])
                self.box.progress("contacts handed over for import", len(some), len(jobs))
        return alone

    def _imports_end(self, pauses: Iterator[float]) -> bool:
        """Waits for imports under way, longer each time, and not for ever; whether one has ended."""
        while self.imports.under_way and self.imports.polls_left and (pause := next(pauses, 0.0)):
            if self.box.clock() + timedelta(seconds=pause) >= self.until:
                return False
            self.box.sleep(pause)
            if self._ask_about_imports():
                return True
        return False

    def _ask_about_imports(self) -> bool:
        """Whether any of them has ended."""
        ended = False
        for outcomes in self.imports.ended(self._step):
            ended = True
            self._note(outcomes)
            self.failed += sum(outcome.status is JobStatus.FAILED for outcome in outcomes)
            self.imported += sum(outcome.status is JobStatus.SUCCESS for outcome in outcomes)
        return ended


def _missed(one: _Missed, now: datetime, *, counted: bool) -> Outcome:
    """Put off, or failed after the last repeat. A service that wants no more requests says nothing of the contact."""
    job, asked = one.job, one.error.retry_after_seconds
    counted = counted and asked is None
    if counted and job.retries >= RETRIES:
        return failed(job, str(one.error))
    retries = job.retries + 1 if counted else job.retries
    wait = max(WAIT * retries if counted else WAIT, timedelta(seconds=asked or 0))
    return Outcome(job.id, JobStatus.PENDING, retries, said(str(one.error)), now + wait, process_id=job.process_id)
