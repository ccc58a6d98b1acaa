"""`subscribers`: who gets what: add, list, pause, resume, remove, test, and the page behind the link in mails.

Belongs here: reading what a person writes, and printing. Does not: the rules of subscribing (`state/subscribers.py`),
sending (`delivery.py`).
"""

import datetime as dt
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from analytics_platform.cli.console import JobError, err, out, show_list
from analytics_platform.cli.context import Context, HomeOption, begin
from analytics_platform.messages import Album, Message, Text
from analytics_platform.reports import all_reports

if TYPE_CHECKING:
    from analytics_platform.defs.office import Office
    from analytics_platform.state.subscribers import Subscriber, Subscribers

app = typer.Typer(help="Who gets what: chats, topics of groups, mail addresses.", no_args_is_help=True)

# What is no report and can be subscribed to.
KINDS = ("alerts", "visitors", "problems")

_Who = Annotated[str, typer.Argument(metavar="WHO", help="Id of the list, address, or address/topic.")]
_Address = Annotated[
    str,
    typer.Argument(metavar="ADDRESS", help="Chat (-100123, @name, 42), its topic (-100123/45), or mail address."),
]


@dataclass(frozen=True)
class _Place:
    channel: str
    address: str
    thread: str


@app.command("add", context_settings={"ignore_unknown_options": True})
def add(
    address: _Address,
    report: Annotated[list[str] | None, typer.Option("--report", help="A report; may be repeated.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every report there is, also new ones, and alerts.")] = False,
    alerts: Annotated[bool, typer.Option("--alerts", help="What is unusual in the metrics, at once.")] = False,
    problems: Annotated[bool, typer.Option("--problems", help="What is wrong with the platform.")] = False,
    language: Annotated[str | None, typer.Option(help="en or ru. Default: LOCALE.")] = None,
    zone: Annotated[str | None, typer.Option(help="Time zone of their quiet hours. Default: TIMEZONE.")] = None,
    quiet: Annotated[
        str | None, typer.Option(metavar="22:00-08:00", help="Messages come without a sound then; `off` ends it.")
    ] = None,
    silent: Annotated[
        bool | None, typer.Option("--silent/--loud", help="Whether these messages come without a sound.")
    ] = None,
    name: Annotated[str, typer.Option(help="For people; default: what Telegram calls the chat.")] = "",
    home: HomeOption = None,
) -> None:
    """Subscribe a chat, a topic of a group or a mail address; again: change what is given, add reports.

    Example: `analytics-platform subscribers add -1001234567890/45 --report feed_daily --language ru`
    """
    context = begin(home)
    place = _place(address)
    kinds = [*(["alerts"] if alerts else []), *(["problems"] if problems else [])]
    topics = _topics([*(report or []), *kinds], every=every)
    hours = None if quiet is None else _quiet(quiet)
    office = context.office()
    office.configure()
    subscribers = office.ledgers.subscribers
    known = subscribers.at(place.channel, place.address, place.thread)
    if not topics and known is None:
        raise JobError("say what is wanted: --report NAME, --all, --alerts or --problems")
    before = known.topics if known else {}
    if silent is None:  # what is there keeps its sound
        chosen = {topic: before.get(topic, False) for topic in topics}
    else:
        chosen = dict.fromkeys(topics or before, silent)
    kind, title = ("email", "") if place.channel == "email" else _looked_up(context, place)
    try:
        one, added = subscribers.add(
            place.channel,
            place.address,
            thread=place.thread,
            kind=kind,
            name=name or ("" if known and known.name else title),
            language=language or (None if known else context.settings.locale),
            zone=zone or (None if known else context.settings.timezone),
            quiet=hours,
            topics=chosen,
            now=dt.datetime.now(dt.UTC),
        )
    except ValueError as error:
        raise JobError(str(error)) from None
    out.print(f"{'added' if added else 'changed'}: {_described(one)}", markup=False)
    if not one.active:
        out.print(
            f"it stays paused ({one.paused_reason}): analytics-platform subscribers resume {one.id}", markup=False
        )
    elif added:
        out.print(f"try it: analytics-platform subscribers test {one.id}", markup=False)


@app.command("list")
def list_subscribers(
    report: Annotated[str, typer.Option(help="Only those that get this one.")] = "",
    home: HomeOption = None,
) -> None:
    """Every subscriber: what they get, in which language, when without a sound, and why some are paused.

    Example: `analytics-platform subscribers list`
    """
    context = begin(home)
    wanted = _topics([report] if report else [], every=False)
    office = context.office()
    office.configure()
    found = office.ledgers.subscribers.all()
    for topic in wanted:
        found = [one for one in found if one.gets(topic, office.topics)]
    rows = [
        {
            "id": one.id,
            "recipient": str(one),
            "kind": one.kind,
            "name": one.name,
            "gets": ", ".join(_topic(topic, silent=silent) for topic, silent in one.topics.items()),
            "language": one.language,
            "zone": one.zone,
            "quiet": _hours(one.quiet),
            "state": "active" if one.active else f"paused {context.local(one.paused_at)}: {one.paused_reason}",
        }
        for one in found
    ]
    if not rows:
        what, option = (f" to {report}", f"--report {report}") if report else ("", "--all")
        out.print(f"nobody subscribes{what}; analytics-platform subscribers add ADDRESS {option}", markup=False)
    show_list(rows)


@app.command("pause", context_settings={"ignore_unknown_options": True})
def pause(
    who: _Who,
    reason: Annotated[str, typer.Option(help="Shown in the list.")] = "paused by hand",
    home: HomeOption = None,
) -> None:
    """Send nothing until it is resumed; what falls into the pause is not sent later.

    Example: `analytics-platform subscribers pause 3 --reason "on holiday"`
    """
    subscribers, one = _found(begin(home), who)
    if subscribers.pause(one.id, reason, dt.datetime.now(dt.UTC), by="person") is None:
        raise JobError(f"{one} is paused already: {one.paused_reason}")
    out.print(f"paused: {one}", markup=False)


@app.command("resume", context_settings={"ignore_unknown_options": True})
def resume(who: _Who, home: HomeOption = None) -> None:
    """Send again, from the next report on.

    Example: `analytics-platform subscribers resume 3`
    """
    subscribers, one = _found(begin(home), who)
    if subscribers.resume(one.id, dt.datetime.now(dt.UTC)) is None:
        raise JobError(f"{one} is not paused")
    out.print(f"active again: {one}", markup=False)


@app.command("remove", context_settings={"ignore_unknown_options": True})
def remove(
    who: _Who,
    report: Annotated[str, typer.Option(help="Only this one; the others stay.")] = "",
    home: HomeOption = None,
) -> None:
    """End a subscription, or one report of it.

    Example: `analytics-platform subscribers remove 3 --report app_daily`
    """
    context = begin(home)
    topic = next(iter(_topics([report] if report else [], every=False)), None)
    subscribers, one = _found(context, who)
    try:
        left = subscribers.remove(one.id, topic=topic, reports=context.office().topics)
    except ValueError as error:
        raise JobError(str(error)) from None
    if left is None:
        raise JobError(f"{one} does not get {report or 'anything'}")
    out.print(f"left: {_described(left)}" if left.topics else f"removed: {one}", markup=False)


@app.command("test", context_settings={"ignore_unknown_options": True})
def try_out(who: _Who, home: HomeOption = None) -> None:
    """Send a short text, and the newest real charts of what they get, over the same way as a report; say what arrived.

    Example: `analytics-platform subscribers test 3`
    """
    context = begin(home)
    _, one = _found(context, who)
    from analytics_platform.defs.claims import now
    from analytics_platform.defs.liveness import this_host
    from analytics_platform.delivery import Parcel, name
    from analytics_platform.state.owners import Owner
    from analytics_platform.state.parts import State

    office = context.office()
    recipient = office.recipient(one, next(iter(one.topics)))
    moment = now()
    parcel = Parcel("test", f"{moment:%Y-%m-%d %H%M%S} {one.id}", {one.language: _sample(office, one)}, dt.timedelta(0))
    delivered = office.post.deliver(parcel, [recipient], Owner("subscribers test", this_host(), os.getpid()))
    left = [part.id for part in delivered.parts if part.unfinished]
    office.ledgers.deliveries.give_up(left, "the test is over", now(), states=(State.PENDING, State.UNCERTAIN))
    for part in delivered.parts:
        out.print(f"{name(part)}, {part.part}: {part.state.value}. {part.error}".rstrip(". "), markup=False)
    if not one.active:
        remedy = f"analytics-platform subscribers resume {one.id}"
        err.print(f"note: {one} is paused ({one.paused_reason}) and gets no reports: {remedy}", markup=False)
    if any(part.state is not State.SENT for part in delivered.parts) or delivered.errors:
        raise JobError(delivered.summary() or f"{one} did not get it")


@app.command("page")
def page(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65535)] = 3001,
    home: HomeOption = None,
) -> None:
    """Serve the page behind the link in mails that ends a subscription; UNSUBSCRIBE_URL must lead here.

    Example: `analytics-platform subscribers page --port 3001`
    """
    context = begin(home)
    from analytics_platform.defs.claims import now
    from analytics_platform.unsubscribe import app as pages
    from analytics_platform.unsubscribe import serve

    if not context.settings.unsubscribe_url:
        err.print("note: UNSUBSCRIBE_URL is not set, so no mail has the link to this page", markup=False)
    out.print(f"listening on http://{host}:{port}/; stop with Ctrl-C", markup=False)
    titles = {name: report.title for name, report in all_reports().items()}
    titles |= {"alerts": "Alerts", "visitors": "Visitors"}
    site = pages(
        context.office().ledgers.subscribers, clock=now, reports=titles, titles={"problems": "Problems of the platform"}
    )
    serve(site, host, port)


def _sample(office: "Office", one: "Subscriber") -> list[Message]:
    """What a report would look like to them, without passing for one."""
    from analytics_platform.artifacts import Artifacts
    from analytics_platform.language import Language
    from analytics_platform.reports.base import fill

    artifacts = Artifacts(office.home.artifacts)
    albums: list[Album] = []
    shown = ""
    for name in (name for name in office.reports if one.gets(name, office.reports)):
        newest = next(iter(office.ledgers.runs.entries(name, limit=1)), None)
        if newest and one.language in artifacts.languages(name, newest.period.last):
            messages = artifacts.load_messages(name, newest.period.last, one.language)
            albums = [message for message in messages if isinstance(message, Album)][:1]
            shown = f"{name} {newest.period}" if albums else ""
    language = Language(one.language)
    wanted = [_topic(topic, silent=silent) for topic, silent in one.topics.items()]
    text: Text = fill("test", language, wanted=wanted, quiet=_hours(one.quiet), zone=one.zone, shown=shown)
    return [text, *albums]


def _found(context: Context, who: str) -> "tuple[Subscribers, Subscriber]":
    office = context.office()
    office.configure()
    subscribers = office.ledgers.subscribers
    one = subscribers.find(who)
    if one is None:
        raise JobError(f"there is no subscriber {who}; analytics-platform subscribers list")
    return subscribers, one


def _place(text: str) -> _Place:
    """Where a person's words lead. JobError for what is neither a chat nor a mail address."""
    if "@" in text.strip() and not text.strip().startswith("@"):
        from analytics_platform.channels.email_address import Mailbox

        try:
            return _Place("email", Mailbox.parse(text).address, "")
        except ValueError as error:
            raise JobError(f"{error}.") from None
    from analytics_platform.channels.base import ChannelError
    from analytics_platform.channels.telegram_parts import parse_chat_id

    try:
        chat = parse_chat_id(text)
    except ChannelError as error:
        raise JobError(str(error)) from None
    return _Place("telegram", str(chat.chat), str(chat.topic or ""))


def _looked_up(context: Context, place: _Place) -> tuple[str, str]:
    """(kind, title) as Telegram knows the chat; guessed from the address when it cannot be asked, which is said."""
    from analytics_platform.channels.base import ChannelError
    from analytics_platform.channels.telegram import TelegramChannel

    guess = "group" if place.address.startswith(("-", "@")) else "private"
    kind, title = guess, ""
    try:
        channel = context.office().post.channel("telegram")
        if isinstance(channel, TelegramChannel):
            kind, title = channel.look_up(place.address)
    except ChannelError as error:
        err.print(f"note: {error}", markup=False)
    return ("topic" if place.thread else kind), title


def _topics(names: list[str], *, every: bool) -> list[str]:
    from analytics_platform.state.subscribers import EVERYTHING

    known = all_reports()
    found = []
    for text in names:
        match = [report.name for report in known.values() if text in (report.name, report.verb)]
        match += [text] if text in KINDS else []
        if not match:
            raise typer.BadParameter(f"there is no report {text}; there are {', '.join([*known, *KINDS])}")
        found += match
    return [*([EVERYTHING] if every else []), *found]


def _quiet(text: str) -> tuple[dt.time | None, dt.time | None]:
    if text.strip() == "off":
        return None, None
    begins, dash, ends = text.partition("-")
    try:
        if not dash:
            raise ValueError
        return dt.time.fromisoformat(begins.strip()), dt.time.fromisoformat(ends.strip())
    except ValueError:
        raise typer.BadParameter(f"{text!r} are no quiet hours; write them such as 22:00-08:00, or off") from None


def _hours(quiet: tuple[dt.time, dt.time] | None) -> str:
    return f"{quiet[0]:%H:%M}-{quiet[1]:%H:%M}" if quiet else ""


def _topic(topic: str, *, silent: bool) -> str:
    return ("every report" if topic == "*" else topic) + (" (silent)" if silent else "")


def _described(one: "Subscriber") -> str:
    what = ", ".join(_topic(topic, silent=silent) for topic, silent in one.topics.items())
    quiet = f", quiet {_hours(one.quiet)}" if one.quiet else ""
    title = f" ({one.name})" if one.name else ""
    return f"{one.id} {one}{title} gets {what}, in {one.language}, {one.zone}{quiet}"
