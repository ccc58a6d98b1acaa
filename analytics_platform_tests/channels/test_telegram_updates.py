"""Who asks for messages, read from Telegram's updates."""

import socket
import time
from dataclasses import replace

import pytest

from analytics_platform.channels.base import ChannelError
from analytics_platform.channels.telegram import TelegramChannel
from analytics_platform.channels.telegram_pacing import MemorySlots
from analytics_platform.channels.telegram_updates import Arrival
from analytics_platform_tests.channels.telegram_sending import FakeTime, channel
from analytics_platform_tests.telegram_server import Fault, TelegramServer
from analytics_platform_tests.telegram_wire import TOKEN


def test_whoever_presses_start_is_known_and_told_once(server: TelegramServer) -> None:
    server.titles = {"-100123": "Growth"}
    server.press_start(42)
    server.press_start(-100123, thread=45)
    telegram = channel(server)

    last, found = telegram.updates(0)
    assert (last, [replace(one, at=0.0) for one in found]) == (
        2,
        [Arrival("42", "Person 42", "start"), Arrival("-100123", "Growth", "start", thread="45")],
    )
    assert telegram.updates(0) == (last, found)  # until it is asked for what comes after it
    assert telegram.updates(last) == (2, [])
    server.press_start(7)
    newest, [later] = telegram.updates(last)
    assert (newest, replace(later, at=0.0)) == (3, Arrival("7", "Person 7", "start"))
    assert abs(later.at - time.time()) < 60


def test_start_may_carry_a_word_and_the_bots_name(server: TelegramServer) -> None:
    texts = ["/start", "/START", "/start invitation", "/start@Stand_In_bot", "/start@stand_in_bot x"]
    others = ["start", "/started", "please /start", "/start@other_bot", "/start@other_bot stand_in_bot", "/stop"]
    for number, text in enumerate([*texts, *others], start=1):
        server.press_start(-number, text)

    last, found = channel(server).updates(0)
    assert last == len(texts) + len(others)
    assert [arrival.address for arrival in found] == ["-1", "-2", "-3", "-4", "-5"]


def test_the_bots_name_is_asked_only_where_it_is_needed(server: TelegramServer) -> None:
    server.press_start(1)
    channel(server).updates(0)
    assert server.requests == [("getUpdates", "")]


@pytest.mark.parametrize(
    ("was", "now", "joined"),
    [
        ("left", "member", True),
        ("kicked", "member", True),
        ("left", "administrator", True),
        ("member", "administrator", False),
        ("administrator", "member", False),
        ("member", "left", False),
        ("member", "kicked", False),
    ],
)
def test_a_chat_that_lets_the_bot_in_is_known(server: TelegramServer, was: str, now: str, joined: bool) -> None:
    server.let_in("@metrics", was=was, now=now)
    last, found = channel(server).updates(0)
    assert last == 1
    at = found[0].at if found else 0.0
    assert found == ([Arrival("-1000000000000", "@metrics", "joined", at=at)] if joined else [])
    assert not joined or abs(at - time.time()) < 60


def test_updates_in_a_form_that_is_not_known_hold_nothing_up(server: TelegramServer) -> None:
    server.updates.append({"update_id": 5, "message": {"new": ["thing"]}})
    server.updates.append({"update_id": 6, "my_chat_member": {}})
    server.updates.append({"update_id": 7, "message": {"text": "/start"}})
    server.updates.append({"update_id": 8, "my_chat_member": {"new_chat_member": {"status": "member"}}})
    server.updates.append({"update_id": 9, "edited_message": {}})
    assert channel(server).updates(4) == (8, [])


def test_a_hundred_at_a_time(server: TelegramServer) -> None:
    for number in range(1, 131):
        server.press_start(number)
    telegram = channel(server)

    last, first = telegram.updates(0)
    _, rest = telegram.updates(last)
    assert [arrival.address for arrival in (*first, *rest)] == [str(number) for number in range(1, 131)]


def test_another_reader_and_no_network_are_told(server: TelegramServer) -> None:
    server.faults.append(Fault("conflict", "getUpdates"))
    with pytest.raises(ChannelError, match=r"another process or a webhook reads .*terminated by other getUpdates"):
        channel(server).updates(0)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
        with pytest.raises(ChannelError, match="cannot be reached"):
            TelegramChannel(TOKEN, slots=MemorySlots(FakeTime().clock), api_url=address).updates(0)
