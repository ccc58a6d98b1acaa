"""What the channels' tests share: a running Bot API stand-in."""

from collections.abc import Iterator

import pytest

from analytics_platform_tests.telegram_server import TelegramServer, telegram_server


@pytest.fixture
def server() -> Iterator[TelegramServer]:
    """One of its own for every test."""
    with telegram_server() as running:
        yield running
