"""Who gets what: chats, topics of chats and mailboxes, what each subscribed to, and who is not to be written to.

Belongs here: the rules of subscribing. Does not: what is sent and when (`delivery.py`), which chats a bot may serve
(`channels/`), SQL (`subscriber_rows.py`).
"""

import secrets
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, time
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from analytics_platform.language import LANGUAGES
from analytics_platform.redaction import redact
from analytics_platform.state.database import Database, StateError
from analytics_platform.state.entries import utc

if TYPE_CHECKING:
    from analytics_platform.state.subscriber_rows import Rows

# The topic of whoever gets every report, also those yet to come; nothing but reports, so not `problems`.
EVERYTHING = "*"

_TOKEN_BYTES = 24
# How often somebody else may remove what has just been found to be there, until we give up.
_TURNS = 3


@dataclass(frozen=True)
class Subscriber:
    """One recipient and what it gets. Moments are aware, UTC; `quiet` is local time in `zone`.

    `thread`: the topic of a forum, empty for none. `topics`: of each, whether it comes without a sound. `configured`:
    how TELEGRAM_CHAT_IDS spells it, a word a spelling; empty when it was added by hand. `token`: of its unsubscribe
    link. `paused_by`: "person", "telegram", "link"; empty while it is active.
    """

    id: int
    channel: str  # "telegram", "email"
    address: str  # "-1001234567890", "@our_metrics", "ann@example.org"
    thread: str
    kind: str  # "private", "group", "channel", "topic", "email"
    name: str  # for people; may be empty
    language: str
    zone: str
    quiet: tuple[time, time] | None
    topics: Mapping[str, bool] = field(hash=False)
    configured: str
    token: str = field(repr=False)
    created_at: datetime
    paused_at: datetime | None = None
    paused_reason: str = ""
    paused_by: str = ""

    def __str__(self) -> str:
        return f"{self.channel} {self.address}" + (f"/{self.thread}" if self.thread else "")

    @property
    def active(self) -> bool:
        """Whether it is written to."""
        return self.paused_at is None

    def gets(self, topic: str, reports: Collection[str]) -> bool:
        """Whether it subscribed to the topic, by its name or, when it is one of the reports, with all of them."""
        return topic in self.topics or (EVERYTHING in self.topics and topic in reports)

    def silent(self, topic: str) -> bool:
        """Whether the topic comes without a sound; its own word counts before that of every report."""
        return self.topics.get(topic, self.topics.get(EVERYTHING, False))


class Subscribers:
    """The subscribers of one database. Every `now` is aware. Methods raise StateError when the database fails.

    `new_token`: makes what nobody can guess.
    """

    def __init__(self, database: Database, new_token: Callable[[], str] | None = None) -> None:
        self._database = database
        self._new_token = new_token or (lambda: secrets.token_urlsafe(_TOKEN_BYTES))

    # ----------------------------------------------------------------- reading

    def all(self, *, topic: str | None = None, active: bool | None = None) -> list[Subscriber]:
        """Ordered by id. `topic`: those that have it by that very name."""
        with self._rows() as rows:
            return rows.all(None if topic is None else [topic], active=active)

    def recipients_of(self, topic: str, *, is_report: bool) -> list[Subscriber]:
        """The active ones that get it, ordered by id; of a report also those that get every one."""
        with self._rows() as rows:
            return rows.all([topic, EVERYTHING] if is_report else [topic], active=True)

    def get(self, subscriber_id: int) -> Subscriber | None:
        """The one of that id."""
        with self._rows() as rows:
            return rows.get(subscriber_id)

    def at(self, channel: str, address: str, thread: str = "") -> Subscriber | None:
        """The one of that recipient; unlike `find`, never one whose id reads like the address."""
        with self._rows() as rows:
            return rows.at(channel, _spelled(address), thread.strip())

    def find(self, text: str) -> Subscriber | None:
        """What a person means by an id, an address, or an address and its topic (`-100123/45`). A name is no key."""
        text = text.strip()
        address, _, thread = text.rpartition("/")
        with self._rows() as rows:
            found = None
            # Chats have numbers, too, but longer ones than ours; no column takes more than nine digits for certain.
            if text.isascii() and text.isdigit() and len(text) <= 9:
                found = rows.get(int(text))
            found = found or rows.of_address(_spelled(text), "")
            return found or (rows.of_address(_spelled(address), thread) if address else None)

    def by_token(self, token: str) -> Subscriber | None:
        """The one whose unsubscribe link has that token."""
        with self._rows() as rows:
            return rows.of_token(token)

    # ------------------------------------------------------------- subscribing

    def add(
        self,
        channel: str,
        address: str,
        *,
        thread: str = "",
        kind: str | None,
        name: str | None = None,
        language: str | None,
        zone: str | None,
        quiet: tuple[time | None, time | None] | None = None,
        topics: Mapping[str, bool],
        now: datetime,
    ) -> tuple[Subscriber, bool]:
        """Subscribe to the topics (of each: without a sound?), as somebody new or besides what is there; whether new.

        None (of a name also "") leaves an attribute as it is; `quiet` of (None, None) ends quiet hours. What is paused
        stays paused. ValueError for an address, language, zone or quiet hours that are none, and for somebody new
        without kind, language, zone or topics.
        """
        now = utc(now)
        address, thread = _checked(address), thread.strip()
        _check(language, zone, quiet)
        hours = None if quiet is None or quiet[0] is None or quiet[1] is None else (quiet[0], quiet[1])
        with self._rows(write=True) as rows:
            for _ in range(_TURNS):
                stored = rows.at(channel, address, thread, lock=True)
                if stored is not None:
                    after = replace(
                        stored,
                        kind=kind or stored.kind,
                        name=name or stored.name,
                        language=language or stored.language,
                        zone=zone or stored.zone,
                        quiet=stored.quiet if quiet is None else hours,
                        topics={**stored.topics, **topics},
                    )
                    return rows.store(stored, after), False
                if not (kind and language and zone and topics):
                    raise ValueError(f"{channel} {address} is new; tell its kind, language, time zone and topics")
                token = self._new_token()
                new = Subscriber(
                    0, channel, address, thread, kind, name or "", language, zone, hours, topics, "", token, now
                )
                if rows.add(new) and (stored := rows.at(channel, address, thread, lock=True)) is not None:
                    return stored, True
        raise StateError(f"the subscriber {channel} {address} vanished while it was written")

    def remove(
        self, subscriber_id: int, *, topic: str | None = None, reports: Collection[str] = ()
    ) -> Subscriber | None:
        """Take the topic, or all of them, off the subscriber: what is left of it, or None when there was no such thing.

        Without topics left it is gone. `reports`: names of all, the others of which are spelled out for one that got
        every report. ValueError when they are needed and missing, and for the last topic of one that is configured:
        it would come back with every report.
        """
        with self._rows(write=True) as rows:
            stored = rows.get(subscriber_id, lock=True)
            if stored is None:
                return None
            left = {} if topic is None else _without(stored, topic, reports)
            if topic is not None and left == stored.topics:
                return None
            if not left and stored.configured:
                raise ValueError(
                    f"{stored} is in TELEGRAM_CHAT_IDS and would be back at the next report; "
                    "take it off there, or pause it"
                )
            if left:
                return rows.store(stored, replace(stored, topics=left))
            rows.delete(stored.id)
            return replace(stored, topics={})

    # ----------------------------------------------------------------- pausing

    def pause(self, subscriber_id: int, reason: str, now: datetime, *, by: str) -> Subscriber | None:
        """Write to it no more; None when it is gone or was paused before, whose reason stays."""
        now = utc(now)
        with self._rows(write=True) as rows:
            stored = rows.get(subscriber_id, lock=True)
            if stored is None or not stored.active:
                return None
            return rows.store(stored, replace(stored, paused_at=now, paused_reason=redact(reason), paused_by=by))

    def pause_address(self, channel: str, address: str, reason: str, now: datetime, *, by: str) -> list[Subscriber]:
        """Write to no thread of that chat any more; those that were active."""
        now = utc(now)
        with self._rows(write=True) as rows:
            active = [one for one in rows.threads(channel, [_spelled(address)]) if one.active]
            reason = redact(reason)
            return [rows.store(one, replace(one, paused_at=now, paused_reason=reason, paused_by=by)) for one in active]

    def resume(self, subscriber_id: int, now: datetime) -> Subscriber | None:
        """Write to it again; None when it is gone or was not paused."""
        utc(now)
        with self._rows(write=True) as rows:
            stored = rows.get(subscriber_id, lock=True)
            return None if stored is None or stored.active else rows.store(stored, _resumed(stored))

    # ------------------------------------------------------ settings and moves

    def configure(self, chats: Sequence[tuple[str, str, str, str]], *, language: str, zone: str, now: datetime) -> None:
        """The chats of TELEGRAM_CHAT_IDS get every report: spelling, address, thread, kind of each. Cheap when all do.

        Whoever is there already is known by the spelling, as a chat may have moved, or else by the address, and stays
        as it is. What is no longer configured is removed, unless it has topics other than every report.
        """
        now = utc(now)
        wanted = {"".join(spelling.split()): chat for spelling, *chat in chats}
        with self._rows() as rows:
            if rows.configured_words() == wanted.keys():
                return
        _check(language, zone, None)
        with self._rows(write=True) as rows:
            known = {word for one in rows.configured() for word in one.configured.split()}
            for spelling, (address, thread, kind) in wanted.items():
                if spelling not in known:
                    chat = ("telegram", _checked(address), thread.strip(), kind, "")
                    token, everything = self._new_token(), {EVERYTHING: False}
                    new = Subscriber(0, *chat, language, zone, None, everything, spelling, token, now)
                    # First of all: on PostgreSQL, another process may be about to do the same.
                    if not rows.add(new) and (stored := rows.at(*chat[:3], lock=True)) is not None:
                        rows.store(stored, replace(stored, configured=_joined(stored.configured, spelling)))
            for stored in rows.configured():
                spellings = " ".join(word for word in stored.configured.split() if word in wanted)
                if spellings or stored.topics.keys() - {EVERYTHING}:
                    rows.store(stored, replace(stored, configured=spellings))
                else:
                    rows.delete(stored.id)

    def moved(self, channel: str, old: str, new: str, now: datetime) -> list[Subscriber]:
        """The chat has another address: every thread of it goes there, joining whoever is there; which ones."""
        utc(now)
        old, new = _spelled(old), _checked(new)
        with self._rows(write=True) as rows:
            found = rows.threads(channel, {old, new}) if old != new else []
            there = {one.thread: one for one in found if one.address == new}
            for one in found:
                if one.address == old and one.thread in there:
                    other = there[one.thread]
                    rows.delete(one.id)
                    topics, configured = {**one.topics, **other.topics}, _joined(other.configured, one.configured)
                    rows.store(other, replace(other, topics=topics, configured=configured))
                elif one.address == old:
                    rows.store(one, replace(one, address=new))
            threads = {one.thread for one in found if one.address == old}
            return [one for one in rows.threads(channel, [new]) if one.thread in threads] if threads else []

    @contextmanager
    def _rows(self, *, write: bool = False) -> "Iterator[Rows]":
        from analytics_platform.state.subscriber_rows import Rows

        with self._database.write() if write else self._database.read() as con:
            yield Rows(con)


def _resumed(stored: Subscriber) -> Subscriber:
    return replace(stored, paused_at=None, paused_reason="", paused_by="")


def _without(stored: Subscriber, topic: str, reports: Collection[str]) -> dict[str, bool]:
    """What is left without the topic, and equal to what was there when it was not among it."""
    topics = dict(stored.topics)
    if EVERYTHING in topics and topic != EVERYTHING:
        if not reports:
            raise ValueError(f"{stored} gets every report; tell which others there are, to go on with those")
        if topic in reports:
            silent = topics.pop(EVERYTHING)
            topics = {**dict.fromkeys(reports, silent), **topics}
    topics.pop(topic, None)
    return topics


def _joined(*spellings: str) -> str:
    """A chat may be configured twice, in two spellings or before and after a move; either keeps it."""
    return " ".join(dict.fromkeys(" ".join(spellings).split()))


def _spelled(address: str) -> str:
    """The one spelling of an address: what comes after the @ of an e-mail or public name is the same in any case."""
    name, sign, domain = address.strip().rpartition("@")
    return name + sign + domain.lower() if sign else domain


def _checked(address: str) -> str:
    spelled = _spelled(address)
    if not spelled or any(sign.isspace() for sign in spelled):
        raise ValueError(
            f"{address!r} is not an address; write one such as -1001234567890, @our_metrics or ann@example.org"
        )
    return spelled


def _check(language: str | None, zone: str | None, quiet: tuple[time | None, time | None] | None) -> None:
    if language is not None and language not in LANGUAGES:
        raise ValueError(f"{language!r} is not a language of this platform; use one of {', '.join(LANGUAGES)}")
    if zone is not None:
        try:
            ZoneInfo(zone)
        except (KeyError, ValueError, OSError):
            raise ValueError(f"{zone!r} is not an IANA time zone; write one such as Europe/Moscow") from None
    begins, ends = quiet or (None, None)
    if (begins is None) != (ends is None):
        raise ValueError("quiet hours need both a beginning and an end; write them such as 22:00 and 08:00")
    if begins is not None and begins == ends:
        raise ValueError(f"quiet hours from {begins:%H:%M} until {begins:%H:%M} never begin; write two different times")
