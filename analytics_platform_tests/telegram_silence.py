"""A server that stays silent, without waiting for it: a channel with the patience of the product, whose time is ahead.

Belongs here: time that passes when nothing else can happen, or when a test says so. Does not: who is silent, and when
(`telegram_server.py`).

A patience short enough to be waited for in a test is also short enough for a busy machine to be taken for a silent one.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

from analytics_platform.channels.base import Piece, Recipient, Sent
from analytics_platform.channels.telegram import TelegramChannel
from analytics_platform.channels.telegram_pacing import Patience
from analytics_platform.channels.telegram_sender import TelegramSender

# Longer than any patience but that with floods, for which the channel's own clock is asked.
LONG = Patience().read + Patience().upload

_AGAIN_SECONDS = 0.02

_watching: list["Watch"] = []


def ahead(loop: asyncio.AbstractEventLoop, seconds: float) -> None:
    """Whoever waits in that loop has waited for so much longer. To be called in it."""
    clock = loop.time
    vars(loop)["time"] = lambda: clock() + seconds


async def too_long(over: Callable[[], bool]) -> None:
    """Time passes until patience is over."""
    while not over():
        ahead(asyncio.get_running_loop(), LONG)
        await asyncio.sleep(_AGAIN_SECONDS)


def fell_silent(chat: str) -> None:
    """A request for that chat was taken, and will never be answered. Any thread may say so."""
    for one in _watching.copy():
        one.loop.call_soon_threadsafe(one.heard_nothing, chat)


@dataclass
class Watch:
    """What one delivery has under way, by chat, and which of it is never answered."""

    loop: asyncio.AbstractEventLoop
    under_way: set[str] = field(default_factory=set)
    silent: set[str] = field(default_factory=set)

    def heard_nothing(self, chat: str) -> None:
        """That one is silent."""
        self.silent.add(chat)
        self._look()

    @contextmanager
    def sending(self, chat: str) -> Iterator[None]:
        """A piece for it is under way meanwhile."""
        self.under_way.add(chat)
        try:
            yield
        finally:
            self.under_way.discard(chat)
            self.silent.discard(chat)
            self._look()

    def _look(self) -> None:
        # Nobody loses an answer by it: none is to come. Whoever was not listening yet when time passed is told again.
        if self.under_way and self.under_way <= self.silent:
            ahead(self.loop, LONG)
            self.loop.call_later(_AGAIN_SECONDS, self._look)


class Hurried(TelegramChannel):
    """Waits for all answers as long as it takes, and for a silence no longer than until there is nothing else."""

    @asynccontextmanager
    async def sender(self, files: Mapping[str, tuple[str, ...]]) -> AsyncIterator[TelegramSender]:
        """See `TelegramChannel`."""
        watch = Watch(asyncio.get_running_loop())
        async with super().sender(files) as sender:
            send = sender.send

            async def watched(recipient: Recipient, piece: Piece, *, repeat: bool, silent: bool) -> Sent:
                with watch.sending(recipient.address):
                    return await send(recipient, piece, repeat=repeat, silent=silent)

            vars(sender)["send"] = watched
            _watching.append(watch)
            try:
                yield sender
            finally:
                _watching.remove(watch)
