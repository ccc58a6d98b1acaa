"""Telegram over real HTTP against the stand-in: what each answer or silence is taken to prove."""

import asyncio
import socket
from datetime import timedelta

import pytest
from telegram import Bot
from telegram.error import RetryAfter

from analytics_platform.channels.base import ChannelError, Outcome
from analytics_platform.channels.telegram import TelegramChannel, _Requests
from analytics_platform.channels.telegram_answers import Answer, AnswerError, pause
from analytics_platform.channels.telegram_pacing import MemorySlots
from analytics_platform.channels.telegram_parts import ChatId
from analytics_platform.messages import Document, Message, Text
from analytics_platform.pace import Limit
from analytics_platform_tests.channels.telegram_sending import (
    REPORT,
    FakeTime,
    album,
    channel,
    chat,
    outcomes,
    send,
    send_all,
)
from analytics_platform_tests.telegram_server import Fault, FaultKind, TelegramServer
from analytics_platform_tests.telegram_wire import TOKEN

METHODS = ["sendMessage", "sendMediaGroup", "sendDocument"]


def test_a_request_to_slow_down_is_told_and_holds_the_chat(server: TelegramServer) -> None:
    timing = FakeTime()
    slots = MemorySlots(timing.clock)
    server.faults.append(Fault("flood", "sendMessage", value=30))
    [sent] = send(channel(server, timing=timing, slots=slots), Text("a"))

    assert (sent.outcome, sent.retry_after) == (Outcome.NOT_SENT, 30.0)
    assert "retry after 30" in sent.detail
    assert len(server.requests) == 1
    assert slots.reserve(1, Limit("telegram/1234567890/42")).seconds == pytest.approx(30)


@pytest.mark.parametrize(("asked", "seconds"), [(0, 1.0), (2.5, 2.5), (7, 7.0)])
def test_a_pause_is_at_least_a_second(server: TelegramServer, asked: float, seconds: float) -> None:
    server.faults.append(Fault("flood", value=asked))
    assert send(channel(server), Text("a"))[0].retry_after == seconds


def test_a_pause_may_come_as_the_librarys_timedelta(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PTB_TIMEDELTA", "1")

    class Hasty(Bot):
        async def send_message(self, *args: object, **kwargs: object) -> None:  # type: ignore[override]
            raise RetryAfter(timedelta(seconds=12))

    with pytest.raises(AnswerError) as caught:
        asyncio.run(_Requests(Hasty(TOKEN)).text(ChatId("1"), "a", markup=False, silent=False))
    assert (caught.value.answer.code, caught.value.answer.retry_after) == (429, 12.0)
    assert pause(timedelta(seconds=90)) == 90.0
    assert pause(None) == 5.0
    assert Answer.read(429, b"<html>slow down</html>").retry_after == 5.0


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (Fault("blocked"), "blocked by this person; unblocking it and sending it /start resumes"),
        (Fault("kick"), "removed from this chat; letting it in again resumes"),
        (Fault("forbidden", value="user is deactivated"), "This person's account was deleted"),
        (Fault("forbidden", value="bot is not a member of the channel chat"), "not in this chat; letting it in"),
        (Fault("forbidden", value="bot can't initiate conversation with a user"), "sending it /start begins"),
        (Fault("forbidden", value="something new"), "Telegram answered: Forbidden: something new. Letting the bot in"),
    ],
    ids=lambda value: value.kind if isinstance(value, Fault) else "",
)
def test_a_chat_that_shut_the_bot_out_is_gone(server: TelegramServer, fault: Fault, sentence: str) -> None:
    server.faults.append(fault)
    [sent] = send(channel(server), Text("<b>a</b>"))

    assert sent.outcome is Outcome.REFUSED
    assert sentence in sent.gone
    assert len(server.requests) == 1


def test_a_chat_that_does_not_exist_is_asked_once(server: TelegramServer) -> None:
    server.faults.append(Fault("bad_request", value="chat not found"))
    [sent] = send(channel(server), Text("a"), to=chat(-100123, "45"))

    assert (sent.outcome, sent.gone) == (Outcome.REFUSED, "")
    assert "chat not found. Check the chat's id, and let the bot in." in sent.detail
    assert len(server.requests) == 1


def test_a_group_that_moved_is_told_with_its_new_address(server: TelegramServer) -> None:
    server.faults.append(Fault("migrate", chat="-5", times=0, value=-100555))
    telegram = channel(server)
    found = send(telegram, *REPORT, to=chat(-5, "7"))

    assert {(sent.outcome, sent.moved_to) for sent in found} == {(Outcome.NOT_SENT, "-100555")}
    assert len(server.requests) == 3
    assert outcomes(send(telegram, *REPORT, to=chat(found[0].moved_to, "7"))) == ["sent"] * 3
    assert [accepted.thread for accepted in server.to(-100555)] == [7] * 3


@pytest.mark.parametrize("said", ["message thread not found", "TOPIC_DELETED", "TOPIC_CLOSED"])
@pytest.mark.parametrize(
    ("language", "line"),
    [
        ("en", "Its topic is closed or deleted, so this comes here."),
        ("ru", "Тема закрыта или удалена, поэтому сообщение пришло сюда."),
    ],
)
def test_what_belongs_in_a_topic_that_is_gone_goes_to_the_chat(
    server: TelegramServer, said: str, language: str, line: str
) -> None:
    server.faults.extend(Fault("bad_request", method, value=said) for method in METHODS)
    found = send(channel(server), *REPORT, to=chat(-100123, "45", language=language))

    assert outcomes(found) == ["sent"] * 3
    assert all(f"Its topic 45 is closed or deleted (Bad Request: {said})" in sent.astray for sent in found)
    assert [accepted.thread for accepted in server.accepted] == [None] * 3
    assert server.accepted[0].text == f"{line}\nFeed 1 < 2"
    assert [media.caption for media in server.accepted[1].media] == ["first", ""]
    assert len(server.requests) == 6


def test_a_topic_that_is_gone_and_the_chat_too(server: TelegramServer) -> None:
    server.faults.append(Fault("topic_gone", times=0))
    server.faults.append(Fault("blocked", times=0))
    [sent] = send(channel(server), Text("a"), to=chat(-100123, "45"))
    assert sent.outcome is Outcome.REFUSED
    assert "blocked" in sent.gone

    server.faults[:] = [Fault("bad_request", times=0, value="TOPIC_CLOSED")]
    [sent] = send(channel(server), Text("a"), to=chat(-100123))
    assert (sent.outcome, sent.gone) == (Outcome.REFUSED, "")
    assert "Open the topic again" in sent.detail


def test_unreadable_markup_goes_as_plain_text(server: TelegramServer) -> None:
    server.faults.append(Fault("entities", "sendMessage"))
    [[first], [second]] = send_all(channel(server), [chat(1), chat(2)], Text("<b>a</b> &lt; b"))

    assert {first.outcome, second.outcome} == {Outcome.SENT}
    assert sum("so it went without" in sent.detail for sent in (first, second)) == 1
    assert [accepted.text for accepted in server.accepted] == ["a < b"] * 2


def test_unreadable_markup_is_known_to_those_who_come_later(server: TelegramServer) -> None:
    server.faults.append(Fault("entities", "sendMessage", times=0))
    telegram = channel(server)
    sent = send_all(telegram, [chat(n) for n in range(1, 40)], Text("<b>a</b>"))

    assert {one.outcome for [one] in sent} == {Outcome.SENT}
    # Those who were under way already ask twice; nobody after them.
    assert len(server.requests) < 39 * 2


def test_a_text_with_markup_is_never_refused_for_one_reason_only(server: TelegramServer) -> None:
    server.faults.append(Fault("bad_request", value="something new"))
    [sent] = send(channel(server), Text("<b>a</b>"))
    assert sent.outcome is Outcome.SENT
    assert "did not take it with markup (Bad Request: something new)" in sent.detail

    server.faults.append(Fault("bad_request", times=0, value="not enough rights to send text messages"))
    [sent] = send(channel(server), Text("<b>a</b>"))
    assert (sent.outcome, sent.gone) == (Outcome.REFUSED, "")
    assert "ot enough rights" in sent.detail
    assert len(server.requests) == 4


def test_everything_at_once(server: TelegramServer) -> None:
    """No topic, no markup, a repeat, and the text still arrives with every word about it."""
    server.faults.extend([Fault("topic_gone"), Fault("entities")])
    [sent] = send(channel(server), Text("<b>a</b> &amp; b"), to=chat(-100123, "45"), repeat=True)

    assert sent.outcome is Outcome.SENT
    assert [accepted.text for accepted in server.accepted] == [
        "Sent again: it is not known whether this arrived before.\n"
        "Its topic is closed or deleted, so this comes here.\na & b"
    ]


def test_pictures_that_are_refused_as_photos_go_as_files_for_every_chat(server: TelegramServer) -> None:
    said = "failed to send message #1: PHOTO_INVALID_DIMENSIONS"
    server.faults.append(Fault("bad_request", "sendMediaGroup", value=said))
    found = send_all(channel(server), [chat(1), chat(2)], album(2))

    assert [outcomes(one) for one in found] == [["sent"]] * 2
    assert "went as a file" in found[0][0].detail
    assert [[m.kind for m in a.media] for a in server.accepted] == [["document"] * 2] * 2
    assert sum(m.uploaded for a in server.accepted for m in a.media) == 2


def test_what_is_no_picture_goes_as_a_file(server: TelegramServer) -> None:
    server.faults.append(Fault("topic_gone", "sendPhoto"))
    server.faults.append(Fault("bad_request", "sendPhoto", value="IMAGE_PROCESS_FAILED"))
    [sent] = send(channel(server), album(1), to=chat(-100123, "45"), silent=True)

    assert sent.outcome is Outcome.SENT
    assert "Its topic 45" in sent.astray
    assert "went as a file" in sent.detail
    [accepted] = server.accepted
    assert (accepted.method, accepted.silent) == ("sendDocument", True)


def test_a_file_that_is_too_large_is_refused(server: TelegramServer) -> None:
    server.faults.append(Fault("too_large", "sendDocument"))
    [sent] = send(channel(server), Document("a.csv", b"1"))
    assert sent.outcome is Outcome.REFUSED
    assert "too big" in sent.detail
    assert len(server.requests) == 1


@pytest.mark.parametrize("kind", ["stall", "drop", "accepted_bad_gateway"])
@pytest.mark.parametrize("method", METHODS)
def test_silence_after_accepting_is_uncertain(server: TelegramServer, kind: FaultKind, method: str) -> None:
    server.faults.append(Fault(kind, method))
    found = send(channel(server), *REPORT)

    place = METHODS.index(method)
    expected = ["sent"] * 3
    expected[place] = "uncertain"
    assert outcomes(found) == expected
    assert "may or may not have arrived" in found[place].detail
    assert [accepted.method for accepted in server.accepted] == METHODS
    assert len(server.requests) == 3


@pytest.mark.parametrize("kind", ["bad_gateway", "page"])
def test_an_answer_that_is_not_telegrams_is_uncertain(server: TelegramServer, kind: FaultKind) -> None:
    server.faults.append(Fault(kind, "sendMessage"))
    [sent] = send(channel(server), Text("<b>a</b>"))

    assert sent.outcome is Outcome.UNCERTAIN
    assert len(server.requests) == 1


def test_a_token_that_is_not_accepted_stops_everything_at_once(server: TelegramServer) -> None:
    server.token = "999999:another"
    timing = FakeTime()
    telegram = TelegramChannel(TOKEN, slots=MemorySlots(timing.clock), api_url=server.url, sleep=timing.sleep)
    found = send_all(telegram, [chat(n) for n in range(100)], *REPORT)

    assert {sent.outcome for one in found for sent in one} == {Outcome.NOT_SENT}
    assert all("TELEGRAM_BOT_TOKEN is not accepted, get one from @BotFather" in s.detail for one in found for s in one)
    # Those under way when the first answer came; nobody waited for a pace after that.
    assert len(server.requests) <= 31
    assert timing.now < 3


def test_no_connection_is_not_sent() -> None:
    timing = FakeTime()
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
        telegram = TelegramChannel(TOKEN, slots=MemorySlots(timing.clock), api_url=address, sleep=timing.sleep)
        [sent] = send(telegram, Text("a"))
        with pytest.raises(ChannelError, match="cannot be reached"):
            telegram.check()

    assert sent.outcome is Outcome.NOT_SENT
    assert "Telegram cannot be reached" in sent.detail


@pytest.mark.parametrize(("code", "outcome"), [(302, "not_sent"), (405, "not_sent"), (408, "uncertain")])
def test_what_a_proxy_says_is_not_taken_for_telegrams_word(code: int, outcome: str) -> None:
    from analytics_platform.channels.telegram_answers import judge

    assert judge(Answer.read(code, b"<html>"), own_server=False).outcome.value == outcome


@pytest.mark.parametrize("message", [Text("a"), Document("a.csv", b"1"), album(1), album(2)])
def test_an_address_that_cannot_be_one_is_refused_without_asking(server: TelegramServer, message: Message) -> None:
    [sent] = send(channel(server), message, to=chat("our metrics"))
    assert sent.outcome is Outcome.REFUSED
    assert "is not a Telegram chat" in sent.detail
    assert server.requests == []


def test_a_refused_text_does_not_keep_the_pictures_back(server: TelegramServer) -> None:
    server.faults.append(Fault("bad_request", "sendMessage", times=2, value="not enough rights to send text messages"))
    assert outcomes(send(channel(server), *REPORT)) == ["refused", "sent", "sent"]
