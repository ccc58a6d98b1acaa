"""Sends the pieces of one delivery: to everybody at once, to each in order.

Belongs here: claim, request, fate, and what follows from it: a pause, a repeat, a stop. Does not: what is to be sent to
whom (`delivery.py`), requests (`channels/`), the ledger's rules (`state/deliveries.py`).

A piece is claimed as `sending` before its request and its fate written after it, so a crash leaves at most one piece of
unknown fate for each recipient. Texts of unknown fate are sent again, marked as a repeat; pictures and files are held
for a person's word. Recipients never wait for each other; the pieces of one keep their order.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Any, TypeVar

from analytics_platform.channels.base import Channel, Earlier, Outcome, Piece, Recipient, Sender, Sent
from analytics_platform.state.deliveries import Deliveries
from analytics_platform.state.owners import Owner
from analytics_platform.state.parts import Part, State
from analytics_platform.state.subscribers import Subscribers

T = TypeVar("T")
Key = tuple[str, str, str]

# What the error of a part begins with that was given up because its recipient wants no more; that arrived elsewhere.
PAUSED, ASTRAY = "paused:", "astray:"

# Seconds before what is proven not to have arrived is tried again at once, and before a text of unknown fate is.
_AT_ONCE = (1.0, 2.0, 4.0)
_REPEATED = (2.0, 10.0)
# For one recipient in one go, when the other side asks to wait; what is left goes later.
_FLOOD_SECONDS = 120.0
# How often a recipient's new address is followed in one go: more is a circle.
_MOVES = 3
_SOON, _LATEST = timedelta(minutes=1), timedelta(minutes=30)

_STATES = {
    Outcome.SENT: State.SENT,
    Outcome.NOT_SENT: State.PENDING,
    Outcome.REFUSED: State.FAILED,
    Outcome.UNCERTAIN: State.UNCERTAIN,
}


@dataclass(frozen=True)
class Tools:
    """What sending needs. `clock` gives the moment, aware; `gone` whether a process has provably ended; `lease`: after
    which a silent one on another machine counts as ended."""

    ledger: Deliveries
    subscribers: Subscribers
    clock: Callable[[], datetime]
    gone: Callable[[Owner], bool]
    lease: timedelta = timedelta(minutes=10)
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


@dataclass(frozen=True)
class Way:
    """One channel's share of a delivery: whose parts, and the pieces by language and label."""

    channel: Channel
    lines: Mapping[Key, Sequence[Part]]
    pieces: Mapping[str, Mapping[str, Piece]]


def _remark(sent: Sent) -> str:
    if sent.gone:
        return f"{PAUSED} {sent.gone}"
    return f"{ASTRAY} {sent.astray} {sent.detail}".strip() if sent.astray else sent.detail


def later(part: Part, now: datetime) -> datetime:
    """When what could not be sent is tried again: after a quarter of its age, within a minute and half an hour."""
    return now + min(max((now - part.created_at) / 4, _SOON), _LATEST)


class _Next(Enum):
    GO_ON = auto()
    STOP = auto()


@dataclass
class Dispatch:
    """One go at one delivery. The ledger is asked in one thread of its own: its transactions queue anyway, and requests
    do not wait for them. `tell` is told of parts done, and of how many."""

    tools: Tools
    topic: str
    period: str
    owner: Owner
    tell: Callable[[int, int], None] | None = None
    thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "delivery-ledger"))
    _done: int = 0
    _total: int = 0

    async def all(self, ways: Sequence[Way], book: Mapping[Key, Recipient]) -> None:
        """Everybody at once; a defect met by one is raised when all are done."""
        files = self.tools.ledger.files(self.topic, self.period)
        self._total = sum(len(parts) for way in ways for parts in way.lines.values())
        with self.tools.ledger.busy(), self.thread:
            ends = [self._way(way, book, files) for way in ways]
            for end in await asyncio.gather(*ends, return_exceptions=True):
                if isinstance(end, BaseException):
                    raise end

    async def _way(self, way: Way, book: Mapping[Key, Recipient], files: Mapping[str, tuple[str, ...]]) -> None:
        async with way.channel.sender(files) as sender:
            lines = [
                _Line(self, sender, book.get(key) or Recipient(*key, language=parts[0].language)).all(parts, way.pieces)
                for key, parts in way.lines.items()
            ]
            for end in await asyncio.gather(*lines, return_exceptions=True):
                if isinstance(end, BaseException):
                    raise end

    async def ask(self, question: Callable[..., T], *args: Any, **named: Any) -> T:
        """The answer of the ledger, or of the subscribers. What was asked is done even when nobody waits any more."""
        loop = asyncio.get_running_loop()
        # Shielded: whoever breaks off must not take back the word of what has just been accepted.
        return await asyncio.shield(loop.run_in_executor(self.thread, lambda: question(*args, **named)))

    def step(self) -> None:
        """A part is done, one way or another."""
        self._done += 1
        if self.tell:
            self.tell(self._done, self._total)


@dataclass
class _Line:
    """All parts to one recipient, in order."""

    run: Dispatch
    sender: Sender
    recipient: Recipient
    flood_left: float = _FLOOD_SECONDS
    ids: Sequence[int] = ()
    moves_left: int = _MOVES

    @property
    def tools(self) -> Tools:
        return self.run.tools

    async def all(self, parts: Sequence[Part], pieces: Mapping[str, Mapping[str, Piece]]) -> None:
        self.ids = [part.id for part in parts]
        for number, part in enumerate(parts, start=1):
            piece = pieces[part.language].get(part.part)
            if piece is None:
                reason = "it is no longer cut into this piece; send the report again if it is needed"
                states = (State.PENDING, State.UNCERTAIN)
                await self.run.ask(self.tools.ledger.give_up, [part.id], reason, self.tools.clock(), states=states)
            elif await self._part(part, piece) is _Next.STOP and not piece.optional:
                await self.run.ask(self._put_off, part.id, [one.id for one in parts[number:]])
                return
            self.run.step()

    def _put_off(self, stopped: int, rest: Sequence[int]) -> None:
        """What waits for a part is not due before that part is."""
        ledger = self.tools.ledger
        for found in ledger.find([stopped]):
            if found.next_at:
                ledger.put_off(rest, found.next_at, self.tools.clock())

    async def _part(self, part: Part, piece: Piece) -> _Next:
        at_once, repeated = iter(_AT_ONCE), iter(_REPEATED)
        while True:
            async with self.sender.turn(self.recipient, piece):
                piece = await self._told(part, piece)
                begun = await self._begin(part)
                if begun is None:
                    return await self._passed_over(part)
                sent = await self._send(begun, piece)
            if sent.outcome is Outcome.SENT:
                return _Next.GO_ON
            if sent.outcome is Outcome.REFUSED:
                return await self._refused(sent)
            if sent.moved_to and sent.moved_to != self.recipient.address and self.moves_left:
                self.moves_left -= 1
                if await self._move(part, sent.moved_to) is _Next.STOP:
                    return _Next.STOP
                continue
            pause = self._pause(sent, at_once, repeated, repeatable=part.repeatable)
            if not pause:
                held = sent.outcome is Outcome.UNCERTAIN and not part.repeatable
                return _Next.GO_ON if held else _Next.STOP
            await self.tools.sleep(pause)

    async def _told(self, part: Part, piece: Piece) -> Piece:
        """The piece with what its recipient has of the message that it belongs to; as it is if that is not edited."""
        if not piece.living:
            return piece
        here = replace(part, address=self.recipient.address)
        known = await self.run.ask(self.tools.ledger.editions.message, here, piece.living)
        return replace(piece, earlier=Earlier(known.own, known.before, known.pictured, known.doubtful))

    async def _begin(self, part: Part) -> Part | None:
        tools = self.tools
        try:
            return await self.run.ask(
                tools.ledger.begin, part.id, self.run.owner, tools.clock(), lease=tools.lease, gone=tools.gone
            )
        except asyncio.CancelledError:
            # It may be begun all the same. Nothing of it has left, and nobody is to wonder whether it arrived.
            self.run.thread.submit(self._take_back, part)
            raise

    def _take_back(self, part: Part) -> None:
        ledger, owner, now = self.tools.ledger, self.run.owner, self.tools.clock()
        for found in ledger.find([part.id]):
            if found.state is State.SENDING and found.owner == owner:
                ledger.end(part.id, owner, State.PENDING, now, error="broken off before it was sent")

    async def _send(self, begun: Part, piece: Piece) -> Sent:
        """One try, its fate written down. Whatever breaks in it leaves the fate unknown."""
        end = self.tools.ledger.end
        try:
            repeat, silent = begun.doubtful or piece.earlier.doubtful, self.recipient.silent_at(self.tools.clock())
            sent = await self.sender.send(self.recipient, piece, repeat=repeat, silent=silent)
        except BaseException as error:
            # At once and not in the thread: when this is Ctrl-C, nobody will wait for it.
            said = f"broken off while it was being sent ({type(error).__name__})"
            end(begun.id, self.run.owner, State.UNCERTAIN, self.tools.clock(), error=said)
            raise
        now = self.tools.clock()
        unfinished = sent.outcome in (Outcome.NOT_SENT, Outcome.UNCERTAIN)
        await self.run.ask(
            end,
            begun.id,
            self.run.owner,
            _STATES[sent.outcome],
            now,
            error=_remark(sent),
            message_ids=sent.references,
            file_ids=sent.files,
            next_at=max(later(begun, now), now + timedelta(seconds=sent.retry_after or 0)) if unfinished else None,
            attempt=begun.attempts,
        )
        return sent

    def _pause(self, sent: Sent, at_once: Iterable[float], repeated: Iterable[float], *, repeatable: bool) -> float:
        """Seconds until the same is tried again; 0 when it is not, in this go."""
        if sent.retry_after is not None:
            pause = max(sent.retry_after, 1.0)
            if pause > self.flood_left:
                return 0.0
            self.flood_left -= pause
            return pause
        if sent.outcome is Outcome.UNCERTAIN:
            return next(iter(repeated), 0.0) if repeatable else 0.0
        return next(iter(at_once), 0.0)

    async def _refused(self, sent: Sent) -> _Next:
        if not sent.gone:
            return _Next.GO_ON
        run, tools = self.run, self.tools

        def give_up() -> None:
            now = tools.clock()
            channel, address, _ = self.recipient.key
            tools.subscribers.pause_address(channel, address, sent.gone, now, by=channel)
            tools.ledger.give_up(self.ids, f"{PAUSED} {sent.gone}", now)

        await run.ask(give_up)
        return _Next.STOP

    async def _move(self, part: Part, address: str) -> _Next:
        """Go on at the chat's new address; unless that gets the same of its own, and would get it twice."""
        run, tools, old = self.run, self.tools, self.recipient

        def move() -> bool:
            now = tools.clock()
            tools.ledger.moved(old.channel, old.address, address, now)
            tools.subscribers.moved(old.channel, old.address, address, now)
            here = any(found.address == address for found in tools.ledger.find([part.id]))
            if not here:
                left = [p.id for p in tools.ledger.parts(run.topic, run.period) if p.recipient == old.key]
                tools.ledger.give_up(left, f"{PAUSED} it is now {address}, which gets it anyway", now)
            return here

        self.recipient = replace(old, address=address)
        return _Next.GO_ON if await run.ask(move) else _Next.STOP

    async def _passed_over(self, part: Part) -> _Next:
        """Not ours to send: done, held, or another process is at it, which then sends the rest, too."""
        [found] = await self.run.ask(self.tools.ledger.find, [part.id]) or [part]
        return _Next.STOP if found.unfinished else _Next.GO_ON
