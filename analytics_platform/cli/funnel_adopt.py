"""`funnel adopt`: coming from the script that the e-mail funnels replace.

Belongs here: the verb. Does not: what it does (`defs/funnel_adoption.py`). No address is ever printed.
"""

from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from analytics_platform.cli.console import Bars, JobError, err, out
from analytics_platform.cli.context import HomeOption, begin


def adopt(
    apply: Annotated[bool, typer.Option("--apply", help="Do it. Default: only say what would be done.")] = False,
    entries: Annotated[str, typer.Option(metavar="TABLE", help="The script's entries.")] = "funnel_entries",
    outbox: Annotated[str, typer.Option(metavar="TABLE", help="The script's outbox.")] = "brevo_sync_outbox",
    zone: Annotated[
        str | None, typer.Option(metavar="ZONE", help="Zone of the script's times of entry. Default: MODX_TIMEZONE.")
    ] = None,
    home: HomeOption = None,
) -> None:
    """People whom the script that funnels replace has let in are adopted, so that nobody enters or is told twice.

    Its two tables are read in the database of MODX_URL and left as they are. Whoever is in the ledger is left alone, so
    it may be done again. While APP_DRY_RUN is true nothing is written, with --apply neither.

    Example: `analytics-platform funnel adopt --zone Europe/Moscow`
    """
    context = begin(home)
    script_zone = _zone(zone) if zone is not None else None
    dry = not apply or context.settings.app_dry_run
    with Bars() as bars:
        bars.begin("funnels")
        from analytics_platform.defs.funnel_adoption import Adopting, former_of, lines
        from analytics_platform.defs.resources import ledgers_of

        former = former_of(context.settings, script_zone, entries, outbox)
        adopting = Adopting(context.settings, ledgers_of(context.home, context.settings), former, bars.step)
        done = adopting.look() if dry else adopting.apply(context.home)
        bars.finish("funnels")
    why = "APP_DRY_RUN is true" if apply else "without --apply"
    out.print(f"site: {former.place}{f'; dry run ({why}): nothing was written' if dry else ''}", markup=False)
    for line in lines(done, former, would=dry):
        out.print(line, markup=False, soft_wrap=True)
    if apply and dry:
        raise JobError("nothing was adopted, as APP_DRY_RUN is true: APP_DRY_RUN=false does it (docs/funnels.md)")
    if dry:
        also = " with APP_DRY_RUN=false" if context.settings.app_dry_run else ""
        err.print(f"to do it: funnel adopt --apply{also} (docs/funnels.md)", markup=False)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise typer.BadParameter(f"{name!r} is not an IANA time zone such as Europe/Moscow") from None
