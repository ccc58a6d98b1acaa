"""Subscribers' rows: subscribers with their topics to columns and back, in one transaction.

Belongs here: SQL. Does not: rules (`subscribers.py`). Imported only when subscribers are used: SQLAlchemy is heavy.
"""

from collections.abc import Collection, Mapping
from itertools import groupby
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, and_, delete, insert, select, update

from analytics_platform.state.database import add_if_absent
from analytics_platform.state.models import SUBSCRIBERS, SUBSCRIPTIONS
from analytics_platform.state.subscribers import Subscriber

# Fields of a subscriber that are columns of the same name and type.
_SAME = tuple(name for name in Subscriber.__dataclass_fields__ if name in SUBSCRIBERS.c)


class Rows:
    """The subscribers' tables within one transaction.

    With `lock`, nobody else changes what is found before this transaction ends; topics change under the lock alone.
    """

    def __init__(self, con: Connection) -> None:
        self._con = con

    def all(self, topics: Collection[str] | None, *, active: bool | None) -> list[Subscriber]:
        """Those with one of the topics, ordered by id."""
        where: list[ColumnElement[bool]] = []
        if topics is not None:
            theirs = select(SUBSCRIPTIONS.c.subscriber_id).where(SUBSCRIPTIONS.c.topic.in_(topics))
            where.append(SUBSCRIBERS.c.id.in_(theirs))
        if active is not None:
            where.append(SUBSCRIBERS.c.paused_at.is_(None) == active)
        return self._find(*where)

    def get(self, subscriber_id: int, *, lock: bool = False) -> Subscriber | None:
        """The one of that id."""
        return next(iter(self._find(SUBSCRIBERS.c.id == subscriber_id, lock=lock)), None)

    def of_token(self, token: str) -> Subscriber | None:
        """The one whose link it is."""
        return next(iter(self._find(SUBSCRIBERS.c.token == token)), None)

    def of_address(self, address: str, thread: str) -> Subscriber | None:
        """The one of that address, whatever the channel."""
        return next(iter(self._find(SUBSCRIBERS.c.address == address, SUBSCRIBERS.c.thread == thread)), None)

    def at(self, channel: str, address: str, thread: str, *, lock: bool = False) -> Subscriber | None:
        """The one of that recipient."""
        recipient = and_(
            SUBSCRIBERS.c.channel == channel, SUBSCRIBERS.c.address == address, SUBSCRIBERS.c.thread == thread
        )
        return next(iter(self._find(recipient, lock=lock)), None)

    def threads(self, channel: str, addresses: Collection[str]) -> list[Subscriber]:
        """The locked ones of those addresses, in every thread."""
        return self._find(SUBSCRIBERS.c.channel == channel, SUBSCRIBERS.c.address.in_(addresses), lock=True)

    def configured_words(self) -> set[str]:
        """Every spelling that somebody is configured by."""
        query = select(SUBSCRIBERS.c.configured).where(SUBSCRIBERS.c.configured != "")
        return {word for words in self._con.execute(query).scalars() for word in words.split()}

    def configured(self) -> list[Subscriber]:
        """The locked ones that are configured."""
        return self._find(SUBSCRIBERS.c.configured != "", lock=True)

    def add(self, new: Subscriber) -> bool:
        """Insert it, under an id of the database's choice; False when its recipient is there already."""
        columns = {name: value for name, value in _columns(new).items() if name != "id"}
        if not add_if_absent(self._con, SUBSCRIBERS, columns):
            return False
        stored = select(SUBSCRIBERS.c.id).where(SUBSCRIBERS.c.token == new.token)
        self._store_topics(self._con.execute(stored).scalar_one(), {}, new.topics)
        return True

    def store(self, before: Subscriber, after: Subscriber) -> Subscriber:
        """Write what differs; `before` is locked."""
        old, new = _columns(before), _columns(after)
        changed = {name: value for name, value in new.items() if value != old[name]}
        if changed:
            self._con.execute(update(SUBSCRIBERS).where(SUBSCRIBERS.c.id == before.id).values(**changed))
        self._store_topics(before.id, before.topics, after.topics)
        return after

    def delete(self, subscriber_id: int) -> None:
        """The subscriber and its topics."""
        self._con.execute(delete(SUBSCRIBERS).where(SUBSCRIBERS.c.id == subscriber_id))

    def _store_topics(self, subscriber_id: int, old: Mapping[str, bool], new: Mapping[str, bool]) -> None:
        over = [topic for topic in old if topic not in new or new[topic] != old[topic]]
        if over:
            theirs = and_(SUBSCRIPTIONS.c.subscriber_id == subscriber_id, SUBSCRIPTIONS.c.topic.in_(over))
            self._con.execute(delete(SUBSCRIPTIONS).where(theirs))
        added = [
            {"subscriber_id": subscriber_id, "topic": topic, "silent": silent}
            for topic, silent in new.items()
            if old.get(topic) != silent
        ]
        if added:
            self._con.execute(insert(SUBSCRIPTIONS), added)

    def _find(self, *where: ColumnElement[bool], lock: bool = False) -> list[Subscriber]:
        if lock:
            # A statement of its own: on PostgreSQL, one that waited for the lock sees the row as it is by then, but the
            # topics as they were when it began.
            mine = select(SUBSCRIBERS.c.id).where(*where).order_by(SUBSCRIBERS.c.id).with_for_update()
            where = (SUBSCRIBERS.c.id.in_(self._con.execute(mine).scalars().all()),)
        query = (
            select(SUBSCRIBERS, SUBSCRIPTIONS.c.topic, SUBSCRIPTIONS.c.silent)
            .join_from(SUBSCRIBERS, SUBSCRIPTIONS, isouter=True)
            .where(*where)
            .order_by(SUBSCRIBERS.c.id, SUBSCRIPTIONS.c.topic)
        )
        rows = self._con.execute(query).mappings()
        return [_subscriber(list(group)) for _, group in groupby(rows, key=lambda row: row["id"])]


def _columns(subscriber: Subscriber) -> dict[str, Any]:
    quiet_from, quiet_until = subscriber.quiet or (None, None)
    same = {name: getattr(subscriber, name) for name in _SAME}
    return {**same, "quiet_from": quiet_from, "quiet_until": quiet_until}


def _subscriber(rows: list[RowMapping]) -> Subscriber:
    """One row a topic; a single one, without, when there is none."""
    row = rows[0]
    return Subscriber(
        quiet=None if row["quiet_from"] is None else (row["quiet_from"], row["quiet_until"]),
        topics={each["topic"]: each["silent"] for each in rows if each["topic"] is not None},
        **{name: row[name] for name in _SAME},
    )
