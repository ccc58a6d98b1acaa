"""`funnel generate`: a site to try funnels on, and people who buy there.

Belongs here: the verb. Does not: what such a site is like (`simulate/modx_site.py`), writing it (`simulate/modx.py`).
"""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from analytics_platform.cli.console import Bars, JobError, counted, out
from analytics_platform.cli.context import Context, HomeOption, begin

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analytics_platform.simulate.modx_site import Paid

# Addresses that nobody has: a generated site's, and no real one's.
_NOBODY = "@example.org"
_PAGE = 5_000


def generate(
    people: Annotated[int, typer.Option(help="How many took tests.", min=1)] = 2_000,
    results: Annotated[int, typer.Option(help="How many tests they took.", min=1)] = 5_000,
    payments: Annotated[int, typer.Option(help="How many certificates were ordered.", min=0)] = 400,
    days: Annotated[int, typer.Option(help="Within how many days up to now.", min=1)] = 60,
    seed: Annotated[int, typer.Option(help="The same seed gives the same site.", min=0)] = 1,
    buyers: Annotated[
        float | None, typer.Option(help="Instead: this share of those who entered buys now, such as 0.2.", min=0, max=1)
    ] = None,
    home: HomeOption = None,
) -> None:
    """Write a site with tests and payments into the empty database of MODX_URL, to try funnels on.

    The account has to be one that may write. Never touches a database that has any of the site's tables already.

    Example: `analytics-platform funnel generate --people 500 --results 1000`
    """
    context = begin(home)
    from analytics_platform.defs.funnel_syncs import site_of
    from analytics_platform.simulate.modx import SiteWriteError, add_payments, write_site
    from analytics_platform.simulate.modx_site import Site
    from analytics_platform.sources.modx_names import parse_names

    settings = context.settings
    place = site_of(settings).place
    names = parse_names(settings.modx_prefix, settings.modx_mapping)
    url = settings.modx_url
    assert url
    if buyers is not None:
        try:
            added = add_payments(url, names, _buyers(context, buyers), settings.modx_zone)
        except SiteWriteError as error:
            raise JobError(str(error)) from None
        out.print(f"{counted(added, 'certificate')} bought now", markup=False)
        return
    if results < people:
        raise JobError(f"{people:,} people cannot have taken {results:,} tests: raise --results or lower --people")
    until = datetime.now(UTC).replace(microsecond=0)
    site = Site(seed, people, results, payments, days, until, settings.modx_zone)
    try:
        with Bars() as bars:
            write_site(url, site, names, progress=lambda done, all_: bars.step("tests", done, all_))
    except SiteWriteError as error:
        raise JobError(str(error)) from None
    out.print(
        f"{counted(results, 'test')} and {counted(payments, 'order')} of the last {counted(days, 'day')} in {place}",
        markup=False,
    )


def _buyers(context: Context, share: float) -> "Iterator[Paid]":
    """Of the open entries with addresses of a generated site, every so manieth."""
    from analytics_platform.defs.resources import ledgers_of
    from analytics_platform.simulate.modx_site import Paid

    ledger = ledgers_of(context.home, context.settings).funnels
    # The site's times are whole seconds; cut, a purchase could lie before its entry.
    now = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=1)
    after, owed = 0, 0.0
    while ledger.exists() and (page := ledger.open_entries(after, _PAGE)):
        after = page[-1].id
        for entry in page:
            if entry.email.endswith(_NOBODY):
                owed += share
                if owed >= 1:
                    owed -= 1
                    yield Paid(entry.email, entry.funnel, now)
