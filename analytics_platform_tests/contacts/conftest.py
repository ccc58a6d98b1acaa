"""What the contacts' tests share: a running stand-in for Brevo, a clock by hand, and a client with both.

Belongs here: fixtures. Does not: the stand-in itself (`brevo_server.py`).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from analytics_platform.contacts.brevo import Brevo
from analytics_platform_tests.brevo_server import BrevoServer, brevo_server


@dataclass
class HandClock:
    """Seconds that pass only while somebody sleeps; what was slept, in order."""

    now: float = 1000.0
    slept: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        """Nobody waits for it."""
        self.slept.append(seconds)
        self.now += seconds

    def __call__(self) -> float:
        """Now."""
        return self.now


@pytest.fixture
def clock() -> HandClock:
    """One for the client and the server."""
    return HandClock()


@pytest.fixture
def server(clock: HandClock) -> Iterator[BrevoServer]:
    """One of its own for every test."""
    with brevo_server(clock=clock) as running:
        yield running


@pytest.fixture
def brevo(server: BrevoServer, clock: HandClock) -> Iterator[Brevo]:
    """A client of that server's."""
    client = Brevo(server.api_key, server.url, sleep=clock.sleep, clock=clock, jitter=lambda: 0.5)
    yield client
    client.close()
