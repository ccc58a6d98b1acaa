"""One run per report and period: the run's claims in the ledger, and what becomes of them.

Belongs here: when a run claims a period, and how each way to end is written down. Does not: the ledger itself
(`state/runs.py`), building or sending.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
from dagster._core.errors import DagsterExecutionInterruptedError

from analytics_platform.cadence import Period
from analytics_platform.defs.liveness import Alive, this_host
from analytics_platform.defs.partitions import periods_of
from analytics_platform.defs.resources import Ledgers
from analytics_platform.reports.base import Report
from analytics_platform.settings import Settings
from analytics_platform.state.owners import is_gone
from analytics_platform.state.runs import Entry, LostClaimError, Owner, RunLedger, SettledError, Status, TakenError

# Tags of a run. AGAIN: deliver what was delivered before once more. MISSING: what the data lacks; the report says so.
AGAIN, MISSING = "analytics_platform/again", "analytics_platform/missing"
# Which report and period a run is for, so that the sensor finds it again.
SUBJECT = "analytics_platform/report_period"


def gone(owner: Owner) -> bool:
    """Whether that run's process has provably ended."""
    return is_gone(owner, host=this_host())


def now() -> datetime:
    """The moment, aware, UTC."""
    return datetime.now(UTC)


def subject_of(report: str, period: object) -> str:
    """How problems name a report's period."""
    return f"report {report} {period}"


def end_dead_claims(ledgers: Ledgers, moment: datetime) -> list[str]:
    """Take periods back from processes that have ended, and from silent ones; a line each.

    Owners hear of those that are made again. What was begun to be delivered is on its way, and the delivery tells.
    """
    ended = ledgers.runs.release_dead(moment, gone)
    for entry in ended:
        if entry.status is Status.READY:
            text = f"{entry.reason}; it is run again"
            ledgers.problems.record(subject_of(entry.report, entry.period), "failed", text, moment, report=entry.report)
    return [f"{entry.report} {entry.period}: {entry.reason}" for entry in ended]


@dataclass(frozen=True)
class Claims:
    """The periods of one report that a run works on."""

    report: Report[Any]
    runs: RunLedger
    owner: Owner
    lease: timedelta
    again: bool = False

    @classmethod
    def of(
        cls, context: dg.AssetExecutionContext, report: Report[Any], runs: RunLedger, alive: Alive, settings: Settings
    ) -> "Claims":
        """The claims of the run that this asset is part of."""
        lease = timedelta(minutes=settings.report_lease_minutes)
        return cls(report, runs, alive.owner, lease, again=AGAIN in context.run.tags)

    def take(self, context: dg.AssetExecutionContext, delivery: dg.AssetKey) -> list[Period]:
        """The run's periods that are to be worked on; those already delivered are left out and logged.

        A run that delivers claims each of them, with its first asset of the report; a run that only builds needs no
        claim. Raises dg.Failure when another run is at one of them.
        """
        periods = periods_of(context, self.report)
        if delivery not in context.job_def.asset_layer.executable_asset_keys:
            return periods
        return self.take_all(periods, context.log.info)

    def take_all(self, periods: Sequence[Period], say: Callable[[str], None]) -> list[Period]:
        """Claim each of the periods; those already delivered are left out and said. Raises dg.Failure as `take`."""
        mine: list[Period] = []
        for period in periods:
            try:
                self.runs.claim(
                    self.report.name, period, self.owner, now(), lease=self.lease, gone=gone, again=self.again
                )
            except SettledError as settled:
                say(f"{settled} Nothing is sent twice; `reports reset` or the tag {AGAIN} sends it again.")
            except TakenError as taken:
                self._release("another run was at a period of the same backfill")
                raise dg.Failure(str(taken), allow_retries=False) from None
            else:
                mine.append(period)
        return mine

    @contextmanager
    def working(self, period: Period) -> Iterator[None]:
        """Whatever ends this work early is written down.

        Once it was handed over, the delivery goes on by itself; before, an error is `failed` and a stop `ready`, to be
        done again.
        """
        try:
            self.renew(period)
            yield
        except dg.RetryRequested:
            raise  # the same run goes on in a moment and keeps its claims
        except (DagsterExecutionInterruptedError, KeyboardInterrupt):
            self._release("stopped")
            raise
        except BaseException as error:
            mine = [entry for entry in self._entries() if entry.period == period]
            if mine:
                self.finish(period, Status.SENDING if mine[0].delivering else Status.FAILED, sentence(error))
            self._release("the run failed at another period")
            raise

    def begin_delivery(
        self,
        period: Period,
        delivery: str,
        becomes: Status,
        reason: str = "",
        *,
        numbers: list[dict[str, Any]] | None = None,
        numbers_at: datetime | None = None,
    ) -> None:
        """From here on parts of `delivery` may have arrived. `becomes`: what the period is when all have."""
        self.runs.delivering(
            self.report.name,
            period.last,
            self.owner,
            now(),
            delivery=delivery,
            becomes=becomes,
            reason=reason,
            numbers=numbers,
            numbers_at=numbers_at,
        )

    def finish(self, period: Period, status: Status, reason: str) -> None:
        """Write the end down and give the claim back."""
        self.runs.finish(self.report.name, period.last, self.owner, status, reason, now())

    def entry(self, period: Period) -> Entry:
        """The period's entry in the run ledger. LostClaimError when there is none any more."""
        found = self.runs.entry(self.report.name, period.last)
        if found is None:
            raise LostClaimError(self.report.name, period.last, self.owner, None)
        return found

    def _entries(self) -> list[Entry]:
        held = self.runs.entries(self.report.name, statuses=(Status.RUNNING,))
        return [entry for entry in held if entry.owner == self.owner]

    def renew(self, period: Period) -> None:
        """Say that this run is still at it."""
        if any(entry.period == period for entry in self._entries()):
            self.runs.renew(self.report.name, period.last, self.owner, now(), self.lease)

    def _release(self, reason: str) -> None:
        for entry in self._entries():
            self.finish(entry.period, Status.SENDING if entry.delivering else Status.READY, reason)


def sentence(error: BaseException) -> str:
    """What went wrong, in a line."""
    said = error.description if isinstance(error, dg.Failure) and error.description else str(error)
    first = said.strip().splitlines()[0] if said.strip() else ""
    return first if isinstance(error, dg.Failure) else f"{type(error).__name__}: {first}"[:500]
