"""The one way out: whatever is to be said is handed over here, and goes to everybody who is to hear it.

Belongs here: writing down what goes to whom, going on with what was begun, and what a delivery has come to. Does not:
the sending itself (`dispatch.py`), requests (`channels/`), the ledger's rules (`state/deliveries.py`), who is told what
and when (`defs/`).
"""

import asyncio
import html
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from analytics_platform.artifacts import Artifacts
from analytics_platform.channels.base import Channel, ChannelError, Piece, Recipient
from analytics_platform.dispatch import PAUSED, Dispatch, Key, Tools, Way, later
from analytics_platform.language import Language
from analytics_platform.messages import Card, Message, Text, original
from analytics_platform.state.deliveries import Deliveries
from analytics_platform.state.owners import Owner
from analytics_platform.state.parts import Part, State, Wanted

# Of a recipient whose channel cannot be used now: cut into pieces as soon as it can.
UNCUT = "everything"
_SHOWN = 20
NOT_ARRIVED = "have not arrived for certain"


@dataclass(frozen=True)
class Parcel:
    """What is to be delivered: `messages` by language code, the first being for whoever wants another one.

    `topic` and `period` name it: a report or a kind of alert, and what of it. `keep_trying`: for how long.

    `edits`: the period of which this is a revision, for messages that are edited while they live (`Card`): `17` for
    `17 r2`, `17 r3`. A revision says all that is to be said: who has an earlier one has it edited, who has none gets it
    whole, and earlier ones that are still to be sent are given up. `loud`: whether readers hear of the revision, by the
    notices of its cards (a card without one: by its first line). Raises ValueError for a period that is no revision of
    what it edits.
    """

    topic: str
    period: str
    messages: Mapping[str, Sequence[Message]]
    keep_trying: timedelta = timedelta(hours=24)
    edits: str = ""
    loud: bool = True

    def __post_init__(self) -> None:
        if self.edits and (self.edits == self.period or original(self.period) != self.edits):
            raise ValueError(f"{self.period} is no revision of {self.edits}: name it {self.edits} r2, r3 and so on")


@dataclass(frozen=True)
class Delivered:
    """What a delivery has come to: its parts by recipient and place. `errors`: channels that cannot be used. `in_hand`:
    somebody has an earlier revision by a channel that cannot edit it, and is told nothing of this one."""

    parts: tuple[Part, ...]
    errors: tuple[str, ...] = ()
    in_hand: bool = False

    @property
    def unfinished(self) -> bool:
        """Whether something is still to be sent by itself."""
        return any(part.unfinished for part in self.parts)

    @property
    def reached(self) -> bool:
        """Whether anybody got anything for certain."""
        return any(part.state is State.SENT for part in self.parts)

    @property
    def trouble(self) -> tuple[Part, ...]:
        """The parts that did not arrive for certain, but for those of recipients that want no more, superseded ones,
        and pictures of cards."""
        left = (p for p in self.parts if p.state is not State.SENT and not p.error.startswith(PAUSED))
        return tuple(part for part in left if not (part.superseded or part.optional))

    def summary(self) -> str:
        """One line a part that has not arrived for certain; empty when all have, or only what nobody wants any more."""
        if not (self.parts or self.errors or self.in_hand):
            return "nobody was told: it has no recipient"
        # When nobody is left who wants it, silence would read as success.
        trouble = self.trouble if self.reached else tuple(part for part in self.parts if not part.superseded)
        lines = [f"{len(trouble)} of {len(self.parts)} parts {NOT_ARRIVED}:"] if trouble else []
        for part in trouble[:_SHOWN]:
            held = " (held)" if part.state is State.UNCERTAIN and not part.repeatable else ""
            said = "" if part.error in self.errors else f". {part.error}"
            lines.append(f"{name(part)}, {part.part}: {part.state.value}{held}{said}".rstrip(". ") + ".")
        if len(trouble) > _SHOWN:
            lines.append(f"and {len(trouble) - _SHOWN} more: analytics-platform deliveries list")
        return "\n".join([*self.errors, *lines])


def name(part: Part) -> str:
    """The recipient as people know it: `telegram -100123/45`."""
    return str(Recipient(part.channel, part.address, part.thread))


class Post:
    """Everything a delivery needs. `channel_of` builds a channel by its name, raising ChannelError; each is built once.

    Used by one thread at a time.
    """

    def __init__(self, tools: Tools, sent: Artifacts, channel_of: Callable[[str], Channel]) -> None:
        self.tools = tools
        self._sent = sent
        self._channel_of = channel_of
        self._channels: dict[str, Channel] = {}

    @property
    def ledger(self) -> Deliveries:
        """What was sent to whom."""
        return self.tools.ledger

    def hand_over(self, parcel: Parcel, recipients: Sequence[Recipient]) -> Delivered:
        """Write down what is to be sent to whom; from then on it is known, whatever happens to this process.

        What was handed over before stays as it was sent first: later figures do not mix with delivered ones.
        """
        begun = self.ledger.begun(parcel.topic, parcel.period)
        kept = self._sent.languages(parcel.topic, parcel.period) if begun else ()
        if not kept:
            for language, messages in parcel.messages.items():
                noticed = _noticed(messages, loud=bool(parcel.edits) and parcel.loud)
                self._sent.save_messages(parcel.topic, parcel.period, noticed, language)
        spoken = [code for code in parcel.messages if code in kept] or list(kept or parcel.messages)
        chosen = [r if r.language in spoken else replace(r, language=spoken[0]) for r in recipients]
        wanted, errors, in_hand = self._wanted(parcel.topic, parcel.period, chosen)
        now = self.tools.clock()
        parts = self.ledger.enter(parcel.topic, parcel.period, wanted, now, now + parcel.keep_trying)
        if parcel.edits:
            self.ledger.editions.supersede(parcel.topic, parcel.period, now)
        return Delivered(tuple(parts), errors, in_hand)

    def send(
        self,
        topic: str,
        period: str,
        recipients: Sequence[Recipient],
        owner: Owner,
        *,
        only: Collection[int] | None = None,
        due_at: datetime | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Delivered:
        """Send what is unfinished of a delivery that was handed over; what the whole of it has come to then.

        `recipients`: who is to get it now; parts of others are given up. Parts behind an older delivery of the same
        topic to the same recipient wait for that one. `only`: these parts and no others, on a person's word: whoever
        they are for, at once. `due_at`: whoever has a part that is not to be tried yet at that moment waits, too.
        `progress` is told parts done, and of how many. Blocks until all is sent or left for later.
        """
        book = {recipient.key: recipient for recipient in recipients}
        # Also on a person's word: what is over is not told any more.
        self.ledger.editions.supersede(topic, period, self.tools.clock())
        errors = self._cut(topic, period, book)
        parts = self.ledger.parts(topic, period)
        open_parts = [part for part in parts if part.unfinished and (only is None or part.id in only)]
        if only is None:
            strangers = [part.id for part in open_parts if part.recipient not in book]
            states = (State.PENDING, State.UNCERTAIN)
            self.ledger.give_up(strangers, f"{PAUSED} no longer receives it", self.tools.clock(), states=states)
        behind = self.ledger.behind(topic, period, self.tools.clock()) if only is None else set()
        if due_at:
            behind |= {part.recipient for part in open_parts if part.next_at and part.next_at > due_at}
        lines: dict[str, dict[Key, list[Part]]] = {}
        known = [part for part in open_parts if part.recipient in book or only is not None]
        self._postpone([part for part in known if part.channel in errors], errors)
        for part in known:
            if part.recipient not in behind and part.channel in self._channels and part.part != UNCUT:
                lines.setdefault(part.channel, {}).setdefault(part.recipient, []).append(part)
        if lines:
            ways = [self._way(topic, period, channel, found) for channel, found in lines.items()]
            dispatch = Dispatch(self.tools, topic, period, owner, progress)
            _to_end(lambda: dispatch.all(ways, book))
        return Delivered(tuple(self.ledger.parts(topic, period)), tuple(errors.values()))

    def deliver(self, parcel: Parcel, recipients: Sequence[Recipient], owner: Owner) -> Delivered:
        """Hand over and send."""
        handed = self.hand_over(parcel, recipients)
        return self.send(parcel.topic, parcel.period, recipients, owner) if handed.parts else handed

    def keeps(self, topic: str, period: str) -> bool:
        """Whether what was handed over is kept here: in this home, and not so long ago that it was let go of."""
        return bool(self._sent.languages(topic, period))

    def messages(self, topic: str, period: str, language: str) -> tuple[Message, ...]:
        """What was handed over. Raises ArtifactError when it is no longer kept."""
        return self._sent.load_messages(topic, period, language)

    def channel(self, named: str) -> Channel:
        """The channel of that name, built once. Raises ChannelError."""
        if named not in self._channels:
            self._channels[named] = self._channel_of(named)
        return self._channels[named]

    def pieces(self, topic: str, period: str, channel: str, language: str) -> Sequence[Piece]:
        """What was handed over, as the channel sends it. Raises ArtifactError and ChannelError."""
        messages = self.messages(topic, period, language)
        return self.channel(channel).pieces(messages, key=f"{topic}/{period}", language=Language(language))

    def _way(self, topic: str, period: str, channel: str, lines: Mapping[Key, Sequence[Part]]) -> Way:
        spoken = {part.language for parts in lines.values() for part in parts}
        pieces = {code: {p.label: p for p in self.pieces(topic, period, channel, code)} for code in spoken}
        return Way(self.channel(channel), lines, pieces)

    def _wanted(
        self, topic: str, period: str, recipients: Iterable[Recipient]
    ) -> tuple[list[Wanted], tuple[str, ...], bool]:
        """The parts; the channels that cannot be used; whether anybody is left out who has an earlier revision."""
        cut: dict[tuple[str, str], Sequence[Piece]] = {}
        errors: dict[str, str] = {}
        wanted: dict[tuple[Key, str], Wanted] = {}
        told = self.ledger.editions.told(topic, period) if original(period) != period else set()
        left_out = 0
        for one in recipients:
            way = (one.channel, one.language)
            if way not in cut and one.channel not in errors:
                try:
                    cut[way] = self.pieces(topic, period, *way)
                except ChannelError as error:
                    errors[one.channel] = f"{one.channel}: {error}."
            pieces = cut.get(way) or (Piece(UNCUT, "", None, repeatable=True),)
            if way in cut and not cut[way]:
                continue
            for place, piece in enumerate(pieces, start=1):
                if piece.first_only and one.key in told:
                    left_out += 1
                    continue
                part = Wanted(*one.key, piece.label, place, one.language, piece.digest, piece.repeatable)
                wanted.setdefault((one.key, piece.label), part)
        return list(wanted.values()), tuple(errors.values()), left_out > 0

    def _postpone(self, parts: Sequence[Part], errors: Mapping[str, str]) -> None:
        """A try that could not even be made."""
        now = self.tools.clock()
        for channel, error in errors.items():
            here = [part for part in parts if part.channel == channel]
            if here:
                until = max(later(part, now) for part in here)
                self.ledger.put_off([part.id for part in here], until, now, error=error)

    def _cut(self, topic: str, period: str, book: Mapping[Key, Recipient]) -> Mapping[str, str]:
        """Cut what could not be cut before; the channels that still cannot be used."""
        parts = self.ledger.parts(topic, period)
        errors: dict[str, str] = {}
        for channel in {part.channel for part in parts if part.unfinished}:
            try:
                self.channel(channel)
            except ChannelError as error:
                errors[channel] = f"{channel}: {error}."
        uncut = [p for p in parts if p.part == UNCUT and p.unfinished and p.channel not in errors]
        if uncut:
            found = [replace(book.get(p.recipient) or Recipient(*p.recipient), language=p.language) for p in uncut]
            cut, _, _ = self._wanted(topic, period, found)
            # All others as they are: what is not named is withdrawn.
            others = [Wanted(*p.key, p.place, p.language, p.digest, p.repeatable) for p in parts if p not in uncut]
            self.ledger.enter(topic, period, [*others, *cut], self.tools.clock(), max(p.try_until for p in uncut))
        return errors


def _noticed(messages: Sequence[Message], *, loud: bool) -> list[Message]:
    """Every card with a notice if it is to be `loud`, else with none."""

    def notice(card: Card) -> Text | None:
        lines = card.text.plain.strip().splitlines() or [""]
        return (card.notice or Text(html.escape(lines[0], quote=False))) if loud else None

    return [replace(found, notice=notice(found)) if isinstance(found, Card) else found for found in messages]


def _to_end(work: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await work()

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(main())
        return
    # A loop is running in this thread (a bot's handler, a notebook): use one of our own in another thread.
    with ThreadPoolExecutor(max_workers=1) as thread:
        thread.submit(asyncio.run, main()).result()
