"""A bot's token and chats: what is checked before sending, and that the token shows nowhere."""

import logging
import traceback

import pytest
from pydantic import SecretStr

from analytics_platform.channels.base import ChannelError, Receipt
from analytics_platform.channels.telegram import TelegramChannel
from analytics_platform.channels.telegram_pacing import Patience
from analytics_platform.messages import Text
from analytics_platform_tests.telegram_server import TOKEN, Fault, FaultKind, TelegramServer


def channel(server: TelegramServer) -> TelegramChannel:
    return TelegramChannel(SecretStr(TOKEN), ["42"], api_url=f"{server.url}/", patience=Patience(read=0.8))


def test_check_names_the_bot_and_sends_nothing(server: TelegramServer) -> None:
    assert channel(server).check() == "@stand_in_bot"
    assert server.requests == [("getMe", "")]


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("bad_token", "get one from @BotFather; or TELEGRAM_API_URL"),
        ("bad_gateway", "Telegram answered: HTTP status 502"),
        ("stall", "Telegram cannot be reached"),
    ],
)
def test_check_says_what_is_wrong(server: TelegramServer, kind: FaultKind, sentence: str) -> None:
    server.faults.append(Fault(kind))
    with pytest.raises(ChannelError, match=sentence) as caught:
        channel(server).check()
    assert caught.value.__context__ is None


@pytest.mark.parametrize("chat", ["", "name", "12/x", "@a", "-100/4/5", "1 2"])
def test_a_chat_that_cannot_be_one_is_told(chat: str) -> None:
    with pytest.raises(ChannelError, match="is not a Telegram chat"):
        TelegramChannel(TOKEN, [chat])


def test_a_token_or_address_that_cannot_be_one_is_told_without_showing_it() -> None:
    with pytest.raises(ChannelError, match="does not look like a token") as caught:
        TelegramChannel("secret value", ["1"])
    assert "secret value" not in str(caught.value)
    with pytest.raises(ChannelError, match="TELEGRAM_API_URL must begin with"):
        TelegramChannel(TOKEN, ["1"], api_url="localhost:8081")


@pytest.mark.parametrize(
    "fault",
    [Fault("stall"), Fault("bad_token", times=0), Fault("blocked"), Fault("bad_request", times=0, value=f"no {TOKEN}")],
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
    receipts: list[Receipt] = telegram.send([Text("a")], key="k")
    try:
        telegram.check()
        raise RuntimeError(f"{server.url}/bot{TOKEN}/getMe")
    except (ChannelError, RuntimeError):
        logging.getLogger("delivery").exception("failed with %r and %s", telegram, TOKEN)
    try:
        server.token = "another"
        telegram.check()
    except ChannelError:
        traceback.print_exc()

    captured = capfd.readouterr()
    assert "Set Bot API URL" in caplog.text
    assert "<bot-token>" in caplog.text
    assert "ChannelError" in captured.err
    shown = [captured.out, captured.err, caplog.text, repr(receipts), repr(telegram), str(vars(telegram))]
    assert [text for text in shown if TOKEN.partition(":")[2] in text] == []
