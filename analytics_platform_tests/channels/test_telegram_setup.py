"""A bot's token and chats: what is checked before sending, and that the token shows nowhere."""

import asyncio
import logging
import traceback

import pytest
from pydantic import SecretStr

from analytics_platform.channels.base import ChannelError, Sent
from analytics_platform.channels.telegram import TelegramChannel
from analytics_platform.channels.telegram_pacing import MemorySlots, Patience
from analytics_platform.channels.telegram_parts import ChatId, parse_chat_id
from analytics_platform.messages import Text
from analytics_platform_tests.channels.telegram_sending import FakeTime, send
from analytics_platform_tests.telegram_server import Fault, FaultKind, TelegramServer
from analytics_platform_tests.telegram_silence import Hurried
from analytics_platform_tests.telegram_wire import TOKEN


def channel(server: TelegramServer, patience: Patience | None = None) -> TelegramChannel:
    slots = MemorySlots(FakeTime().clock)
    return Hurried(SecretStr(TOKEN), slots=slots, api_url=f"{server.url}/", patience=patience)


def test_check_names_the_bot_and_sends_nothing(server: TelegramServer) -> None:
    assert channel(server).check() == "@stand_in_bot"
    assert server.requests == [("getMe", "")]


def test_it_can_be_asked_where_a_loop_is_running(server: TelegramServer) -> None:
    async def inside() -> str:
        return channel(server).check()

    assert asyncio.run(inside()) == "@stand_in_bot"


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("bad_token", "get one from @BotFather; or TELEGRAM_API_URL"),
        ("bad_gateway", "Telegram answered: HTTP status 502"),
        ("page", "Telegram answered: HTTP status 200"),
        ("stall", "Telegram cannot be reached"),
    ],
)
def test_check_says_what_is_wrong(server: TelegramServer, kind: FaultKind, sentence: str) -> None:
    server.faults.append(Fault(kind))
    patience = Patience(read=0.3) if kind == "stall" else None  # nothing but silence is to be heard
    with pytest.raises(ChannelError, match=sentence) as caught:
        channel(server, patience).check()
    assert caught.value.__context__ is None


def test_a_chat_is_looked_up_by_its_address(server: TelegramServer) -> None:
    server.titles = {"-100123": "Product & <growth>", "@metrics": "Our metrics"}
    telegram = channel(server)

    assert telegram.look_up("-100123") == ("group", "Product & <growth>")
    assert telegram.look_up("@metrics") == ("channel", "Our metrics")
    assert telegram.look_up("42") == ("private", "Person 42")
    assert server.requests == [("getChat", "-100123"), ("getChat", "@metrics"), ("getChat", "42")]


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (Fault("bad_request", value="chat not found"), r"cannot see the chat -100123 \(.*chat not found\): check its"),
        (Fault("kick"), r"cannot see the chat -100123 \(.*bot was kicked.*let the bot into a group"),
        (Fault("bad_token"), "TELEGRAM_BOT_TOKEN is not accepted"),
        (Fault("flood"), "retry after 1; try again later"),
        (Fault("drop"), "cannot be reached"),
    ],
    ids=lambda value: value.kind if isinstance(value, Fault) else "",
)
def test_a_chat_that_cannot_be_seen_is_told(server: TelegramServer, fault: Fault, sentence: str) -> None:
    server.faults.append(fault)
    with pytest.raises(ChannelError, match=sentence):
        channel(server).look_up("-100123")


@pytest.mark.parametrize("chat", ["", "name", "12/x", "@a", "-100/4/5", "1 2", "-", "/3"])
def test_a_chat_that_cannot_be_one_is_told(server: TelegramServer, chat: str) -> None:
    with pytest.raises(ChannelError, match="is not a Telegram chat"):
        parse_chat_id(chat)
    with pytest.raises(ChannelError, match="is not a Telegram chat"):
        channel(server).look_up(chat)


def test_a_chat_may_be_named_with_its_topic() -> None:
    assert parse_chat_id(" -100123/45 ") == ChatId("-100123", "45")
    assert parse_chat_id("@metrics") == ChatId("@metrics")
    assert parse_chat_id("-100123/1") == parse_chat_id("-0100123") == ChatId("-100123")
    assert (ChatId("-100123", "45").chat, ChatId("-100123", "45").topic) == (-100123, 45)
    assert (ChatId("@metrics").chat, ChatId("@metrics").topic) == ("@metrics", None)


def test_a_token_or_address_that_cannot_be_one_is_told_without_showing_it() -> None:
    slots = MemorySlots(FakeTime().clock)
    with pytest.raises(ChannelError, match="does not look like a token") as caught:
        TelegramChannel("secret value", slots=slots)
    assert "secret value" not in str(caught.value)
    with pytest.raises(ChannelError, match="TELEGRAM_API_URL must begin with"):
        TelegramChannel(TOKEN, slots=slots, api_url="localhost:8081")


@pytest.mark.parametrize(
    "fault",
    [
        Fault("stall"),
        Fault("bad_token", times=0),
        Fault("blocked"),
        Fault("bad_request", times=0, value=f"no {TOKEN}"),
        Fault("forbidden", times=0, value=f"no {TOKEN}"),
    ],
    ids=lambda fault: fault.kind,
)
def test_the_token_is_nowhere(
    server: TelegramServer, fault: Fault, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    telegram = channel(server)
    telegram.check()
    for name in ("", "telegram", "telegram.Bot", "httpcore", "asyncio"):
        caplog.set_level(logging.DEBUG, logger=name)
    server.faults.append(fault)
    found: list[Sent] = send(telegram, Text("a"))
    for ask in (telegram.check, lambda: telegram.look_up("1"), lambda: telegram.updates(0)):
        try:
            ask()
            raise RuntimeError(f"{server.url}/bot{TOKEN}/getMe")
        except (ChannelError, RuntimeError):
            logging.getLogger("delivery").exception("failed with %r and %s", telegram, TOKEN)
    try:
        server.token = "another"
        telegram.check()
    except ChannelError:
        traceback.print_exc()

    async def line() -> str:
        async with telegram.sender({}) as sender:
            return f"{sender!r} {vars(sender)!r}"

    captured = capfd.readouterr()
    assert "Set Bot API URL" in caplog.text
    assert "<bot-token>" in caplog.text
    assert "ChannelError" in captured.err
    shown = [captured.out, captured.err, caplog.text, repr(found), repr(telegram), str(vars(telegram))]
    assert [text for text in [*shown, asyncio.run(line())] if TOKEN.partition(":")[2] in text] == []
