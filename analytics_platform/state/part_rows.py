"""The delivery ledger's rows: parts to columns and back, in one transaction.

Belongs here: SQL. Does not: rules (`deliveries.py`). Imported only when the ledger is used: SQLAlchemy is heavy.

Rows are locked in the order of their ids, everywhere, so that two writers wait for each other instead of locking each
other out.
"""

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    Select,
    and_,
    bindparam,
    case,
    delete,
    func,
    or_,
    select,
    text,
    tuple_,
    update,
)

from analytics_platform.messages import original
from analytics_platform.state.models import PARTS, Words
from analytics_platform.state.owners import Owner
from analytics_platform.state.parts import SUPERSEDED, Overview, Part, State, Wanted

# Fields of a part that are columns of the same name and type.
_SAME = tuple(n for n in Part.__dataclass_fields__ if n in PARTS.c and n not in ("state", "message_ids", "file_ids"))
# Columns that tell whose and what a part is; the others change.
_FIXED = ("id", "topic", "period", "channel", "address", "thread", "part", "created_at")
# Ids in one statement: SQLite takes 32,766 values, PostgreSQL 65,535.
_MANY = 10_000


class PartRows:
    """The table of parts within one transaction."""

    def __init__(self, con: Connection) -> None:
        self._con = con

    # ----------------------------------------------------------------- reading

    def find(self, ids: Iterable[int], *, lock: bool = False) -> list[Part]:
        """The parts of these ids that there are, by id; with `lock`, nobody else changes them meanwhile."""
        known = sorted(set(ids))
        blocks = (known[start : start + _MANY] for start in range(0, len(known), _MANY))
        return [part for block in blocks for part in self.find_all(PARTS.c.id.in_(block), lock=lock)]

    def find_all(self, where: ColumnElement[bool], *, lock: bool = False) -> list[Part]:
        """Parts by id."""
        query = select(PARTS).where(where).order_by(PARTS.c.id)
        return [_part(row) for row in self._con.execute(query.with_for_update() if lock else query).mappings()]

    def delivery(self, topic: str, period: str, *, lock: bool = False) -> list[Part]:
        """All parts of one delivery, as they are sent: by recipient, and in order."""
        # Sorted here: PostgreSQL sorts texts by the rules of the server's language.
        found = self.find_all(of(topic, period), lock=lock)
        return sorted(found, key=lambda part: (*part.recipient, part.place, part.id))

    def is_any(self, where: ColumnElement[bool]) -> bool:
        """Whether there is such a part."""
        return self._con.execute(select(PARTS.c.id).where(where).limit(1)).first() is not None

    def deliveries(self, where: ColumnElement[bool]) -> list[tuple[str, str]]:
        """Deliveries with such a part, the one whose first part is the oldest first."""
        first = PARTS.alias("first")
        name = (PARTS.c.topic, PARTS.c.period)
        began = [
            select(value).where(first.c.topic == name[0], first.c.period == name[1]).scalar_subquery()
            for value in (func.min(first.c.created_at), func.min(first.c.id))
        ]
        query = select(*name).where(where).group_by(*name).order_by(*began)
        return [(row.topic, row.period) for row in self._con.execute(query)]

    def earliest(self, where: ColumnElement[bool]) -> datetime | None:
        """The earliest `next_at` of such parts."""
        found: datetime | None = self._con.execute(select(func.min(PARTS.c.next_at)).where(where)).scalar()
        return found

    def files(self, topic: str, period: str) -> dict[str, tuple[str, ...]]:
        """Ids of files by digest, of the parts sent last."""
        query = select(PARTS.c.digest, PARTS.c.file_ids).where(of(topic, period), PARTS.c.state == State.SENT.value)
        rows = self._con.execute(query.order_by(PARTS.c.sent_at, PARTS.c.id))
        return {row.digest: tuple(row.file_ids) for row in rows if row.file_ids}

    def ahead(self, topic: str, period: str, where: ColumnElement[bool]) -> set[tuple[str, str, str]]:
        """Recipients of such parts in deliveries of the topic whose first part is older than this one's."""
        query = select(PARTS.c.period, PARTS.c.channel, PARTS.c.address, PARTS.c.thread).distinct()
        found = list(self._con.execute(query.where(PARTS.c.topic == topic, PARTS.c.period != period, where)))
        if not found:
            return set()
        periods = sorted({period, *(row.period for row in found)})
        firsts = select(PARTS.c.period, func.min(PARTS.c.created_at), func.min(PARTS.c.id)).group_by(PARTS.c.period)
        rows = self._con.execute(firsts.where(PARTS.c.topic == topic, PARTS.c.period.in_(periods)))
        began = {name: (moment, number) for name, moment, number in rows}
        if period not in began:
            return set()
        return {(row.channel, row.address, row.thread) for row in found if began[row.period] < began[period]}

    def overview(
        self,
        *,
        topic: str | None,
        address: str | None,
        states: Collection[State],
        since: datetime | None,
        limit: int,
    ) -> list[Overview]:
        """Deliveries, the newest first; only parts of that `address` are looked at."""
        looked_at = [] if address is None else [PARTS.c.address == address]
        name, began = (PARTS.c.topic, PARTS.c.period), func.min(PARTS.c.created_at)
        # Nobody misses what a later revision said instead.
        counted = ~PARTS.c.error.startswith(SUPERSEDED)
        counts = {state: func.sum(case((and_(PARTS.c.state == state.value, counted), 1), else_=0)) for state in State}
        query = (
            select(*name, began.label("created_at"), func.max(PARTS.c.updated_at).label("updated_at"))
            .add_columns(*(count.label(state.value) for state, count in counts.items()))
            .where(*looked_at, *([] if topic is None else [PARTS.c.topic == topic]))
            .group_by(*name)
            .order_by(began.desc(), func.min(PARTS.c.id).desc())
            .limit(limit)
        )
        if since is not None:
            query = query.having(began >= since)
        if states:
            query = query.having(or_(*(counts[state] > 0 for state in sorted(states))))
        found = list(self._con.execute(query).mappings())
        recipients, errors = self._recipients(found, looked_at), self._errors(found, looked_at)
        return [
            Overview(
                row["topic"],
                row["period"],
                row["created_at"],
                row["updated_at"],
                recipients.get((row["topic"], row["period"]), 0),
                {state: row[state.value] for state in State},
                errors.get((row["topic"], row["period"]), ""),
            )
            for row in found
        ]

    def _recipients(
        self, deliveries: Sequence[RowMapping], looked_at: Sequence[ColumnElement[bool]]
    ) -> dict[tuple[str, str], int]:
        name = (PARTS.c.topic, PARTS.c.period)
        each = select(*name, PARTS.c.channel, PARTS.c.address, PARTS.c.thread).distinct()
        one = each.where(_among(deliveries), *looked_at).subquery()
        query = select(one.c.topic, one.c.period, func.count()).group_by(one.c.topic, one.c.period)
        return {(topic, period): count for topic, period, count in self._con.execute(query)}

    def _errors(
        self, deliveries: Sequence[RowMapping], looked_at: Sequence[ColumnElement[bool]]
    ) -> dict[tuple[str, str], str]:
        name = (PARTS.c.topic, PARTS.c.period)
        latest = func.row_number().over(partition_by=name, order_by=(PARTS.c.updated_at.desc(), PARTS.c.id.desc()))
        said: Select[Any] = select(*name, PARTS.c.error, latest.label("nth"))
        # What is said of a part that was sent tells in which form it went.
        wrong = (PARTS.c.error != "", PARTS.c.state != State.SENT.value, ~PARTS.c.error.startswith(SUPERSEDED))
        one = said.where(_among(deliveries), *wrong, *looked_at).subquery()
        query = select(one.c.topic, one.c.period, one.c.error).where(one.c.nth == 1)
        return {(topic, period): error for topic, period, error in self._con.execute(query)}

    # ----------------------------------------------------------------- writing

    def storable(self, wanted: Wanted) -> Wanted:
        """The same as it will come back: what the engines refuse in a text is replaced."""

        def clean(text: str) -> str:
            return Words().process_bind_param(text, self._con.dialect) or ""

        return replace(wanted, address=clean(wanted.address), part=clean(wanted.part))

    def alone(self, topic: str, period: str) -> None:
        """Until the transaction ends, nobody else enters parts of this delivery."""
        # SQLite has one writer at a time. On PostgreSQL there may be no row yet that could be locked.
        if self._con.dialect.name == "postgresql":
            mark = hashlib.sha256(f"{topic}\0{period}".encode("utf-8", "replace")).digest()
            self._con.execute(select(func.pg_advisory_xact_lock(int.from_bytes(mark[:8], signed=True))))

    def add(self, topic: str, period: str, wanted: Sequence[Wanted], now: datetime, try_until: datetime) -> None:
        """Parts that are not there yet, pending; what is there stays."""
        from sqlalchemy.dialects import postgresql, sqlite

        on_server = self._con.dialect.name == "postgresql"
        insert = postgresql.insert(PARTS) if on_server else sqlite.insert(PARTS)
        same: dict[str, Any] = {
            **{"topic": topic, "period": period, "state": State.PENDING.value, "doubtful": False, "attempts": 0},
            **{"message_ids": [], "file_ids": [], "error": "", "created_at": now, "updated_at": now},
            "try_until": try_until,
        }
        rows = [{**same, **vars(one)} for one in wanted]
        if not on_server:
            first = self._reserve(len(rows))
            rows = [{**row, "id": first + number} for number, row in enumerate(rows)]
        if rows:
            self._con.execute(insert.on_conflict_do_nothing(), rows)

    def store(self, parts: Sequence[Part]) -> None:
        """Write what can change of these parts."""
        rows = [_columns(part) for part in parts]
        if rows:
            changing: dict[str, Any] = {name: bindparam(name) for name in rows[0] if name not in _FIXED}
            query = update(PARTS).where(PARTS.c.id == bindparam("this")).values(**changing)
            self._con.execute(query, [{"this": row["id"], **{n: row[n] for n in changing}} for row in rows])

    def remove(self, parts: Sequence[Part]) -> None:
        """Delete them."""
        if parts:
            self._con.execute(delete(PARTS).where(PARTS.c.id == bindparam("this")), [{"this": p.id} for p in parts])

    def readdress(self, channel: str, old: str, new: str) -> int:
        """Give all rows of a chat its new address; how many.

        Of a piece that the new address is to get anyway, the old row is deleted if it was never begun, else it stays.
        """
        if self._con.dialect.name == "postgresql":
            # Pieces that are entered for the chat meanwhile are moved as well, out of the order in which all others
            # lock rows: two transactions would wait for each other. A move is rare and takes milliseconds.
            self._con.execute(text(f"LOCK TABLE {PARTS.name} IN EXCLUSIVE MODE"))
        here = and_(PARTS.c.channel == channel, PARTS.c.address == old)
        there = PARTS.alias("there")
        same = [there.c[name] == PARTS.c[name] for name in ("topic", "period", "channel", "thread", "part")]
        twice = select(there.c.id).where(*same, there.c.address == new).exists()
        self._con.execute(delete(PARTS).where(here, PARTS.c.attempts == 0, twice))
        # Ids of messages were the old chat's.
        moving = update(PARTS).where(here, ~twice).values(address=new, message_ids=[])
        return self._con.execute(moving).rowcount

    def _reserve(self, many: int) -> int:
        """The first of that many ids which no part has ever had.

        SQLite gives the id of a deleted newest row to the next one: whoever still has it in hand would then send, or
        give up, another part. The highest id so far is kept in the file's header, within the transaction.
        """
        kept = self._con.exec_driver_sql("PRAGMA user_version").scalar() or 0
        highest = max(kept, self._con.execute(select(func.max(PARTS.c.id))).scalar() or 0)
        self._con.exec_driver_sql(f"PRAGMA user_version = {highest + many:d}")
        return highest + 1


def of(topic: str, period: str) -> ColumnElement[bool]:
    """Parts of that delivery."""
    return and_(PARTS.c.topic == topic, PARTS.c.period == period)


def of_original(topic: str, period: str) -> ColumnElement[bool]:
    """Parts of all revisions of that delivery, and perhaps of a period whose name begins the same."""
    first = original(period)
    return and_(
        PARTS.c.topic == topic, or_(PARTS.c.period == first, PARTS.c.period.startswith(f"{first} r", autoescape=True))
    )


def optional() -> ColumnElement[bool]:
    """Pictures of cards: see `Part.optional`."""
    return or_(PARTS.c.part.like("_ card picture"), PARTS.c.part.like("__ card picture"))


def in_state(*states: State) -> ColumnElement[bool]:
    """Parts in one of these states."""
    return PARTS.c.state.in_(sorted(state.value for state in states))


def open_ones() -> ColumnElement[bool]:
    """Parts that nobody is at and that go on by themselves: pending, or of unknown fate and repeatable."""
    # The states in one condition of their own: the index on them is found by it.
    goes_on = or_(PARTS.c.state == State.PENDING.value, PARTS.c.repeatable.is_(True))
    return and_(in_state(State.PENDING, State.UNCERTAIN), goes_on)


def _among(deliveries: Sequence[RowMapping]) -> ColumnElement[bool]:
    return tuple_(PARTS.c.topic, PARTS.c.period).in_([(row["topic"], row["period"]) for row in deliveries])


def _columns(part: Part) -> dict[str, Any]:
    owner = part.owner
    return {
        **{name: getattr(part, name) for name in _SAME},
        "state": part.state.value,
        "message_ids": list(part.message_ids),
        "file_ids": list(part.file_ids),
        "run_id": owner and owner.run_id,
        "host": owner and owner.host,
        "pid": owner and owner.pid,
        "lock": owner and owner.lock,
    }


def _part(row: RowMapping) -> Part:
    return Part(
        state=State(row["state"]),
        message_ids=tuple(row["message_ids"]),
        file_ids=tuple(row["file_ids"]),
        owner=None if row["run_id"] is None else Owner(row["run_id"], row["host"], row["pid"], row["lock"]),
        **{name: row[name] for name in _SAME},
    )
