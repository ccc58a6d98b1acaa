"""What a sync of e-mail funnels is in this home: site, own tables, Brevo, warehouse; what it came to, in words.

Belongs here: building the parts from settings, the order of a sync, what it tells and owners hear. Does not: its rules
(`funnels/`), doing it (`funnel_sync.py`, `funnel_outbox.py`), assets and schedule (`defs/funnels.py`).
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from analytics_platform.contacts.base import ContactsBusyError, ContactsClosedError, ContactsError
from analytics_platform.defs.claims import now
from analytics_platform.defs.resources import Ledgers
from analytics_platform.funnel_outbox import End, Outbox, Worked
from analytics_platform.funnel_sync import Entered, FunnelSync, Preview, Purchased
from analytics_platform.funnels.plan import ATTRIBUTES, FunnelType
from analytics_platform.funnels.publishing import table_of
from analytics_platform.funnels.records import JobStatus
from analytics_platform.metrics.tables import FUNNEL_CONVERSIONS
from analytics_platform.metrics.windows import day_window, local_day
from analytics_platform.settings import Settings, SettingsError
from analytics_platform.sources.modx_client import SiteBusyError, SiteError
from analytics_platform.state.held import Held
from analytics_platform.warehouses.base import Warehouse

if TYPE_CHECKING:
    from analytics_platform.contacts.brevo import Brevo
    from analytics_platform.sources.modx import ModxSite

SUBJECT = "funnels"
LIST_SETTINGS = {
    FunnelType.LANGUAGE: "BREVO_LANGUAGE_LIST_ID",
    FunnelType.NON_LANGUAGE: "BREVO_NON_LANGUAGE_LIST_ID",
}
# So long contacts may wait for Brevo until owners hear of it.
_PATIENCE = timedelta(hours=1)
# What is still to be sent, or asked after.
_TO_BE_TOLD = (JobStatus.PENDING, JobStatus.IMPORTING)
_KEPT = "nobody was told anything; all of it is kept for the next sync"
# Kept free at the end of a sync's turn, so that it is over when the next one begins.
_REST = timedelta(minutes=1)
_LONG_AGO = date(2000, 1, 1)
_EVER = (datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC))
# Entries whose days are looked up at a time.
_LOOKED_AT = 20_000


def site_of(settings: Settings) -> "ModxSite":
    """The site that people come from. Raises SettingsError for settings that lack something. Opens nothing yet."""
    if settings.modx_url is None:
        raise SettingsError("MODX_URL is not set: it names the site's database (docs/funnels.md).")
    from analytics_platform.sources.modx import ModxSite, SiteError, parse_names

    try:
        names = parse_names(settings.modx_prefix, settings.modx_mapping)
    except ValueError as error:
        raise SettingsError(f"MODX_MAPPING: {error}.") from None
    try:
        return ModxSite(settings.modx_url, names, settings.modx_zone, statuses=frozenset(settings.modx_test_statuses))
    except SiteError as error:
        raise SettingsError(f"MODX_URL: {error}.") from None


def brevo_of(settings: Settings) -> "Brevo":
    """Brevo, with this home's key. Raises SettingsError without one. Opens nothing yet."""
    if settings.brevo_api_key is None:
        raise SettingsError("BREVO_API_KEY is not set: without it no contact gets on a list (docs/funnels.md).")
    from analytics_platform.contacts.brevo import Brevo

    try:
        return Brevo(settings.brevo_api_key, settings.brevo_base_url, timeout_seconds=settings.brevo_timeout_seconds)
    except ContactsClosedError as error:
        raise SettingsError(str(error)) from None


def lacking_attributes(known: Collection[str]) -> list[str]:
    """The contact attributes that syncs write and Brevo does not have: which leaves them out silently."""
    return [name for name in ATTRIBUTES if name not in known]


@dataclass(frozen=True)
class Stage:
    """One part of a sync: its asset's name, figures for the UI, sentences for people. `failure`: what went wrong.

    `busy`: the failure is one that only waiting can mend.
    """

    name: str
    figures: Mapping[str, int | str]
    lines: tuple[str, ...]
    failure: str = ""
    busy: bool = False


Told = Callable[[str, int, int], None]


@dataclass
class Syncing:
    """One sync of this home. `progress` is told what is done, how many, of how many (0: not known)."""

    settings: Settings
    ledgers: Ledgers
    warehouse: Callable[[], Warehouse]
    progress: Told
    began: datetime = field(default_factory=now)

    def preview(self) -> list[Stage]:
        """What a sync would do. Nothing is written. Raises SettingsError, SiteError, StateError."""
        return list(_previewed(self._sync().preview(), self.settings))

    def stages(self, held: Held) -> Iterator[Stage]:
        """The parts of a sync, each as it is done. A part that fails does not keep the later ones from their turn.

        Raises SettingsError before anything is done, StateError and LeaseLostError.
        """
        sync, ledger = self._sync(), self.ledgers.funnels
        if self._needs_brevo():
            brevo_of(self.settings)
        first = ledger.standing().last_finished_at is None
        ledger.started(held.now(), self.began)
        failed = False
        for name, work in (("entries", sync.enter), ("purchases", sync.purchases)):
            try:
                done = work(held)
            except SiteError as error:
                failed = True
                yield Stage(name, {}, (), str(error), isinstance(error, SiteBusyError))
            else:
                yield _entered(done, self.settings, first=first) if isinstance(done, Entered) else _purchased(done)
        yield self._told(held)
        yield self.published(held, complete=not failed)
        if not failed:
            ledger.finished(held.now(), now())
        tell_owners(self.ledgers, now())

    def _sync(self) -> FunnelSync:
        site, ledger = site_of(self.settings), self.ledgers.funnels
        return FunnelSync(site, ledger, self.settings.funnel_plan, now, self.progress)

    def _needs_brevo(self) -> bool:
        """Whether there is somebody to be told of, or will be."""
        counts = self.ledgers.funnels.counts()
        return bool(self.settings.funnel_plan.active) or any(counts.get(status) for status in _TO_BE_TOLD)

    def _told(self, held: Held) -> Stage:
        """The outbox: what Brevo is to be told. The lists are looked at before anything is sent."""
        if not self._needs_brevo():
            return Stage("outbox", {}, ("outbox: empty, and there is nobody to add to a list",))
        try:
            contacts = brevo_of(self.settings)
        except SettingsError as error:  # both lists are 0, and somebody bought just now
            return Stage("outbox", {}, (), f"{str(error).rstrip('.')}; {_KEPT}")
        with closing(contacts):
            try:
                for number in self.settings.funnel_plan.lists.values():
                    if number > 0:
                        contacts.list_name(number)
            except ContactsError as error:
                return Stage("outbox", {}, (), f"{error}; {_KEPT}", isinstance(error, ContactsBusyError))
            until = self.began + timedelta(minutes=self.settings.funnel_every_minutes) - _REST
            box = Outbox(self.ledgers.funnels, contacts, self.settings.brevo_import_from, now, self.progress)
            return _worked(box.work(held, max(until, now() + _REST)))

    # ------------------------------------------------------------ the warehouse

    def published(self, held: Held, *, complete: bool) -> Stage:
        """Days with entries that changed are replaced in the warehouse. `complete`: it has all until the sync began."""
        ledger, zone = self.ledgers.funnels, self.settings.zone
        warehouse = self.warehouse()
        done, rows = set[date](), 0
        days = self._outdated(warehouse)
        while days := (days or self._changed()):
            for day in days:
                window = day_window(day, zone)
                start, end = window.start.replace(tzinfo=UTC), window.end.replace(tzinfo=UTC)
                entries = list(ledger.rows(start, end))
                rows += warehouse.store_day(FUNNEL_CONVERSIONS, day, table_of(entries, day))
                ledger.published(held.now(), None, [entry.id for entry in entries])
                done.add(day)
                self.progress("days published", len(done), 0)
            days = []
        if complete:
            ledger.published(held.now(), self.began, ())
        said = f"conversions: {_days(len(done))} brought up to date in the warehouse, {rows:,} entries"
        return Stage("conversions", {"days": len(done), "dagster/row_count": rows}, (said,))

    def _changed(self) -> list[date]:
        """Days of entries that the warehouse does not have as they are now: some of them, as long as there are any."""
        return sorted({self._day_of(moment) for moment in self.ledgers.funnels.unpublished(_LOOKED_AT)})

    def _outdated(self, warehouse: Warehouse) -> list[date]:
        """All days, where some stand there under another time zone, or the warehouse is a new one.

        In an order by which a killed sync is begun anew: what tells that there is something to do comes last.
        """
        # Under another time zone today may have been tomorrow.
        span = _LONG_AGO, self._day_of(self.began) + timedelta(days=2)
        there = set(warehouse.computed_days(FUNNEL_CONVERSIONS, *span))
        stale = there - set(warehouse.current_days(FUNNEL_CONVERSIONS, *span))
        first = {self._day_of(entry.entered_at) for entry in self.ledgers.funnels.entries_between(*_EVER, 0, 1)}
        if not stale and first <= there:
            return []
        last = stale or first
        entered = {self._day_of(entry.entered_at) for entry in self.ledgers.funnels.rows(None, None)}
        return [*sorted(entered - last), *sorted(last)]

    def _day_of(self, moment: datetime) -> date:
        return local_day(moment.replace(tzinfo=None), self.settings.zone)


# --------------------------------------------------------------------- owners


def tell_owners(ledgers: Ledgers, moment: datetime) -> None:
    """What a green sync leaves behind: contacts that Brevo did not take, and those that wait for long."""
    ledger, problems = ledgers.funnels, ledgers.problems
    counts = ledger.counts()
    waiting = ledger.jobs((JobStatus.PENDING,), 1)
    oldest = waiting[0].created_at if waiting else moment
    wrong = {
        "refused": f"Brevo did not take contacts ({counts[JobStatus.FAILED]:,} times); which and why: "
        "`analytics-platform funnel outbox list --status failed`"
        if counts.get(JobStatus.FAILED)
        else "",
        "waiting": f"what Brevo is to be told of contacts ({counts[JobStatus.PENDING]:,} times) waits since "
        f"{oldest:%Y-%m-%d %H:%M} UTC: `analytics-platform funnel outbox list --status pending`"
        if moment - oldest > _PATIENCE
        else "",
    }
    for kind, text in wrong.items():
        if text:
            problems.record(SUBJECT, kind, text, moment)
        else:
            problems.resolve(SUBJECT, moment, "none are left", kind=kind)


# ------------------------------------------------------------------- in words


def _entered(done: Entered, settings: Settings, *, first: bool = False, would: bool = False) -> Stage:
    lines = []
    if first and not would:
        lines.append(
            "APP_DRY_RUN is false, and this is the first sync that writes: entries are kept, and Brevo is told"
        )
    if not done.by_funnel:
        lines.append("both lists are 0, so nobody enters a funnel; purchases of those who did are followed")
    figures: dict[str, int | str] = {}
    for kind, one in done.by_funnel.items():
        verb = "would enter" if would else "entered"
        left = [
            f"{one.known:,} of people already in",
            *([f"{one.again:,} older ones of the same people"] if one.again else []),
            *([f"{one.not_addresses:,} without a valid address"] if one.not_addresses else []),
        ]
        more = f"; the batch of {settings.funnel_batch:,} is full, the next sync goes on" if one.full else ""
        before = f", {one.customers:,} already customers (not written to)" if one.customers else ""
        number = settings.funnel_plan.lists[kind]
        lines.append(
            f"{kind}: {one.entered:,} {verb} (list {number}){before}; {one.looked_at:,} tests looked at, "
            f"{', '.join(left)}{more}"
        )
        figures |= {
            f"{kind}: {verb}": one.entered,
            f"{kind}: already customers": one.customers,
            f"{kind}: tests looked at": one.looked_at,
            f"{kind}: tests without a valid address": one.not_addresses,
        }
    if done.by_funnel:
        lines += [f"{kind}: nobody enters, as {LIST_SETTINGS[kind]} is 0" for kind in done.skipped]
    return Stage("entries", figures, tuple(lines))


def _purchased(done: Purchased, *, would: bool = False) -> Stage:
    verb = "would be recorded" if would else "recorded"
    lines, figures = [], dict[str, int | str]()
    for kind, one in done.by_funnel.items():
        before = f", {one.customers:,} found to have bought before" if one.customers else ""
        lines.append(f"purchases of {kind}: {one.purchased:,} {verb}{before}; {one.open:,} open entries looked at")
        figures |= {
            f"{kind}: {'would be purchases' if would else 'purchased'}": one.purchased,
            f"{kind}: already customers": one.customers,
            f"{kind}: open entries": one.open,
        }
    return Stage("purchases", figures, tuple(lines))


def _worked(done: Worked) -> Stage:
    figures: dict[str, int | str] = {
        "sent": done.sent,
        "imported": done.imported,
        "imports under way": done.importing,
        "refused": done.failed,
        "put off": done.put_off,
        "waiting": done.left,
    }
    said = [f"{figures[name]:,} {name}" for name in figures if figures[name]]
    why = {
        End.TIME: "; its time was over, the next sync goes on",
        End.CIRCUIT: "; Brevo does not answer, the next sync tries again",
    }.get(done.end, "")
    line = f"outbox: {', '.join(said) or 'nothing to be told'}{why}"
    return Stage("outbox", figures, (line,), done.stopped)


def _previewed(found: Preview, settings: Settings) -> Iterator[Stage]:
    entered = _entered(found.entered, settings, would=True)
    named = [f"{kind}: the first are {', '.join(people)}" for kind, people in found.persons.items() if people]
    yield Stage(entered.name, entered.figures, (*entered.lines, *named))
    yield _purchased(found.purchased, would=True)
    waiting = sum(found.jobs.get(status, 0) for status in (JobStatus.PENDING, JobStatus.IMPORTING))
    figures: dict[str, int | str] = {"to be added": found.upserts, "to be updated": found.updates, "waiting": waiting}
    line = f"outbox: {found.upserts:,} contacts would be added, {found.updates:,} updated after a purchase"
    yield Stage("outbox", figures, (f"{line}; {waiting:,} wait already",))


def _days(number: int) -> str:
    return f"{number:,} day{'' if number == 1 else 's'}"
