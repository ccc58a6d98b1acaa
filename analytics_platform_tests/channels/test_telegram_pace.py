"""Who may send when: the pace of a chat, a group and the bot; one upload for many; nobody waits for somebody else."""

import asyncio
import threading
from collections.abc import Callable

import pytest

from analytics_platform.channels.base import Piece, Recipient, Sent
from analytics_platform.channels.telegram import TelegramChannel
from analytics_platform.channels.telegram_pacing import PER_CHAT_SECONDS, PER_GROUP, MemorySlots, Patience
from analytics_platform.channels.telegram_sender import AT_ONCE, TelegramSender
from analytics_platform.messages import Document, Text
from analytics_platform.pace import Limit, Turn
from analytics_platform_tests.channels.telegram_sending import (
    REPORT,
    FakeTime,
    album,
    channel,
    chat,
    cut,
    in_turn,
    outcomes,
    send,
    send_all,
)
from analytics_platform_tests.telegram_limits import Limits
from analytics_platform_tests.telegram_server import Fault, TelegramServer, telegram_server
from analytics_platform_tests.telegram_silence import LONG, ahead, too_long


async def one(sender: TelegramSender, recipient: Recipient, piece: Piece) -> Sent:
    """One try of it, in turn."""
    async with sender.turn(recipient, piece):
        return await sender.send(recipient, piece, repeat=False, silent=False)


async def until(there: Callable[[], bool]) -> None:
    """Wait for it, not for ever."""
    async with asyncio.timeout(60):
        while not there():
            await asyncio.sleep(0.002)


def test_a_group_keeps_its_pace_between_deliveries() -> None:
    timing = FakeTime()
    with telegram_server(limits=True, clock=timing.clock) as server:
        telegram = channel(server, timing=timing)
        for _ in range(3):
            send(telegram, *REPORT, to=chat(-100123))  # four messages: a text, an album of two, a document
        assert timing.now == pytest.approx(11 * PER_CHAT_SECONDS)
        # Twenty-two in a minute: waits until the first text and album are a minute old.
        assert outcomes(send(telegram, album(10), to=chat(-100123))) == ["sent"]
        assert timing.now == pytest.approx(PER_CHAT_SECONDS + PER_GROUP[1])
        assert server.floods == 0


def test_many_chats_are_told_as_fast_as_the_bot_may() -> None:
    timing = FakeTime()
    chats = [chat(-n if n % 5 == 0 else n) for n in range(1, 61)]
    with telegram_server(limits=True, keep_content=False, clock=timing.clock) as server:
        found = send_all(channel(server, timing=timing), chats, Text("a"), album(3), Document("a.csv", b"1"))

        assert {sent.outcome.value for one in found for sent in one} == {"sent"}
        assert server.floods == 0
        assert sum(media.uploaded for a in server.accepted for media in a.media) == 4
        assert all(media.content == b"" and media.size > 0 for a in server.accepted for media in a.media)
    # 300 messages at 30 in 1.03 seconds, the first ones half as fast again, and the last chat waits for three seconds
    # after its album.
    assert 10.3 - 1.1 < timing.now < 10.3 + 2.1 + 4 * PER_CHAT_SECONDS


def test_a_chat_that_has_to_wait_lets_the_others_by(server: TelegramServer) -> None:
    class Long(FakeTime):
        async def sleep(self, seconds: float) -> None:
            while seconds > 10 and not server.accepted:
                await asyncio.sleep(0.001)
            await super().sleep(seconds)

    timing = Long()
    slots = MemorySlots(timing.clock)
    slots.hold("telegram/1234567890/1", 50)
    send_all(channel(server, timing=timing, slots=slots), [chat(1), chat(2)], album(2))

    assert [accepted.chat for accepted in server.accepted] == ["2", "1"]
    assert timing.now == pytest.approx(50, abs=0.1)
    # The one that waited did not keep the upload to itself.
    assert [media.uploaded for a in server.accepted for media in a.media] == [True, True, False, False]


def test_the_next_message_of_a_chat_counts_from_the_answer_to_the_last_one(server: TelegramServer) -> None:
    """However long that one took to get there."""

    class Slow(FakeTime):
        def clock(self) -> float:
            return self.now + 7 * len(server.accepted)  # every request takes seven seconds

    timing = Slow()
    send(channel(server, timing=timing), Text("a"), Text("b"))

    assert timing.slept == [pytest.approx(PER_CHAT_SECONDS)]
    assert server.accepted[1].text == "b"


def test_what_leaves_or_arrives_late_counts_late_for_everybody(server: TelegramServer) -> None:
    """Other processes, too: the ledger took three seconds to say that it may go, and its answer two."""
    timing = FakeTime()
    slots = MemorySlots(timing.clock)

    class Slow(FakeTime):
        def clock(self) -> float:
            return timing.now + 2 * len(server.accepted)

    async def main() -> None:
        telegram = channel(server, timing=Slow(), slots=slots)
        [piece] = cut(telegram, Text("a"))
        async with telegram.sender({}) as sender, sender.turn(chat(42), piece):
            timing.now += 3
            await sender.send(chat(42), piece, repeat=False, silent=False)

    asyncio.run(main())
    timing.now += 2
    assert slots.reserve(1, Limit("telegram/1234567890/42", PER_CHAT_SECONDS)).seconds == pytest.approx(1.03)
    assert slots.reserve(30, Limit("telegram/1234567890", window=(30, 1.03))).seconds == pytest.approx(1.03)


def test_a_chat_that_another_process_writes_to_takes_nothing_from_the_others(server: TelegramServer) -> None:
    timing = FakeTime()
    slots = MemorySlots(timing.clock)
    slots.hold("telegram/1234567890/42", 50)
    send(channel(server, timing=timing, slots=slots), album(2))

    assert timing.slept[0] == pytest.approx(50)
    # Nothing was counted for the bot until the chat was free.
    assert slots.reserve(28, Limit("telegram/1234567890", window=(30, 1.03))).seconds == 0


def test_a_long_line_before_an_upload_is_no_reason_to_upload_twice(server: TelegramServer) -> None:
    async def main() -> None:
        telegram = channel(server)
        [piece] = cut(telegram, Document("a.csv", b"1"))
        async with telegram.sender({}) as sender:
            async with sender._order:  # hundreds are before them
                lines = [asyncio.create_task(one(sender, chat(n), piece)) for n in range(1, 5)]
                await until(lambda: len(sender._order._waiters or ()) == len(lines))
                ahead(asyncio.get_running_loop(), LONG)
                await asyncio.sleep(0)  # whose patience is over by that hears of it
            await asyncio.gather(*lines)

    asyncio.run(main())
    assert sorted(media.uploaded for a in server.accepted for media in a.media) == [False] * 3 + [True]


def test_the_bot_is_named_by_its_number_and_never_by_its_token(server: TelegramServer) -> None:
    class Seen(MemorySlots):
        def reserve(self, weight: int, limit: Limit, *, free: Limit | None = None) -> Turn:
            seen.append((weight, limit, free, threading.current_thread() is threading.main_thread()))
            return super().reserve(weight, limit, free=free)

    seen: list[tuple[int, Limit, Limit | None, bool]] = []
    for address in ("42", "-100123", "@channel"):
        send(channel(server, slots=Seen(FakeTime().clock)), album(2), to=chat(address))

    overall = Limit("telegram/1234567890", 0.02, (30, 1.03))
    assert seen == [
        (2, overall, Limit("telegram/1234567890/42", 1.03), False),
        (2, overall, Limit("telegram/1234567890/-100123", 1.03, (20, 60.5)), False),
        (2, overall, Limit("telegram/1234567890/@channel", 1.03, (20, 60.5)), False),
    ]


def test_what_can_never_be_sent_takes_no_turn(server: TelegramServer) -> None:
    slots = MemorySlots(FakeTime().clock)
    slots.hold("telegram/1234567890/42", 1000)
    assert outcomes(send(channel(server, slots=slots), Text(" "))) == ["refused"]


def test_files_are_uploaded_once_and_reused(server: TelegramServer) -> None:
    found = send_all(channel(server), [chat(1), chat(2), chat(3)], *REPORT)

    assert {sent.outcome.value for one in found for sent in one} == {"sent"}
    media = [m for a in server.accepted for m in a.media]
    assert (len(media), sum(m.uploaded for m in media)) == (9, 3)
    assert {(m.caption, m.filename) for m in server.to(3)[1].media} == {("first", "a.png"), ("", "b.png")}


def test_files_that_telegram_has_from_an_earlier_try_are_not_uploaded(server: TelegramServer) -> None:
    telegram = channel(server)
    pieces = cut(telegram, *REPORT)
    known = {p.digest: sent.files for p, sent in zip(pieces, send(telegram, *REPORT, to=chat(1)), strict=True)}
    later = send(channel(server), *REPORT, to=chat(2), files=known)

    assert outcomes(later) == ["sent"] * 3
    assert [m.uploaded for a in server.to(2) for m in a.media] == [False] * 3
    assert later[1].files == known[pieces[1].digest]


def test_files_that_do_not_fit_the_piece_are_not_used(server: TelegramServer) -> None:
    [piece] = cut(channel(server), album(2))
    send(channel(server), album(2), files={piece.digest: ("only one",)})
    assert [m.uploaded for m in server.accepted[0].media] == [True, True]


def test_a_file_id_that_is_not_accepted_is_uploaded_again(server: TelegramServer) -> None:
    telegram = channel(server)
    [piece] = cut(telegram, Document("a.csv", b"1"))
    found = send_all(telegram, [chat(1), chat(2)], Document("a.csv", b"1"), files={piece.digest: ("of another bot",)})

    assert [outcomes(one) for one in found] == [["sent"]] * 2
    assert sorted(m.uploaded for a in server.accepted for m in a.media) in ([False, True], [True, True])
    assert len(server.requests) <= 4


def test_pictures_that_telegram_has_as_files_are_sent_all_the_same(server: TelegramServer) -> None:
    server.faults.append(Fault("bad_request", "sendPhoto", times=0, value="PHOTO_INVALID_DIMENSIONS"))
    telegram = channel(server)
    [piece] = cut(telegram, album(1))
    [first] = send(telegram, album(1), to=chat(1))
    [second] = send(telegram, album(1), to=chat(2), files={piece.digest: first.files})

    assert (first.outcome.value, second.outcome.value) == ("sent", "sent")
    assert [a.method for a in server.accepted] == ["sendDocument"] * 2


def test_a_silent_chat_delays_nobody(server: TelegramServer) -> None:
    server.faults.append(Fault("stall", "sendMessage", "1"))

    found: dict[int, list[Sent]] = {1: [], 2: []}

    async def main() -> None:
        telegram = channel(server, kind=TelegramChannel)
        async with telegram.sender({}) as sender:

            async def line(number: int) -> None:
                for piece in cut(telegram, *REPORT):
                    found[number].append(await one(sender, chat(number), piece))

            first, second = (asyncio.create_task(line(number)) for number in (1, 2))
            await second
            await until(lambda: bool(server.to(1)))
            assert (len(found[1]), len(found[2])) == (0, 3), "the silent chat has got nowhere meanwhile"
            await too_long(lambda: bool(found[1]))
            await first

    asyncio.run(main())
    assert (outcomes(found[1]), outcomes(found[2])) == (["uncertain", "sent", "sent"], ["sent"] * 3)


def test_a_silent_upload_is_taken_over_by_one_other_and_not_by_all(server: TelegramServer) -> None:
    server.faults.append(Fault("stall", "sendDocument", "1"))

    async def main() -> Sent:
        telegram = channel(server, kind=TelegramChannel)
        [piece] = cut(telegram, Document("a.csv", b"1"))
        async with telegram.sender({}) as sender:
            first = asyncio.create_task(one(sender, chat(1), piece))
            await until(lambda: bool(server.to(1)))
            others = [asyncio.create_task(one(sender, chat(n), piece)) for n in range(2, 9)]
            uploading = sender._uploads[piece.digest].under_way
            assert uploading
            await until(lambda: len(uploading._waiters) == len(others))
            ahead(asyncio.get_running_loop(), Patience().shared_upload)
            assert {sent.outcome.value for sent in await asyncio.gather(*others)} == {"sent"}
            assert not first.done()
            await too_long(first.done)
            return await first

    assert asyncio.run(main()).outcome.value == "uncertain"
    # The silent one and whoever took over.
    assert sum(media.uploaded for a in server.accepted for media in a.media) == 2


def test_whoever_waits_for_an_upload_that_is_refused_uploads_next(server: TelegramServer) -> None:
    server.faults.append(Fault("blocked", chat="1"))
    found = send_all(channel(server), [chat(1), chat(2), chat(3)], Document("a.csv", b"1"))

    assert [outcomes(one) for one in found] == [["refused"], ["sent"], ["sent"]]
    assert sum(media.uploaded for a in server.accepted for media in a.media) == 1


def test_no_more_are_let_go_than_there_are_connections(server: TelegramServer) -> None:
    async def crowd() -> int:
        timing = FakeTime()
        telegram = channel(server, timing=timing)
        [piece] = cut(telegram, Text("a"))
        inside, most, leave = 0, 0, asyncio.Event()

        async def one(recipient: Recipient, piece: Piece) -> None:
            nonlocal inside, most
            async with sender.turn(recipient, piece):
                inside += 1
                most = max(most, inside)
                if inside == AT_ONCE:
                    leave.set()
                await leave.wait()
                inside -= 1

        async with telegram.sender({}) as sender:
            await asyncio.gather(*(one(chat(n), piece) for n in range(50)))
        return most

    assert asyncio.run(crowd()) == AT_ONCE


def test_a_turn_that_is_cancelled_leaves_the_line_open(server: TelegramServer) -> None:
    async def main() -> list[str]:
        asleep = asyncio.Event()

        class Endless(FakeTime):
            """Whoever has to wait first waits until they are cancelled."""

            async def sleep(self, seconds: float) -> None:
                if not asleep.is_set():
                    asleep.set()
                    await asyncio.Event().wait()
                await super().sleep(seconds)

        timing = Endless()
        slots = MemorySlots(timing.clock)
        slots.hold("telegram/1234567890/1", 5)
        telegram = channel(server, timing=timing, slots=slots)
        pieces = cut(telegram, album(1))
        waiting = asyncio.create_task(in_turn(telegram, pieces, [chat(1)], {}))
        await asleep.wait()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert server.accepted == []
        [[sent]] = await in_turn(telegram, pieces, [chat(2)], {})
        return [sent.outcome.value]

    assert asyncio.run(main()) == ["sent"]


def test_deliveries_of_one_channel_may_overlap(server: TelegramServer) -> None:
    telegram = channel(server)
    threads = [threading.Thread(target=send, args=(telegram, *REPORT)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(server.accepted) == 9


def test_the_stand_in_refuses_what_comes_too_fast() -> None:
    now = 0.0
    limits = Limits(lambda: now)
    assert [limits.refusal("1", 1), limits.refusal("1", 1), limits.refusal("2", 10)] == [0, 1, 0]
    now = 0.99
    assert [limits.refusal("1", 1), limits.refusal("2", 1)] == [1, 10]
    assert [limits.refusal("3", 19), limits.refusal("4", 1)] == [0, 1]  # thirty within a second
    now = 100.0
    assert [limits.refusal("-1", 10), limits.refusal("@two", 10)] == [0, 0]
    now = 110.0
    assert [limits.refusal("-1", 10), limits.refusal("@two", 10)] == [0, 0]
    now = 130.0
    assert limits.refusal("-1", 1) == 30  # twenty within a minute to a group
    now = 160.0
    assert limits.refusal("-1", 10) == 0


def test_a_flood_is_counted_and_told() -> None:
    with telegram_server(limits=True) as server:
        timing = FakeTime()
        telegram = channel(server, timing=timing)
        send(telegram, Text("a"))
        [sent] = send(channel(server), Text("b"))  # on a clock that does not know of the first one

        assert (sent.outcome.value, sent.retry_after, server.floods) == ("not_sent", 1.0, 1)
