"""Revisions of one delivery: what of a message is where, and which of them is still to be sent.

Belongs here: the ledger's rules for messages that are edited while they live. Does not: all other rules of the ledger
(`deliveries.py`), how revisions are named (`messages.py`), editing (`channels/`).

Revisions are deliveries of their own (`17`, `17 r2`, `17 r3`). Only the newest one that a recipient is to get is ever
sent; whatever is left of the older ones is given up.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from analytics_platform.messages import original, revision
from analytics_platform.state.database import Database
from analytics_platform.state.entries import utc
from analytics_platform.state.part_changes import failed
from analytics_platform.state.parts import SUPERSEDED, Part, State

_LEFT = (State.PENDING, State.UNCERTAIN)


@dataclass(frozen=True)
class Known:
    """Ids of one recipient's messages: `own`, as this revision sent or edited it, None while it has not arrived;
    `before`, of the newest older one, empty for none. `pictured`: whether that one carries a picture. `doubtful`:
    whether an older revision, given up since, may have arrived unnoticed."""

    own: tuple[str, ...] | None
    before: tuple[str, ...]
    pictured: bool
    doubtful: bool


class Editions:
    """Reads and changes parts of the delivery ledger. Every `now` is aware. Methods raise StateError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def supersede(self, topic: str, period: str, now: datetime) -> list[Part]:
        """Give up what is left of revisions of this delivery that have a newer one for the same recipient; those parts.

        What is being sent is left to whoever sends it. Only reads when there is nothing to give up.
        """
        now = utc(now)
        newest: dict[tuple[str, str, str], Part] = {}
        family = self._family(topic, period)
        for part in sorted(family, key=lambda part: revision(part.period)):
            newest[part.recipient] = part
        old = {p.id: newest[p.recipient].period for p in family if p.state in _LEFT and _is_older(p, newest)}
        if not old:
            return []
        from analytics_platform.state.part_rows import PartRows

        with self._database.write() as con:
            rows = PartRows(con)
            left = [part for part in rows.find(old, lock=True) if part.state in _LEFT]
            given_up = [failed(part, f"{SUPERSEDED} {old[part.id]} says how things stand now", now) for part in left]
            rows.store(given_up)
            return given_up

    def told(self, topic: str, period: str) -> set[tuple[str, str, str]]:
        """Recipients to whom something of an older revision was sent, or is just being sent."""
        done = (State.SENT, State.SENDING)
        family = self._family(topic, period)
        return {p.recipient for p in family if p.state in done and revision(p.period) < revision(period)}

    def message(self, part: Part, living: str) -> "Known":
        """What the part's recipient has of the message that the piece `living` holds, up to the part's revision."""
        here = [p for p in self._family(part.topic, part.period) if p.recipient == part.recipient]
        here = sorted(
            (p for p in here if revision(p.period) <= revision(part.period)), key=lambda p: revision(p.period)
        )
        holders = [p for p in here if p.part == living]
        before = [p for p in holders if p.period != part.period]
        arrived = [p.message_ids for p in before if p.message_ids]
        pictures = {p.message_ids for p in here if p.part == f"{living} picture" and p.state is State.SENT}
        own = [p.message_ids for p in holders if p.period == part.period and p.state is State.SENT]
        return Known(
            own[-1] if own else None,
            arrived[-1] if arrived else (),
            pictured=bool(arrived) and arrived[-1] in pictures,
            doubtful=part.part == living and not arrived and any(p.doubtful for p in before),
        )

    def _family(self, topic: str, period: str) -> Sequence[Part]:
        from analytics_platform.state.part_rows import PartRows, of_original

        with self._database.read() as con:
            found = PartRows(con).find_all(of_original(topic, period))
        return [part for part in found if original(part.period) == original(period)]


def _is_older(part: Part, newest: dict[tuple[str, str, str], Part]) -> bool:
    return revision(part.period) < revision(newest[part.recipient].period)
