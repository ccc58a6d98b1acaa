"""Who gets a report and over which channel, in this home; what a delivery means for the run ledger and for owners.

Belongs here: recipients from subscribers and settings, channels from settings, the end of a period that was handed
over. Does not: sending (`delivery.py`), when (`defs/availability.py`, `defs/deliveries.py`).
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import dagster as dg

from analytics_platform.artifacts import Artifacts
from analytics_platform.channels.base import Channel, ChannelError, NobodyError, Recipient
from analytics_platform.channels.telegram_parts import parse_chat_id
from analytics_platform.defs.claims import gone, now
from analytics_platform.defs.resources import Ledgers, mail_server
from analytics_platform.delivery import Delivered, Post, name
from analytics_platform.dispatch import ASTRAY, Tools
from analytics_platform.messages import original, revision
from analytics_platform.reports.base import Report
from analytics_platform.settings import Home, Settings
from analytics_platform.state.parts import State
from analytics_platform.state.runs import Entry, Status
from analytics_platform.state.subscribers import Subscriber
from analytics_platform.unsubscribe import link

# How long a delivery may go on by itself before its owner hears of it.
_BY_ITSELF = timedelta(minutes=15)
# The kind of message that says what is wrong; owners get it, and whoever subscribes to it.
PROBLEMS = "problems"
# What is unusual in the metrics; whoever gets every report gets them, too.
ALERTS = "alerts"
# Who opened which pages in a window; a report, though it has no cadence.
VISITORS = "visitors"


@dataclass
class Office:
    """The post of one home, and its address book. `fixed`: the only recipients there are, whoever subscribes."""

    home: Home
    settings: Settings
    ledgers: Ledgers
    reports: Mapping[str, Report[Any]]
    fixed: Sequence[Recipient] | None = None
    channels: Mapping[str, Channel] = field(default_factory=dict)
    clock: Callable[[], datetime] = now
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    def __post_init__(self) -> None:
        self._post: Post | None = None

    @property
    def post(self) -> Post:
        """Built on first use: it opens the state's database."""
        if self._post is None:
            tools = Tools(self.ledgers.deliveries, self.ledgers.subscribers, self.clock, gone, sleep=self.sleep)
            self._post = Post(tools, Artifacts(self.home.sent), self._channel)
        return self._post

    @property
    def topics(self) -> tuple[str, ...]:
        """What somebody should get, or silence would read as "all is well": every report, visitors', and alerts."""
        return (*self.reports, VISITORS, ALERTS)

    @property
    def patience(self) -> timedelta:
        """For how long what could not be sent is tried again."""
        return timedelta(hours=self.settings.delivery_hours)

    def recipients(self, topic: str) -> list[Recipient]:
        """Who gets this report or kind of message now.

        Raises NobodyError when nobody does though somebody should (silence is never a success), ChannelError when a
        setting is wrong.
        """
        is_report = topic in self.topics
        if self.fixed is not None:
            return list(self.fixed) if is_report else []
        if is_report and self.settings.delivery_channel == "folder":
            return [self._folder()]
        self.configure()
        found = [self.recipient(s, topic) for s in self.ledgers.subscribers.recipients_of(topic, is_report=is_report)]
        if found or not is_report:
            return found
        paused = [s for s in self.ledgers.subscribers.all(active=False) if s.gets(topic, self.topics)]
        if paused:
            reason = f"{paused[0]}: {paused[0].paused_reason}"
            raise NobodyError(
                f"nobody was told: all who get {topic} are paused ({reason}); see analytics-platform subscribers list"
            )
        if self.settings.delivery_channel == "auto":
            return [self._folder()]
        raise NobodyError(
            f"nobody was told: nobody gets {topic}; analytics-platform subscribers add ADDRESS --report {topic}, or "
            "set TELEGRAM_CHAT_IDS, or DELIVERY_CHANNEL=folder"
        )

    def languages(self, topic: str) -> tuple[str, ...]:
        """The languages it is to be rendered in, the home's first."""
        try:
            spoken = [recipient.language for recipient in self.recipients(topic)]
        except ChannelError:  # said when it is delivered
            spoken = []
        own = self.settings.locale
        return tuple(dict.fromkeys([*([own] if own in spoken or not spoken else []), *spoken]))

    def anyone(self, text: str) -> Recipient:
        """An owner as the settings name them: a mail address, a chat, a chat's topic. Raises ChannelError."""
        language, zone = self.settings.locale, self.settings.zone
        if "@" in text and not text.startswith("@"):
            return Recipient("email", text, language=language, zone=zone, subscribed=False)
        chat = parse_chat_id(text)
        return Recipient("telegram", str(chat.chat), str(chat.topic or ""), language=language, zone=zone)

    def configure(self) -> None:
        """TELEGRAM_CHAT_IDS as subscribers, so that they can be paused and found like all others."""
        chats = []
        for text in self.settings.telegram_chat_ids:
            try:
                chat = parse_chat_id(text)
            except ChannelError as error:
                raise ChannelError(f"TELEGRAM_CHAT_IDS: {error}") from None
            address = str(chat.chat)
            kind = "topic" if chat.topic else "group" if address.startswith(("-", "@")) else "private"
            chats.append((text, address, str(chat.topic or ""), kind))
        settings = self.settings
        self.ledgers.subscribers.configure(chats, language=settings.locale, zone=settings.timezone, now=self.clock())

    def recipient(self, one: Subscriber, topic: str) -> Recipient:
        from zoneinfo import ZoneInfo

        return Recipient(
            one.channel,
            one.address,
            one.thread,
            one.language,
            ZoneInfo(one.zone),
            one.quiet,
            one.silent(topic),
            self._unsubscribe(one, topic) if one.channel == "email" else "",
        )

    def _unsubscribe(self, one: Subscriber, topic: str) -> str:
        if self.settings.unsubscribe_url:
            try:
                return link(self.settings.unsubscribe_url, one.token, topic)
            except ValueError as error:
                raise ChannelError(f"UNSUBSCRIBE_URL: {error}") from None
        mails = self.settings.owner_emails
        return f"mailto:{mails[0]}?subject=unsubscribe%20{topic}" if mails else ""

    def _folder(self) -> Recipient:
        return Recipient("folder", str(self.home.outbox), language=self.settings.locale, zone=self.settings.zone)

    def _channel(self, name: str) -> Channel:
        if name in self.channels:
            return self.channels[name]
        return channel_of(name, self.settings, self.ledgers)


def channel_of(name: str, settings: Settings, ledgers: Ledgers) -> Channel:
    """The channel as the settings have it. ChannelError names a missing one."""
    if name == "folder":
        from analytics_platform.channels.folder import FolderChannel

        return FolderChannel()
    if name == "email":
        if settings.smtp_host is None or settings.smtp_from is None:
            raise ChannelError("mail cannot be sent: set SMTP_HOST and SMTP_FROM")
        from analytics_platform.channels.email import EmailChannel

        return EmailChannel(mail_server(settings, settings.smtp_host, settings.smtp_from))
    if settings.telegram_bot_token is None:
        raise ChannelError("Telegram cannot be used: set TELEGRAM_BOT_TOKEN")
    from analytics_platform.channels.telegram import TelegramChannel

    return TelegramChannel(settings.telegram_bot_token, api_url=settings.telegram_api_url, slots=ledgers.slots)


def office_resource(
    home: Home, settings: Settings, ledgers: Ledgers, reports: Mapping[str, Report[Any]]
) -> dg.ResourceDefinition:
    """Built for each run: it opens a database, and channels import heavy libraries."""
    return dg.ResourceDefinition(
        lambda _: Office(home, settings, ledgers, reports), description="who gets what, and the ways to them"
    )


def verdict(delivered: Delivered, becomes: Status, reason: str) -> tuple[Status, str]:
    """What a report's period is after a go at its delivery."""
    if delivered.unfinished:
        return Status.SENDING, _short(delivered)
    if not delivered.reached:
        return Status.FAILED, _short(delivered)
    return becomes, reason or _short(delivered)


def _short(delivered: Delivered) -> str:
    lines = delivered.summary().splitlines()
    return " ".join(lines[:2])


def conclude(ledgers: Ledgers, entry: Entry, moment: datetime) -> Entry | None:
    """End a period that is on its way, when nothing of it is unfinished; the entry, None when it stays as it is."""
    parts = ledgers.deliveries.parts(entry.report, entry.delivery or entry.key)
    if not parts:  # its process ended before it had written down what goes to whom
        return ledgers.runs.arrived(entry, Status.READY, "nothing was sent yet", moment)
    done = Delivered(tuple(parts))
    if done.unfinished:
        return None
    status, reason = verdict(done, entry.becomes or Status.DELIVERED, entry.becomes_reason or "")
    return None if status is entry.status else ledgers.runs.arrived(entry, status, reason, moment)


def subject_of_delivery(topic: str, period: str) -> str:
    """How problems name a delivery."""
    return f"delivery {topic} {period}"


def let_go(ledgers: Ledgers, entry: Entry) -> None:
    """What is left of a report's earlier rounds is not sent any more: the one that comes brings it all."""
    for number in range(1, entry.round):
        left = ledgers.deliveries.parts(entry.report, replace(entry, round=number).key)
        states = (State.PENDING, State.UNCERTAIN)
        ids = [part.id for part in left if part.unfinished]
        ledgers.deliveries.give_up(ids, f"sent anew as {entry.key}", now(), states=states)


def note(ledgers: Ledgers, topic: str, period: str, delivered: Delivered, moment: datetime) -> None:
    """Tell owners of what has not arrived, and of recipients that are paused; that it is over when all has.

    What goes on by itself is told only when it has done so for a while.
    """
    if topic == PROBLEMS:  # whoever cannot be told is a problem of its own
        return
    subject = subject_of_delivery(topic, period)
    if original(period) != period:  # what an earlier revision said nobody waits for any more
        earlier = subject_of_delivery(topic, original(period))
        for problem in ledgers.problems.open():
            older = original(problem.subject) == earlier and revision(problem.subject) < revision(period)
            if older:
                ledgers.problems.resolve(problem.subject, moment, "a newer revision takes its place")
    going_on = [part for part in delivered.trouble if part.unfinished]
    if len(going_on) < len(delivered.trouble):
        ledgers.problems.resolve(subject, moment, "given up", kind="sending")
        _record_once(ledgers, (subject, "delivery"), delivered, moment)
    elif any(moment >= part.created_at + _BY_ITSELF for part in going_on):
        _record_once(ledgers, (subject, "sending"), delivered, moment)
    elif not going_on:
        ledgers.problems.resolve(subject, moment, "delivered")
    _note_astray(ledgers, delivered, moment)
    known = {problem.subject for problem in ledgers.problems.open()}
    for one in ledgers.subscribers.all(active=False):
        if one.paused_by == one.channel and f"subscriber {one}" not in known:
            ledgers.problems.record(f"subscriber {one}", "paused", one.paused_reason, moment)


def _record_once(ledgers: Ledgers, what: tuple[str, str], delivered: Delivered, moment: datetime) -> None:
    """One problem of that subject and kind, however what is said of its parts changes while it lasts."""
    known = [problem for problem in ledgers.problems.open() if (problem.subject, problem.kind) == what]
    text = known[0].text if known else delivered.summary()
    ledgers.problems.record(*what, text, moment, report=delivered.parts[0].topic)


def _note_astray(ledgers: Ledgers, delivered: Delivered, moment: datetime) -> None:
    """A topic that is gone is somebody's to put right; over when something arrives where it was asked for."""
    astray = {name(p): p.error for p in delivered.parts if p.error.startswith(ASTRAY)}
    for recipient, error in astray.items():
        # What was sent long ago tells nothing of the topic now.
        if not any(name(p) == recipient and p.sent_at and p.sent_at >= moment - _BY_ITSELF for p in delivered.parts):
            continue
        text = error.removeprefix(ASTRAY).strip()
        ledgers.problems.record(f"subscriber {recipient}", "astray", text, moment)
    for problem in ledgers.problems.open():
        recipient = problem.subject.removeprefix("subscriber ")
        arrived = any(p.state is State.SENT and name(p) == recipient for p in delivered.parts)
        if problem.kind == "astray" and arrived and recipient not in astray:
            ledgers.problems.resolve(problem.subject, moment, "arrives where it should", kind="astray")
