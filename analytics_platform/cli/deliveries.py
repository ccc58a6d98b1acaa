"""`deliveries`: what was sent to whom, what is uncertain, what failed and why; sending again.

Belongs here: printing the delivery ledger and acting on a person's word. Does not: its rules (`state/deliveries.py`),
sending (`delivery.py`).
"""

import re
import shlex
from datetime import date, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from analytics_platform.cli.console import JobError, counted, err, out, show_list
from analytics_platform.cli.context import HomeOption, begin, run_days
from analytics_platform.reports import all_reports

if TYPE_CHECKING:
    from analytics_platform.defs.office import Office
    from analytics_platform.state.parts import Part

app = typer.Typer(help="What was sent to whom, and what did not arrive.", no_args_is_help=True)

_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_OF_THE_MOMENT = ("test", "problems")
_Topic = Annotated[
    str, typer.Argument(metavar="REPORT", help="The report, or another kind of message: problems, test.")
]
_Period = Annotated[str, typer.Argument(metavar="PERIOD", help="As `deliveries list` shows it, such as 2026-11-20.")]
_To = Annotated[str, typer.Option("--to", metavar="ADDRESS", help="Only to this chat, topic or mail address.")]


@app.command("list")
def list_deliveries(
    report: Annotated[str, typer.Option(help="Only this report or kind of message.")] = "",
    to: Annotated[str, typer.Option("--to", metavar="ADDRESS", help="Only what goes to this chat or address.")] = "",
    troubled: Annotated[bool, typer.Option("--troubled", help="Only those of which something did not arrive.")] = False,
    days: Annotated[int, typer.Option(help="How far back.", min=1)] = 30,
    limit: Annotated[int, typer.Option(help="How many at most.", min=1)] = 30,
    home: HomeOption = None,
) -> None:
    """Deliveries, the newest first: how many recipients, and how many parts arrived, wait, are uncertain, failed.

    Example: `analytics-platform deliveries list --troubled`
    """
    context = begin(home)
    report = _named(report)
    from analytics_platform.defs.claims import now
    from analytics_platform.state.parts import State

    trouble = (State.PENDING, State.SENDING, State.UNCERTAIN, State.FAILED)
    found = context.office().ledgers.deliveries.overview(
        topic=report or None,
        address=to or None,
        states=trouble if troubled else (),
        since=now() - timedelta(days=days),
        limit=limit,
    )
    # What was tried out, and what owners heard then, is over as soon as it was sent or not.
    found = [one for one in found if report or not troubled or one.topic not in _OF_THE_MOMENT]
    rows = [
        {
            "report": one.topic,
            "period": one.period,
            "handed over": context.local(one.created_at),
            "recipients": one.recipients,
            **{state.value: one.counts.get(state, 0) for state in State},
            "last trouble": one.error,
        }
        for one in found
    ]
    if not rows:
        what = "everything has arrived" if troubled else "nothing was delivered"
        out.print(f"{what} in the last {counted(days, 'day')}", markup=False)
    show_list(rows)


@app.command("show")
def show(topic: _Topic, period: _Period, to: _To = "", home: HomeOption = None) -> None:
    """Every part of a delivery: to whom, its state, tries, when, the other side's ids, what went wrong.

    Example: `analytics-platform deliveries show feed_daily 2026-11-20`
    """
    context = begin(home)
    topic = _named(topic)
    from analytics_platform.delivery import name

    office = context.office()
    period = _newest(office, topic, period)
    parts = office.ledgers.deliveries.parts(topic, period)
    if not parts:
        raise JobError(f"nothing is known of {topic} {period}; analytics-platform deliveries list")
    show_list(
        [
            {
                "id": part.id,
                "recipient": name(part),
                "part": part.part,
                "state": _state(part),
                "tries": part.attempts,
                "sent": context.local(part.sent_at),
                "next try": context.local(part.next_at) if part.unfinished else "",
                "ids": ", ".join(part.message_ids) if part.channel == "telegram" else "",
                "what": part.error,
            }
            for part in parts
            if not to or to in (part.address, f"{part.address}/{part.thread}")
        ]
    )


@app.command("resend")
def resend(
    topic: _Topic,
    period: _Period,
    to: _To = "",
    part: Annotated[str, typer.Option(help="Such as '2 album': this one, whatever became of it.")] = "",
    home: HomeOption = None,
) -> None:
    """Send again what is uncertain, failed or waits; uncertain parts may then arrive twice.

    Example: `analytics-platform deliveries resend feed_daily 2026-11-20 --to -1001234567890 --part "2 album"`
    """
    context = begin(home)
    topic = _named(topic)
    from analytics_platform.defs.deliveries import AGAIN_JOB, chosen
    from analytics_platform.delivery import name
    from analytics_platform.dispatch import PAUSED
    from analytics_platform.state.parts import State

    office = context.office()
    period = _newest(office, topic, period)
    wanted = [one.id for one in chosen(office, topic, period, to, part)]
    if not wanted:
        paused = any(one.error.startswith(PAUSED) for one in office.ledgers.deliveries.parts(topic, period))
        # Said here: a run that fails for a mistyped word would be told to owners.
        raise JobError(
            f"nothing of {topic} {period}{f' for {to}' if to else ''} is to be sent again"
            f"{' (who is paused is meant by --to alone)' if paused and not to else ''}; "
            f"analytics-platform deliveries show {topic} {shlex.quote(period)}"
        )
    config = {"topic": topic, "period": period, "recipient": to, "part": part}
    trouble = ""
    try:
        run_days(
            context,
            AGAIN_JOB,
            None,
            None,
            title=f"send {topic} {period} again",
            run_config={"ops": {"send_parts_again": {"config": config}}},
        )
    except JobError as error:
        trouble = str(error)
    left = [one for one in office.ledgers.deliveries.find(wanted) if one.state is not State.SENT]
    if left:
        lines = [f"{name(one)}, {one.part}: {one.state.value}. {one.error}" for one in left]
        raise JobError(trouble or "\n".join(lines))
    if trouble:  # what others have not got was not asked for
        err.print(f"note: {trouble}", markup=False)
    out.print(f"{counted(len(wanted), 'part')} sent", markup=False)


@app.command("arrived")
def arrived(
    topic: _Topic,
    period: _Period,
    to: _To = "",
    part: Annotated[str, typer.Option(help="Such as '2 album'.")] = "",
    home: HomeOption = None,
) -> None:
    """Say that what is uncertain did arrive: somebody has seen it. It is then not sent again.

    Example: `analytics-platform deliveries arrived feed_daily 2026-11-20 --to -1001234567890`
    """
    context = begin(home)
    topic = _named(topic)
    from analytics_platform.defs.deliveries import arrived as saw
    from analytics_platform.defs.deliveries import chosen

    office = context.office()
    period = _newest(office, topic, period)
    seen = saw(office, chosen(office, topic, period, to, part))
    if not seen:
        raise JobError(
            f"nothing of {topic} {period}{f' for {to}' if to else ''} is uncertain; "
            f"analytics-platform deliveries show {topic} {shlex.quote(period)}"
        )
    out.print(f"{counted(len(seen), 'part')} noted as arrived", markup=False)


def _newest(office: "Office", topic: str, period: str) -> str:
    """The newest round of a report's period, given its day; said, when it is not the first."""
    entry = office.ledgers.runs.entry(topic, date.fromisoformat(period)) if _DAY.fullmatch(period) else None
    if entry is None or entry.key == period or not office.ledgers.deliveries.parts(topic, entry.key):
        return period
    err.print(f"note: {topic} of {period} was sent anew: this is '{entry.key}'", markup=False)
    return entry.key


def _named(topic: str) -> str:
    """A report's name, given that or its verb; other kinds of message as they are."""
    return next((report.name for report in all_reports().values() if topic == report.verb), topic)


def _state(part: "Part") -> str:
    """The state, and that it waits for a person's word."""
    held = part.state.value == "uncertain" and not part.repeatable
    return f"{part.state.value}, held" if held else part.state.value
