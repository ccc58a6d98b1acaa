"""What a sync of e-mail funnels is in this home: site, own tables, Brevo, warehouse; what it came to, in words.

Belongs here: building the parts from settings, the order of a sync, what it tells and owners hear. Does not: its rules
(`funnels/`), doing it (`funnel_sync.py`, `funnel_outbox.py`), assets and schedule (`defs/funnels.py`).
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from analytics_platform.contacts.base import ContactsBusyError, ContactsClosedError, ContactsError
from analytics_platform.defs.claims import now
from analytics_platform.defs.resources import Ledgers
from analytics_platform.funnel_outbox import End, Outbox, Worked
from analytics_platform.funnel_sync import Entered, FunnelSync, Preview, Purchased
from analytics_platform.funnels.plan import ATTRIBUTES, FunnelPlan, FunnelType
from analytics_platform.funnels.publishing import published_day
from analytics_platform.funnels.records import JobStatus
from analytics_platform.metrics.tables import FUNNEL_CONVERSIONS
from analytics_platform.metrics.windows import day_window, local_day
from analytics_platform.settings import Home, Settings, SettingsError
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
# A newest test that is later than now by more is no matter of clocks that differ a little.
_CLOCK_SLACK = timedelta(minutes=5)
_NO = ("0", "f", "false", "n", "no", "off")
# Kept free at the end of a sync's turn, so that it is over when the next one begins.
_REST = timedelta(minutes=1)
_EVER = (date(2000, 1, 1), date(2200, 1, 1))
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
        raise SettingsError(f"{error}.") from None


def brevo_of(settings: Settings) -> "Brevo":
    """Brevo, with this home's key. Raises SettingsError without one. Opens nothing yet."""
    if settings.brevo_api_key is None:
        raise SettingsError("BREVO_API_KEY is not set: without it no contact gets on a list (docs/funnels.md).")
    from analytics_platform.contacts.brevo import Brevo

    try:
        return Brevo(settings.brevo_api_key, settings.brevo_base_url, timeout_seconds=settings.brevo_timeout_seconds)
    except ContactsClosedError as error:
        raise SettingsError(str(error)) from None


def braked(home: Home) -> bool:
    """Whether the files of settings say APP_DRY_RUN=true by now: `.env`, and the home's where that has no such line.

    A server has its settings since it was started, and in its environment: whoever writes that line wants it to stop.
    So does who mistypes it: whatever is not a plain no stops as well.
    """
    from dotenv import dotenv_values

    for path in (".env", home.settings_file):
        said = {name.upper(): value for name, value in dotenv_values(path).items()}
        if value := said.get("APP_DRY_RUN"):
            return value.strip().lower() not in _NO
    return False


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
        from analytics_platform.defs.funnel_adoption import waiting  # which knows this module

        site = site_of(self.settings)
        notes = self.left_out(site)
        if former := waiting(self.settings, self.ledgers):
            notes.append(f"{former}; funnel adopt takes them over (docs/funnels.md)")
        return list(_previewed(self._sync(site).preview(), notes, self._lists(), self.settings))

    def stages(self, held: Held) -> Iterator[Stage]:
        """The parts of a sync, each as it is done. A part that fails does not keep the later ones from their turn.

        Raises SettingsError before anything is done, StateError and LeaseLostError.
        """
        site, ledger = site_of(self.settings), self.ledgers.funnels
        sync = self._sync(site)
        if self.settings.funnel_plan.active:
            brevo_of(self.settings)
        first = ledger.standing().last_finished_at is None
        ledger.started(held.now(), self.began)
        failed = False
        for name, work in (("entries", sync.enter), ("purchases", sync.purchases)):
            try:
                done = work(held)
                left = self.left_out(site) if isinstance(done, Entered) else []
            except SiteError as error:
                failed = True
                yield Stage(name, {}, (), str(error), isinstance(error, SiteBusyError))
                if isinstance(error, SiteBusyError):
                    break  # it would not answer the next question either
            else:
                yield (
                    _entered(done, left, self.settings, first=first) if isinstance(done, Entered) else _purchased(done)
                )
        yield self._told(held)
        yield self.published(held, complete=not failed)
        if not failed:
            ledger.finished(held.now(), now())
        tell_owners(self.ledgers, self.settings.funnel_plan, now())

    def _sync(self, site: "ModxSite") -> FunnelSync:
        return FunnelSync(site, self.ledgers.funnels, self.settings.funnel_plan, now, self.progress)

    def left_out(self, site: "ModxSite") -> list[str]:
        """Tests that nobody can enter by, and a clock that cannot be right, in words."""
        try:
            return list(self._counted_out(site))
        except SiteError as error:  # for information only: what a sync is for has been done
            return [f"tests left out: could not be counted ({error})"]

    def _counted_out(self, site: "ModxSite") -> Iterator[str]:
        counts = site.taken_counts(self.began - self.settings.funnel_plan.window)
        found = {
            "without an e-mail": counts.blank,
            "of a test that does not exist": counts.no_test,
            "without a time": counts.no_time,
        }
        said = [f"{number:,} {what}" for what, number in found.items() if number]
        if said:
            yield f"tests left out: {', '.join(said)}"
        with site.reading():  # whose end also ends the rows that are not taken
            newest = next(site.taken(self.began + _CLOCK_SLACK, tuple(FunnelType)), None)
        if newest is not None:
            minutes = (newest.taken_at - self.began) // timedelta(minutes=1)
            yield f"the newest test was taken {minutes:,} minutes from now: is MODX_TIMEZONE right?"

    def _lists(self) -> list[str]:
        """For a dry run: whether Brevo knows the lists."""
        plan = self.settings.funnel_plan
        if not plan.active:
            return []
        try:
            with closing(brevo_of(self.settings)) as contacts:
                return [
                    f"{kind}: list {plan.lists[kind]} is {contacts.list_name(plan.lists[kind])}" for kind in plan.active
                ]
        except (ContactsError, SettingsError) as error:
            return [f"no contact could be added: {str(error).rstrip('.')}"]

    # ---------------------------------------------------------------- the outbox

    def _told(self, held: Held) -> Stage:
        """The outbox: what Brevo is to be told. The lists are looked at before anything is sent."""
        plan, ledger = self.settings.funnel_plan, self.ledgers.funnels
        counts, held_back = ledger.counts(), ledger.held(plan.active)
        if not plan.active and sum(counts.get(status, 0) for status in _TO_BE_TOLD) <= held_back:
            more = f"; {held_back:,} wait until their funnel has a list again" if held_back else ""
            return Stage("outbox", {}, (f"outbox: nothing to be told{more}",))
        try:
            contacts = brevo_of(self.settings)
        except SettingsError as error:  # both lists are 0, and somebody bought
            return Stage("outbox", {}, (), f"{str(error).rstrip('.')}; {_KEPT}")
        with closing(contacts):
            closed_until = ledger.standing().circuit_open_until
            try:
                for kind in plan.active if closed_until is None or closed_until <= now() else ():
                    contacts.list_name(plan.lists[kind])
            except ContactsError as error:
                return Stage("outbox", {}, (), f"{error}; {_KEPT}", isinstance(error, ContactsBusyError))
            until = self.began + timedelta(minutes=self.settings.funnel_every_minutes) - _REST
            box = Outbox(ledger, contacts, self.settings.brevo_import_from, now, self.progress, lists=plan.lists)
            return _worked(box.work(held, max(until, now() + _REST)))

    # ------------------------------------------------------------ the warehouse

    def published(self, held: Held, *, complete: bool) -> Stage:
        """Days with entries that changed are replaced in the warehouse. `complete`: it has all until the sync began."""
        ledger, zone = self.ledgers.funnels, self.settings.zone
        warehouse = self.warehouse()
        stale = self._stale(warehouse)
        if stale or _stamp(warehouse) != ledger.standing().published_stamp:
            # Another time zone, another warehouse or ledger, an older copy, or somebody wrote after us: all of it anew,
            # also days of which there are no entries any more.
            ledger.unpublish_all(held.now())
            stale = set(warehouse.computed_days(FUNNEL_CONVERSIONS, *_EVER))
        done, rows = set[date](), 0
        days = stale
        while days := (days or self._changed()):
            for day in sorted(days):
                window = day_window(day, zone)
                start, end = window.start.replace(tzinfo=UTC), window.end.replace(tzinfo=UTC)
                part = published_day(ledger.rows(start, end), day)
                held.sure()
                rows += warehouse.store_day(FUNNEL_CONVERSIONS, day, part.table)
                ledger.published(held.now(), None, part.ids, _stamp(warehouse))
                done.add(day)
                self.progress("days published", len(done), 0)
            days = set()
        if complete:
            ledger.published(held.now(), self.began, ())
        said = f"conversions: {_days(len(done))} brought up to date in the warehouse, {rows:,} entries"
        return Stage("conversions", {"days": len(done), "dagster/row_count": rows}, (said,))

    def _changed(self) -> set[date]:
        """Days of entries that the warehouse does not have as they are now: some of them, as long as there are any."""
        return {self._day_of(moment) for moment in self.ledgers.funnels.unpublished(_LOOKED_AT)}

    def _stale(self, warehouse: Warehouse) -> set[date]:
        """Days that stand there under another time zone."""
        there = set(warehouse.computed_days(FUNNEL_CONVERSIONS, *_EVER))
        return there - set(warehouse.current_days(FUNNEL_CONVERSIONS, *_EVER))

    def _day_of(self, moment: datetime) -> date:
        return local_day(moment.replace(tzinfo=None), self.settings.zone)


def _stamp(warehouse: Warehouse) -> str:
    """What the warehouse says of what it was last given: the moment; empty when it has nothing."""
    moments = warehouse.computed_at(FUNNEL_CONVERSIONS, *_EVER).values()
    return max(moments).isoformat() if moments else ""


# --------------------------------------------------------------------- owners


def tell_owners(ledgers: Ledgers, plan: FunnelPlan, moment: datetime) -> None:
    """What a green sync leaves behind: contacts that Brevo did not take, and those that wait for long."""
    ledger, problems = ledgers.funnels, ledgers.problems
    counts = ledger.counts()
    waiting = (ledger.oldest_pending(plan.active), ledger.oldest_importing())
    oldest = min((job.created_at for job in waiting if job), default=moment)
    wrong = {
        "refused": f"contacts that Brevo did not take: {counts[JobStatus.FAILED]:,}; which and why: "
        "`analytics-platform funnel outbox list --status failed`"
        if counts.get(JobStatus.FAILED)
        else "",
        "waiting": f"contacts that wait for Brevo: {sum(counts.get(status, 0) for status in _TO_BE_TOLD):,}, since "
        f"{oldest:%Y-%m-%d %H:%M} UTC: `analytics-platform funnel outbox list`"
        if moment - oldest > _PATIENCE
        else "",
    }
    for kind, text in wrong.items():
        if text:
            problems.record(SUBJECT, kind, text, moment)
        else:
            problems.resolve(SUBJECT, moment, "none are left", kind=kind)


# ------------------------------------------------------------------- in words


def _entered(
    done: Entered, left_out: Sequence[str], settings: Settings, *, first: bool = False, would: bool = False
) -> Stage:
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
    lines += left_out
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
        "in imports under way": done.importing,
        "refused": done.failed,
        "put off": done.put_off,
        "waiting": done.left,
        "of them until their funnel has a list": done.held,
    }
    said = [f"{figures[name]:,} {name}" for name in figures if figures[name]]
    why = {
        End.TIME: "; its time was over, the next sync goes on",
        End.CIRCUIT: "; Brevo takes nothing now, the next sync tries again",
    }.get(done.end, "")
    line = f"outbox: {', '.join(said) or 'nothing to be told'}{why}"
    return Stage("outbox", figures, (line,), done.stopped)


def _previewed(found: Preview, left_out: Sequence[str], lists: Sequence[str], settings: Settings) -> Iterator[Stage]:
    entered = _entered(found.entered, left_out, settings, would=True)
    named = [f"{kind}: the first are {', '.join(people)}" for kind, people in found.persons.items() if people]
    yield Stage(entered.name, entered.figures, (*entered.lines, *named))
    yield _purchased(found.purchased, would=True)
    waiting = sum(found.jobs.get(status, 0) for status in (JobStatus.PENDING, JobStatus.IMPORTING))
    figures: dict[str, int | str] = {"to be added": found.upserts, "to be updated": found.updates, "waiting": waiting}
    line = f"outbox: {found.upserts:,} contacts would be added, {found.updates:,} updated after a purchase"
    yield Stage("outbox", figures, (f"{line}; {waiting:,} wait already", *lists))


def _days(number: int) -> str:
    return f"{number:,} day{'' if number == 1 else 's'}"
