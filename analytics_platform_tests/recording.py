"""A channel that keeps what it is given and answers as told, and an office whose only recipients are such channels."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from analytics_platform.channels.base import Outcome, Piece, Recipient, Sent
from analytics_platform.defs.office import Office
from analytics_platform.defs.resources import Ledgers, ledgers_of
from analytics_platform.language import Language
from analytics_platform.messages import Message
from analytics_platform.reports import all_reports
from analytics_platform.reports.base import Report
from analytics_platform.settings import Home, Settings


@dataclass
class Recording:
    """Takes a delivery as one piece. `sent`: (key, messages) of every try, `outcomes`: of the coming ones."""

    outcome: Outcome = Outcome.SENT
    name: str = "recording"
    repeatable: bool = False
    sent: list[tuple[str, Sequence[Message]]] = field(default_factory=list)
    outcomes: list[Sent] = field(default_factory=list)

    def pieces(self, messages: Sequence[Message], *, key: str, language: Language) -> Sequence[Piece]:
        """All of it at once."""
        return (Piece("all", str(len(messages)), (key, tuple(messages)), repeatable=self.repeatable),)

    @asynccontextmanager
    async def sender(self, files: Mapping[str, tuple[str, ...]]) -> AsyncIterator["Recording"]:
        """Itself."""
        yield self

    @asynccontextmanager
    async def turn(self, recipient: Recipient, piece: Piece) -> AsyncIterator[None]:
        """At once."""
        yield

    async def send(self, recipient: Recipient, piece: Piece, *, repeat: bool, silent: bool) -> Sent:
        """Note it, and answer as told."""
        self.sent.append(piece.body)
        if self.outcomes:
            return self.outcomes.pop(0)
        return Sent(self.outcome, "" if self.outcome is Outcome.SENT else "Why.", references=("7",))


async def no_sleep(_: float) -> None:
    """Pauses are over at once."""


def office_of(
    home: Home,
    settings: Settings,
    channels: Iterable[Any] = (),
    *,
    ledgers: Ledgers | None = None,
    reports: Mapping[str, Report[Any]] | None = None,
) -> Office:
    """An office that delivers to these channels, one recipient each, and to nobody else."""
    named = {channel.name: channel for channel in channels}
    return Office(
        home,
        settings,
        ledgers or ledgers_of(home, settings),
        all_reports() if reports is None else reports,
        [Recipient(name, "somebody") for name in named],
        named,
        sleep=no_sleep,
    )
