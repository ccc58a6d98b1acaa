"""What `doctor` says of places outside: Redis for rankings, DynamoDB for visits, site and Brevo for funnels.

Belongs here: asking each whether it can be used. Does not: warehouse, state, delivery (`doctor.py`).
"""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from analytics_platform.cli.context import Context
from analytics_platform.cli.finding import Finding
from analytics_platform.funnels.plan import ATTRIBUTES, FunnelType
from analytics_platform.settings import Settings, SettingsError

if TYPE_CHECKING:
    from analytics_platform.contacts.brevo import Brevo


def outside(context: Context) -> Iterator[Finding]:
    """Redis, DynamoDB, the MODX site and Brevo, as far as the settings name them."""
    yield from _redis(context.settings)
    yield from _visits(context.settings)
    yield from _funnels(context)


def _redis(settings: Settings) -> Iterator[Finding]:
    from analytics_platform.defs.resources import store_of
    from analytics_platform.rankings.documents import KEYS
    from analytics_platform.stores.base import StoreError

    if settings.redis_url is None:
        return
    try:
        store = store_of(settings)
    except StoreError as error:
        yield Finding("problem", str(error), "docs/rankings.md")
        return
    if store is None:
        return
    wrong = store.check(KEYS)
    if not wrong:
        yield Finding("ok", f"rankings: {store.place}")
    for sentence in wrong:
        yield Finding("problem", f"rankings: {sentence}", "docs/rankings.md")


def _visits(settings: Settings) -> Iterator[Finding]:
    from analytics_platform.defs.resources import visits_of, write_back_of
    from analytics_platform.sources.dynamodb import DynamoError

    try:
        source, back = visits_of(settings), write_back_of(settings)
        if source is not None:
            yield Finding("ok", f"visits: {source.check()}")
        if back is not None:
            yield Finding("ok", f"visitor reports are written back: {back.check()}")
    except (SettingsError, DynamoError) as error:
        yield Finding("problem", f"visits: {error}", "docs/visitors.md")


def _funnels(context: Context) -> Iterator[Finding]:
    settings = context.settings
    if settings.modx_url is None:
        return
    if settings.app_dry_run:
        yield Finding("note", "funnels: APP_DRY_RUN is true, so syncs only say what they would do", "docs/funnels.md")
    else:
        yield Finding("ok", "funnels: APP_DRY_RUN is false, syncs write")
    from analytics_platform.defs.funnel_syncs import site_of

    try:
        site = site_of(settings)
    except SettingsError as error:
        yield Finding("problem", f"funnels: {error}", "docs/funnels.md")
        return
    for one in site.check(datetime.now(UTC), settings.funnel_plan.window):
        yield Finding(one.state, f"funnels: {one.what}", one.remedy)
    yield from _funnel_tables(context)
    yield from _former_script(context)
    yield from _brevo(settings)


def _funnel_tables(context: Context) -> Iterator[Finding]:
    """Where funnels keep their own tables; making them is left to the first sync that writes."""
    from analytics_platform.defs.resources import ledgers_of
    from analytics_platform.state.database import StateError

    try:
        ledger = ledgers_of(context.home, context.settings).funnels
        there = "" if ledger.exists() else ": not made yet, the first sync that writes does it"
        yield Finding("ok", f"funnels: tables in {ledger.place}{there}")
    except StateError as error:
        yield Finding("problem", f"funnels: {error}", "FUNNEL_DATABASE_URL, or STATE_URL without it (docs/funnels.md)")


def _former_script(context: Context) -> Iterator[Finding]:
    """People of a script that funnels replace would be written to twice by a first sync that knows nothing of them."""
    from analytics_platform.defs.funnel_adoption import waiting
    from analytics_platform.defs.resources import ledgers_of
    from analytics_platform.sources.modx_client import SiteError
    from analytics_platform.state.database import StateError

    try:
        if people := waiting(context.settings, ledgers_of(context.home, context.settings)):
            yield Finding("note", f"funnels: {people}", "analytics-platform funnel adopt, before it (docs/funnels.md)")
    except (SiteError, StateError):  # said of the site and of the tables above
        return


def _list(brevo: "Brevo", kind: FunnelType, number: int) -> Finding:
    from analytics_platform.contacts.base import ContactsClosedError
    from analytics_platform.defs.funnel_syncs import LIST_SETTINGS

    try:
        return Finding("ok", f"funnels: {kind} leads to list {number}, {brevo.list_name(number)}")
    except ContactsClosedError as error:
        return Finding("problem", f"funnels: {LIST_SETTINGS[kind]}: {error}", "docs/funnels.md")


def _brevo(settings: Settings) -> Iterator[Finding]:
    from analytics_platform.contacts.base import ContactsError
    from analytics_platform.defs.funnel_syncs import LIST_SETTINGS, brevo_of, lacking_attributes

    if not settings.funnel_plan.active:
        lists = " and ".join(LIST_SETTINGS.values())
        yield Finding("note", f"funnels: {lists} are 0, so nobody enters a funnel", "docs/funnels.md")
    if settings.brevo_api_key is None:
        if settings.funnel_plan.active:
            yield Finding("problem", "funnels: BREVO_API_KEY is not set", "docs/funnels.md")
        return
    try:
        with closing(brevo_of(settings)) as brevo:
            yield Finding("ok", f"funnels: Brevo account {brevo.account()}")
            for kind, number in settings.funnel_plan.lists.items():
                if number > 0:
                    yield _list(brevo, kind, number)
            if lacking := lacking_attributes(brevo.attributes()):
                what = f"funnels: Brevo has no contact attribute {', '.join(lacking)}"
                yield Finding("problem", what, "create it in Brevo, which leaves out what it does not know")
            else:
                yield Finding("ok", f"funnels: Brevo has the contact attributes {', '.join(ATTRIBUTES)}")
    except (ContactsError, SettingsError) as error:
        yield Finding("problem", f"funnels: {error}", "docs/funnels.md")
