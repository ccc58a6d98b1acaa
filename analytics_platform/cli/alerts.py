"""`alerts`: what is unusual, what was said of it, and what people make of it.

Belongs here: printing incidents, acting on a person's word, one look by hand. Does not: the replay
(`alerts_replay.py`), the calendar (`alerts_calendar.py`), rules (`alerts/`).
"""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from analytics_platform.cli import alerts_calendar, alerts_check, alerts_replay, alerts_train
from analytics_platform.cli.console import JobError, out, show_list
from analytics_platform.cli.context import Context, HomeOption, begin, whoever
from analytics_platform.metrics.series import BUCKET

if TYPE_CHECKING:
    from analytics_platform.alerts.incident import Incident, Mute
    from analytics_platform.defs.incident_views import Scene
    from analytics_platform.defs.resources import Ledgers

app = typer.Typer(help="What is unusual in the metrics: incidents, verdicts, replay.", no_args_is_help=True)
app.command("check")(alerts_check.check)
app.command("replay")(alerts_replay.replay)
app.command("train")(alerts_train.train)
app.add_typer(alerts_calendar.app, name="calendar")

_Number = Annotated[int, typer.Argument(metavar="INCIDENT", help="Its number, as the message and `list` show it.")]
_LENGTH = re.compile(r"([0-9]{1,5})([mhd])")
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
# A level that is to be usual has to be seen for so long.
_A_NORMAL = timedelta(hours=2)
_SLICES = 12
_VERDICTS = ("real", "false-alarm", "expected", "new-normal")


@app.command("run")
def run(home: HomeOption = None) -> None:
    """Judge the quarters of an hour that have closed and tell subscribers what is new: one tick of the daemon by hand.

    Example: `analytics-platform alerts run`
    """
    import os

    context = begin(home)
    from analytics_platform.defs.alerts import said, tick
    from analytics_platform.defs.claims import now
    from analytics_platform.defs.liveness import this_host
    from analytics_platform.defs.telling import Teller
    from analytics_platform.defs.watching import Tower
    from analytics_platform.state.owners import Owner

    office, warehouse = context.office(), context.warehouse()
    tower = Tower.of(warehouse, context.settings, office.ledgers)
    looked = tick(office, tower, now())
    while looked.missing:
        out.print(said(looked), markup=False)
        looked = tick(office, tower, now())
    again = f"; next look {context.local(looked.next_at)}" if looked.next_at else ""
    out.print(f"{said(looked)}{again}", markup=False)
    told = Teller(office, warehouse, Owner("alerts run", this_host(), os.getpid())).tell(now())
    for line in told.lines:
        out.print(f"told: {line}", markup=False)
    if told.troubled:
        raise JobError("\n".join(told.troubled))


@app.command("list")
def list_incidents(
    days: Annotated[int, typer.Option(help="How far back.", min=1)] = 7,
    open_only: Annotated[bool, typer.Option("--open", help="Only those that go on.")] = False,
    home: HomeOption = None,
) -> None:
    """Incidents, the newest first: what, which way, since when, how long, and what people said of them.

    Example: `analytics-platform alerts list --open`
    """
    context = begin(home)
    from analytics_platform.alerts.incident import Status
    from analytics_platform.defs.claims import now

    ledgers = _ledgers(context)
    statuses = (Status.OPEN,) if open_only else ()
    found = ledgers.incidents.listing(now() - timedelta(days=days), statuses=statuses)
    if not found:
        what = "no incident is open" if open_only else f"no incident in the last {days} days"
        out.print(what, markup=False)
    show_list([_row(context, one) for one in found])
    for mute in ledgers.mutes.active(now()):
        out.print(f"muted until {context.local(mute.until)}: {_pattern(mute)} {mute.reason}".rstrip(), markup=False)


@app.command("show")
def show(
    incident: _Number,
    chart: Annotated[Path | None, typer.Option(help="Write its chart into this PNG file.", dir_okay=False)] = None,
    home: HomeOption = None,
) -> None:
    """All there is to know of an incident: its card as readers have it, its series, what carries it, its history.

    Example: `analytics-platform alerts show 1`
    """
    context = begin(home)
    from analytics_platform.alerts import telling
    from analytics_platform.language import Language

    ledgers = _ledgers(context)
    one = _found(ledgers, incident)
    language = Language(context.settings.locale)
    scene = _scene(context, ledgers, one)
    explanation = scene.explanation()
    out.print(telling.text(scene.view(language, explanation), language, context.settings.zone).plain, markup=False)
    if explanation is not None and explanation.lines:
        out.print(f"\n{one.lead} by slice, the largest shares of the change", markup=False)
        digits = 4 if explanation.ratio else 0
        largest = sorted(explanation.lines, key=lambda line: (not line.named, -abs(line.share)))[:_SLICES]
        show_list(
            [
                {
                    "dimension": line.dimension,
                    "value": line.value_name,
                    "measured": f"{line.value:,.{digits}f}",
                    "expected": f"{line.expected:,.{digits}f}",
                    "share of the change": f"{line.share:.0%}",
                    "named": "yes" if line.named else "",
                }
                for line in largest
            ]
        )
    out.print("\nhistory", markup=False)
    show_list(
        [
            {
                "at": context.local(change.moment),
                "revision": change.revision,
                "what": change.what.value,
                "aloud": "yes" if change.loud else "",
                "by": change.by,
                "about": change.about,
            }
            for change in ledgers.incidents.history(incident)
        ]
    )
    if chart is not None:
        _draw(scene, language.code, chart)


@app.command("ack")
def acknowledge(incident: _Number, home: HomeOption = None) -> None:
    """Say that somebody is at it: no more reminders; readers see who.

    Example: `analytics-platform alerts ack 1`
    """
    context = begin(home)
    from analytics_platform.defs.claims import now

    after = _ledgers(context).incidents.acknowledge(incident, whoever(), now())
    if not after.acknowledged_by:
        raise JobError(f"incident {incident} is over: nobody has to be at it")
    out.print(f"{incident}: acknowledged by {after.acknowledged_by}", markup=False)


@app.command("mute")
def mute(
    what: Annotated[
        str,
        typer.Argument(metavar="WHAT", help="An incident's number, or series: likes, feed, feed/likes, os=iOS."),
    ],
    length: Annotated[str, typer.Option("--for", metavar="2h", help="How long: 30m, 2h, 1d.")] = "2h",
    reason: Annotated[str, typer.Option(help="For whoever wonders.")] = "",
    home: HomeOption = None,
) -> None:
    """Nothing aloud of an incident, or of a metric, service or slice, for a while. It is judged and kept all the same.

    Example: `analytics-platform alerts mute likes --for 2h --reason "load test"`
    """
    context = begin(home)
    from analytics_platform.defs.claims import now

    moment, ledgers = now(), _ledgers(context)
    until = moment + _span(length)
    if what.isdigit():
        ledgers.incidents.mute(int(what), until, whoever(), moment)
        out.print(f"{what}: muted until {context.local(until)}", markup=False)
        return
    made = ledgers.mutes.add(_mute(what, until, reason), moment)
    out.print(f"muted until {context.local(until)}: {_pattern(made)}", markup=False)


@app.command("unmute")
def unmute(
    what: Annotated[str, typer.Argument(metavar="WHAT", help="As it was muted.")], home: HomeOption = None
) -> None:
    """End a mute.

    Example: `analytics-platform alerts unmute likes`
    """
    context = begin(home)
    from analytics_platform.defs.claims import now

    ledgers = _ledgers(context)
    if what.isdigit():
        ledgers.incidents.unmute(int(what), whoever(), now())
        out.print(f"{what}: may be loud again", markup=False)
        return
    wanted = _pattern(_mute(what, now() + timedelta(hours=1), ""))
    same = [one for one in ledgers.mutes.active(now()) if _pattern(one) == wanted]
    if not same:
        raise JobError(f"{wanted} is not muted; what is: analytics-platform alerts list")
    for one in same:
        ledgers.mutes.remove(one.id or 0)
    out.print(f"{wanted}: may be loud again", markup=False)


@app.command("close")
def close(incident: _Number, home: HomeOption = None) -> None:
    """End an incident by hand: as long as it goes on as it was, nothing of it is told any more.

    Example: `analytics-platform alerts close 1`
    """
    context = begin(home)
    from analytics_platform.defs.claims import now

    after = _ledgers(context).incidents.close_by_hand(incident, whoever(), now())
    out.print(f"{incident}: {after.status.value}", markup=False)


@app.command("feedback")
def feedback(
    incident: _Number,
    verdict: Annotated[str, typer.Argument(metavar="VERDICT", help=f"One of {', '.join(_VERDICTS)}.")],
    home: HomeOption = None,
) -> None:
    """Say what an incident was, which makes the next alerts better: a false alarm raises the threshold of its metric, a
    real one lowers it a little, what was expected goes into the calendar, a new normal moves what is usual.

    Example: `analytics-platform alerts feedback 1 real`
    """
    if verdict.replace("_", "-") not in _VERDICTS:
        raise typer.BadParameter(f"{verdict}: say one of {', '.join(_VERDICTS)}")
    context = begin(home)
    from analytics_platform.alerts.feedback import Verdict, thresholds
    from analytics_platform.defs.claims import now

    ledgers = _ledgers(context)
    before = _found(ledgers, incident)
    lasted = before.last_bad - before.started
    if verdict.replace("_", "-") == "new-normal" and lasted < _A_NORMAL:
        raise JobError(
            f"incident {incident} is too short to be the new normal: what is usual is learned from "
            f"{_A_NORMAL // timedelta(hours=1)} hours at least; say expected, or wait"
        )
    after = ledgers.incidents.feedback(incident, Verdict(verdict.replace("-", "_")), whoever(), now())
    ended = ", closed" if before.living and not after.living else ""
    said = after.verdict.replace("_", " ") or "not confirmed yet, so not judged"
    out.print(f"{incident}: {said}{ended}", markup=False)
    for metric, factor in thresholds(ledgers.feedback.judgements(), now()).items():
        out.print(f"{metric}: threshold times {factor:.2f} by all verdicts so far", markup=False)


def _ledgers(context: Context) -> "Ledgers":
    from analytics_platform.defs.resources import ledgers_of

    return ledgers_of(context.home, context.settings)


def _found(ledgers: "Ledgers", incident: int) -> "Incident":
    one = ledgers.incidents.find(incident)
    if one is None:
        raise JobError(f"there is no incident {incident}; analytics-platform alerts list")
    return one


def _scene(context: Context, ledgers: "Ledgers", incident: "Incident") -> "Scene":
    from analytics_platform.defs.claims import now
    from analytics_platform.defs.followed import rules_of
    from analytics_platform.defs.incident_views import Desk, Scene
    from analytics_platform.defs.series import Plan

    rules = rules_of(context.settings, ledgers, now())
    desk = Desk(context.warehouse(), Plan.of(context.settings), context.settings, rules, now())
    return Scene(desk, incident)


def _draw(scene: "Scene", language: str, target: Path) -> None:
    from analytics_platform.charts import alert
    from analytics_platform.language import Language

    frame = scene.frame()
    if frame is None:
        raise JobError("there is nothing to draw: no figures are stored of its series")
    try:
        target.write_bytes(alert.draw(frame, Language(language)))
    except OSError as error:
        raise JobError(f"{target} cannot be written: {error.strerror}") from None
    out.print(f"\nchart: {target}", markup=False)


def _row(context: Context, one: "Incident") -> dict[str, object]:
    lead = one.member(one.lead) if one.lead else None
    change = (lead.worst_value / lead.worst_expected - 1) if lead and lead.worst_expected else None
    return {
        "id": one.id,
        "what": str(one.lead or f"data of {one.source} late"),
        "worst": "" if change is None else f"{change:+.0%}",
        "since": context.local(one.started),
        "until": context.local(one.recovered_at or one.closed_at),
        "status": one.status.value,
        "severity": one.severity.value,
        "series": len(one.members),
        "told": context.local(one.loud_at + BUCKET if one.loud_at and one.members else one.loud_at),
        "acknowledged": one.acknowledged_by,
        "verdict": one.verdict.replace("_", " "),
    }


def _mute(what: str, until: datetime, reason: str) -> "Mute":
    """Series in words: a service, a metric, both with a slash, and a slice `dimension=value`."""
    from analytics_platform.alerts.incident import Mute
    from analytics_platform.metrics.dimensions import DIMENSIONS
    from analytics_platform.metrics.series import TABLES, watched

    found: dict[str, str] = {}
    known = {**dict.fromkeys(TABLES, "service"), **{m.name: "metric" for m in watched()}}
    # A slice's value may hold anything, so it comes last.
    head, _, slice_of = what.partition("=")
    *words, dimension = head.replace("/", " ").split() if slice_of else [*what.replace("/", " ").split(), ""]
    if slice_of and dimension in {d.name for d in DIMENSIONS}:
        found |= {"dimension": dimension, "value": slice_of}
    elif slice_of:
        words.append(dimension)
    for word in words:
        if word not in known:
            raise JobError(
                f"{word!r} is nothing that can be muted: an incident's number, {', '.join(known)}, or os=iOS"
            )
        found[known[word]] = word
    if not found:
        raise JobError(f"{what!r} is nothing that can be muted: an incident's number, {', '.join(known)}, or os=iOS")
    return Mute(
        until.astimezone(UTC),
        service=found.get("service", ""),
        metric=found.get("metric", ""),
        dimension=found.get("dimension", ""),
        value=found.get("value", ""),
        by=whoever(),
        reason=reason,
    )


def _pattern(mute: "Mute") -> str:
    slice_of = f"{mute.dimension}={mute.value}" if mute.dimension else ""
    return " ".join(filter(None, (mute.service, mute.metric, slice_of)))


def _span(text: str) -> timedelta:
    match = _LENGTH.fullmatch(text)
    if not match or not int(match[1]):
        raise typer.BadParameter(f"--for {text}: write a length such as 30m, 2h or 1d")
    return int(match[1]) * _UNITS[match[2]]
