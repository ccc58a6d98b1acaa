"""Who may send when: the pace of a chat, a group and the bot; one upload for many; nobody waits for somebody else."""

import asyncio
import threading
import time

import pytest

from analytics_platform.channels.base import Piece, Recipient
from analytics_platform.channels.telegram_pacing import PER_CHAT_SECONDS, PER_GROUP, Flights, MemorySlots, Patience
from analytics_platform.channels.telegram_sender import AT_ONCE
from analytics_platform.messages import Document, Text
from analytics_platform_tests.channels.telegram_sending import (
    IMPATIENT,
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
    # 300 messages at 30 in 1.03 seconds, and the last chat waits for three seconds after its album.
    assert 10.3 - 1.1 < timing.now < 10.3 + 1.1 + 4 * PER_CHAT_SECONDS


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
    assert timing.now == pytest.approx(50)
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


def test_what_goes_later_than_was_written_down_moves_the_next_one_back(server: TelegramServer) -> None:
    """Other processes learn of it."""
    timing = FakeTime()
    slots = MemorySlots(timing.clock)
    chat_bucket = "telegram/1234567890/42"
    slots.hold(chat_bucket, 50)

    async def main() -> None:
        telegram = channel(server, timing=timing, slots=slots)
        [piece] = cut(telegram, album(2))
        async with telegram.sender({}) as sender:

            async def crowd(seconds: float) -> None:
                await timing.sleep(seconds)
                if seconds > 40:
                    sender._flights.begin(30)()  # others have just had their answers

            sender._sleep = crowd
            async with sender.turn(chat(42), piece):
                assert timing.now == pytest.approx(51)

    asyncio.run(main())
    assert slots.reserve(chat_bucket, 1) == pytest.approx(2 * PER_CHAT_SECONDS)


def test_the_bot_is_named_by_its_number_and_never_by_its_token(server: TelegramServer) -> None:
    class Seen(MemorySlots):
        def reserve(
            self, bucket: str, weight: int, *, spacing: float = 0.0, window: tuple[int, float] | None = None
        ) -> float:
            seen.append((bucket, weight, spacing, window, threading.current_thread() is threading.main_thread()))
            return super().reserve(bucket, weight, spacing=spacing, window=window)

    seen: list[tuple[str, int, float, tuple[int, float] | None, bool]] = []
    for address in ("42", "-100123", "@channel"):
        send(channel(server, slots=Seen(FakeTime().clock)), album(2), to=chat(address))

    overall = ("telegram/1234567890", 2, 0.0, (30, 1.03), False)
    assert seen == [
        overall,
        ("telegram/1234567890/42", 2, 1.03, None, False),
        overall,
        ("telegram/1234567890/-100123", 2, 1.03, (20, 60.5), False),
        overall,
        ("telegram/1234567890/@channel", 2, 1.03, (20, 60.5), False),
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
    one, two = send_all(channel(server, patience=IMPATIENT), [chat(1), chat(2)], *REPORT)

    assert (outcomes(one), outcomes(two)) == (["uncertain", "sent", "sent"], ["sent"] * 3)
    # Chat 2 has everything before chat 1 gets past its silent text (0.8 s).
    assert server.to(2)[-1].at < server.to(1)[1].at


def test_a_silent_upload_is_taken_over_by_one_other_and_not_by_all(server: TelegramServer) -> None:
    server.faults.append(Fault("stall", "sendDocument", "1"))
    started = time.monotonic()
    chats = [chat(n) for n in range(1, 9)]
    send_all(channel(server, patience=Patience(read=1.5, shared_upload=0.2)), chats, Document("a.csv", b"1"))

    assert max(server.to(n)[0].at for n in range(2, 9)) - started < 1.5
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
        timing = FakeTime()
        slots = MemorySlots(timing.clock)
        slots.hold("telegram/1234567890/1", 5)
        telegram = channel(server, timing=timing, slots=slots)
        pieces = cut(telegram, album(1))
        waiting = asyncio.create_task(in_turn(telegram, pieces, [chat(1)], {}))
        await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
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


def test_a_message_counts_from_its_turn_until_a_second_after_its_answer() -> None:
    timing = FakeTime()
    flights = Flights(timing.clock)
    assert flights.pause(10) == 0
    first, second = flights.begin(20), flights.begin(10)
    assert flights.pause(1) == 0.01  # nobody knows when an answer will come
    timing.now = 0.4
    first()
    assert flights.pause(1) == pytest.approx(1.0)
    timing.now = 0.5
    second()
    assert flights.pause(21) == pytest.approx(1.0)
    assert flights.pause(20) == pytest.approx(0.9)
    timing.now = 1.4
    assert flights.pause(20) == 0
    assert flights.pause(99) == pytest.approx(0.1)  # more than there is room for: alone
    flights.begin(30)
    timing.now = 6.3
    assert flights.pause(1) == 0.01
    timing.now = 6.4
    assert flights.pause(1) == 0  # a request without an answer does not hold up the rest for ever


def test_thirty_that_take_their_time_do_not_meet_the_next_thirty() -> None:
    """The first ones are half a second on their way, those after them no time at all."""
    timing = FakeTime()
    limits = Limits(timing.clock)

    async def main() -> list[int]:
        flights = Flights(timing.clock)
        ends = [flights.begin(1) for _ in range(30)]
        timing.now = 0.5
        arrived = [limits.refusal(str(n), 1) for n in range(30)]
        for end in ends:
            end()
        timing.now = 1.03
        while pause := flights.pause(1):
            await timing.sleep(pause)
        return [*arrived, limits.refusal("31", 1)]

    assert set(asyncio.run(main())) == {0}


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
