"""Telegram over real HTTP against the stand-in: what is sent, and what each answer or silence is taken to prove."""

import asyncio
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from analytics_platform.channels.base import ChannelError, Outcome, Receipt
from analytics_platform.channels.telegram import TelegramChannel
from analytics_platform.channels.telegram_pacing import Patience
from analytics_platform.messages import Album, Document, Message, Picture, Text
from analytics_platform_tests.telegram_server import TOKEN, Fault, FaultKind, TelegramServer

PNG = b"\x89PNG\r\n\x1a\n"
# Long enough for a busy machine to answer in, short enough to wait for a server that stays silent on purpose.
IMPATIENT = Patience(read=0.8)
REPORT = (
    Text("<b>Feed</b> 1 &lt; 2"),
    Album((Picture("a.png", PNG + b"a", "first"), Picture("b.png", PNG + b"b"))),
    Document("feed.csv", b"day,dau\n", "the figures"),
)


@dataclass
class FakeTime:
    """Seconds that pass only by sleeping."""

    now: float = 0.0
    slept: list[float] = field(default_factory=list)

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


def channel(
    server: TelegramServer, *chats: str, timing: FakeTime | None = None, patience: Patience | None = None
) -> TelegramChannel:
    timing = timing or FakeTime()
    return TelegramChannel(
        server.token,
        chats or ("42",),
        api_url=server.url,
        patience=patience,
        clock=timing.clock,
        sleep=timing.sleep,
    )


def send(telegram: TelegramChannel, *messages: Message) -> list[Receipt]:
    return telegram.send(messages, key="feed_daily/2026-11-20")


def outcomes(receipts: Sequence[Receipt]) -> list[tuple[str, str]]:
    return [(receipt.part, receipt.outcome.value) for receipt in receipts]


def album(count: int) -> Album:
    return Album(tuple(Picture(f"{n}.png", PNG + bytes([n])) for n in range(count)))


def test_a_report_arrives_in_order_with_its_ids(server: TelegramServer) -> None:
    receipts = send(channel(server, "-100123"), *REPORT)

    assert outcomes(receipts) == [("1 text", "sent"), ("2 album", "sent"), ("3 document feed.csv", "sent")]
    assert [receipt.references for receipt in receipts] == [("1",), ("2", "3"), ("4",)]
    assert {(receipt.channel, receipt.recipient, receipt.detail) for receipt in receipts} == {
        ("telegram", "-100123", "")
    }
    text, pictures, document = server.to(-100123)
    assert (text.text, text.entities, text.previews_disabled) == ("Feed 1 < 2", 1, True)
    assert [(m.kind, m.filename, m.content, m.caption) for m in pictures.media] == [
        ("photo", "a.png", PNG + b"a", "first"),
        ("photo", "b.png", PNG + b"b", ""),
    ]
    assert [(m.kind, m.filename, m.content, m.caption) for m in document.media] == [
        ("document", "feed.csv", b"day,dau\n", "the figures")
    ]


def test_the_topic_is_on_every_part(server: TelegramServer) -> None:
    send(channel(server, "-100123/45", "@channel", "-100777/1"), *REPORT, album(1))

    assert [accepted.thread for accepted in server.to(-100123)] == [45] * 4
    assert [accepted.thread for accepted in server.to("@channel")] == [None] * 4
    # The General topic is addressed by leaving its number out.
    assert [accepted.thread for accepted in server.to(-100777)] == [None] * 4


@pytest.mark.parametrize(
    ("count", "sizes"), [(1, [1]), (2, [2]), (10, [10]), (11, [6, 5]), (12, [6, 6]), (21, [7, 7, 7])]
)
def test_albums_are_split_evenly(server: TelegramServer, count: int, sizes: list[int]) -> None:
    receipts = send(channel(server), album(count))

    assert {receipt.outcome for receipt in receipts} == {Outcome.SENT}
    assert [len(accepted.media) for accepted in server.accepted] == sizes
    assert [m.filename for a in server.accepted for m in a.media] == [f"{n}.png" for n in range(count)]
    assert server.accepted[0].method == ("sendPhoto" if count == 1 else "sendMediaGroup")


def test_a_picture_too_big_for_a_photo_goes_as_a_file(server: TelegramServer) -> None:
    big = Picture("big.png", PNG + bytes(10_000_000), "the big one")
    receipts = send(channel(server), Album((Picture("a.png", PNG), big, Picture("c.png", PNG + b"c"))))

    assert outcomes(receipts) == [("1 album", "sent"), ("1 album picture 2 big.png", "sent")]
    assert [[(m.kind, m.filename) for m in a.media] for a in server.accepted] == [
        [("photo", "a.png"), ("photo", "c.png")],
        [("document", "big.png")],
    ]


def test_pictures_that_are_refused_as_photos_go_as_files_for_every_chat(server: TelegramServer) -> None:
    server.faults.append(
        Fault("bad_request", "sendMediaGroup", value="failed to send message #1: PHOTO_INVALID_DIMENSIONS")
    )
    receipts = send(channel(server, "1", "2"), album(2))

    assert [receipt.outcome for receipt in receipts] == [Outcome.SENT] * 2
    assert "went as a file" in receipts[0].detail
    assert [[m.kind for m in a.media] for a in server.accepted] == [["document"] * 2] * 2
    assert sum(m.uploaded for a in server.accepted for m in a.media) == 2


def test_a_file_above_the_limit_is_refused_by_name_and_size(server: TelegramServer) -> None:
    receipts = send(channel(server), Text("before"), Document("all.csv", bytes(50_000_001)), Text("after"))

    assert outcomes(receipts) == [("1 text", "sent"), ("2 document all.csv", "refused"), ("3 text", "sent")]
    assert "all.csv has 50.1 MB" in receipts[1].detail
    assert "up to 50 MB" in receipts[1].detail
    assert [accepted.text for accepted in server.accepted] == ["before", "after"]


def test_what_exceeds_a_caption_follows_as_text(server: TelegramServer) -> None:
    caption = "\n".join(f"line {n} 🙂 <&>" for n in range(100))
    receipts = send(
        channel(server),
        Album((Picture("a.png", PNG, caption), Picture("b.png", PNG + b"b", "short"))),
        Document("feed.csv", b"x", caption),
    )

    assert outcomes(receipts) == [
        ("1 album", "sent"),
        ("1 album caption 1", "sent"),
        ("2 document feed.csv", "sent"),
        ("2 document feed.csv caption", "sent"),
    ]
    pictures, rest, document, document_rest = server.accepted
    assert pictures.media[0].caption + rest.text.removeprefix("a.png\n") == caption
    assert document.media[0].caption + document_rest.text == caption


def test_long_texts_are_split_and_each_piece_has_its_receipt(server: TelegramServer) -> None:
    blocks = [f"<b>Block {n}</b>\n" + "\n".join(f"{m}: " + "x" * 60 for m in range(20)) for n in range(9)]
    receipts = send(channel(server), Text("\n\n".join(blocks)))

    assert outcomes(receipts) == [(f"1 text {n}/3", "sent") for n in (1, 2, 3)]
    assert "".join(accepted.text for accepted in server.accepted) == Text("\n\n".join(blocks)).plain
    assert all(accepted.text.startswith("Block") for accepted in server.accepted)


def test_an_empty_text_is_refused_without_asking(server: TelegramServer) -> None:
    assert outcomes(send(channel(server), Text(" \n"))) == [("1 text", "refused")]
    assert server.requests == []


def test_files_are_uploaded_once_and_reused(server: TelegramServer) -> None:
    receipts = send(channel(server, "1", "2", "3"), *REPORT)

    assert {receipt.outcome for receipt in receipts} == {Outcome.SENT}
    media = [m for a in server.accepted for m in a.media]
    assert (len(media), sum(m.uploaded for m in media)) == (9, 3)
    assert {(m.caption, m.filename) for m in server.to(3)[1].media} == {("first", "a.png"), ("", "b.png")}


def test_a_file_id_that_is_not_accepted_is_uploaded_again(server: TelegramServer) -> None:
    server.faults.append(Fault("bad_request", "sendDocument", "2", value="wrong remote file identifier specified"))
    receipts = send(channel(server, "1", "2"), Document("a.csv", b"1"))

    assert [receipt.outcome for receipt in receipts] == [Outcome.SENT] * 2
    assert [m.uploaded for a in server.accepted for m in a.media] == [True, True]
    assert server.requests.count(("sendDocument", "2")) == 2


def test_a_blocked_chat_gets_nothing_more_and_the_others_everything(server: TelegramServer) -> None:
    server.faults.append(Fault("blocked", chat="1", times=0))
    receipts = send(channel(server, "1", "2"), *REPORT)

    assert [receipt.outcome.value for receipt in receipts] == ["refused", "not_sent", "not_sent", *["sent"] * 3]
    assert "bot was blocked by the user" in receipts[0].detail
    assert "bot was blocked by the user" in receipts[1].detail
    assert server.requests.count(("sendMessage", "1")) == 1
    assert [method for method, chat in server.requests if chat == "1"] == ["sendMessage"]


@pytest.mark.parametrize("description", ["chat not found", "message thread not found"])
def test_a_chat_that_does_not_exist_is_tried_once(server: TelegramServer, description: str) -> None:
    server.faults.append(Fault("bad_request", times=0, value=description))
    receipts = send(channel(server), *REPORT)

    assert [receipt.outcome.value for receipt in receipts] == ["refused", "not_sent", "not_sent"]
    assert len(server.requests) == 1


def test_a_refused_text_does_not_keep_the_pictures_back(server: TelegramServer) -> None:
    server.faults.append(Fault("bad_request", "sendMessage", value="not enough rights to send text messages"))
    receipts = send(channel(server), *REPORT)

    assert [receipt.outcome.value for receipt in receipts] == ["refused", "sent", "sent"]
    assert "ot enough rights" in receipts[0].detail


def test_a_request_to_slow_down_is_obeyed(server: TelegramServer) -> None:
    timing = FakeTime()
    server.faults.append(Fault("flood", "sendMediaGroup", times=2, value=30))
    receipts = send(channel(server, timing=timing), *REPORT)

    assert {receipt.outcome for receipt in receipts} == {Outcome.SENT}
    assert timing.slept.count(30.0) == 2
    assert [accepted.method for accepted in server.accepted] == ["sendMessage", "sendMediaGroup", "sendDocument"]


def test_slowing_down_has_an_end(server: TelegramServer) -> None:
    timing = FakeTime()
    server.faults.append(Fault("flood", "sendMessage", "1", times=0, value=50))
    receipts = send(channel(server, "1", "2", timing=timing), *REPORT)

    assert [receipt.outcome.value for receipt in receipts] == ["not_sent", "sent", "sent", "sent", "sent", "sent"]
    assert "retry after 50" in receipts[0].detail
    assert timing.slept.count(50.0) == 2


def test_unreadable_markup_is_sent_as_plain_text_once(server: TelegramServer) -> None:
    server.faults.append(Fault("bad_request", "sendMessage", value="can't parse entities: Unsupported start tag"))
    receipts = send(channel(server), Text("<b>a</b> &lt; b"))

    assert outcomes(receipts) == [("1 text", "sent")]
    assert "went without it" in receipts[0].detail
    assert [(accepted.text, accepted.entities) for accepted in server.accepted] == [("a < b", 0)]


@pytest.mark.parametrize("kind", ["stall", "drop"])
@pytest.mark.parametrize("method", ["sendMessage", "sendMediaGroup", "sendDocument"])
def test_silence_after_accepting_is_uncertain_and_never_repeated(
    server: TelegramServer, kind: FaultKind, method: str
) -> None:
    server.faults.append(Fault(kind, method))
    receipts = send(channel(server, patience=IMPATIENT), *REPORT)

    place = ["sendMessage", "sendMediaGroup", "sendDocument"].index(method)
    expected = [Outcome.SENT] * 3
    expected[place] = Outcome.UNCERTAIN
    assert [receipt.outcome for receipt in receipts] == expected
    assert "may or may not have arrived" in receipts[place].detail
    assert [accepted.method for accepted in server.accepted] == ["sendMessage", "sendMediaGroup", "sendDocument"]


def test_a_gateway_error_is_uncertain_and_never_repeated(server: TelegramServer) -> None:
    server.faults.append(Fault("bad_gateway", "sendMessage"))
    receipts = send(channel(server), *REPORT)

    assert [receipt.outcome.value for receipt in receipts] == ["uncertain", "sent", "sent"]
    assert server.requests.count(("sendMessage", "42")) == 1


def test_a_group_that_moved_is_followed(server: TelegramServer) -> None:
    server.faults.append(Fault("migrate", chat="-5", times=0, value=-100555))
    receipts = send(channel(server, "-5/7"), *REPORT)

    assert {receipt.outcome for receipt in receipts} == {Outcome.SENT}
    assert [accepted.thread for accepted in server.to(-100555)] == [7] * 3
    assert all("put -100555/7 in place of -5/7 in TELEGRAM_CHAT_IDS" in receipt.detail for receipt in receipts)
    assert {receipt.recipient for receipt in receipts} == {"-5/7"}


def test_a_token_that_is_not_accepted_refuses_everything_at_once(server: TelegramServer) -> None:
    server.token = "999999:another"
    telegram = TelegramChannel(TOKEN, ["1", "2"], api_url=server.url)
    receipts = send(telegram, *REPORT)

    assert {receipt.outcome for receipt in receipts} == {Outcome.REFUSED}
    assert all("TELEGRAM_BOT_TOKEN is not accepted, get one from @BotFather" in r.detail for r in receipts)
    assert len(server.requests) <= 2


def test_no_connection_is_tried_four_times_and_then_not_sent() -> None:
    timing = FakeTime()
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
        telegram = TelegramChannel(TOKEN, ["1"], api_url=address, clock=timing.clock, sleep=timing.sleep)
        receipts = send(telegram, Text("a"))
        with pytest.raises(ChannelError, match="cannot be reached"):
            telegram.check()

    assert outcomes(receipts) == [("1 text", "not_sent")]
    assert [pause for pause in timing.slept if pause in (2.0, 4.0)] == [2.0, 4.0]
    assert "cannot be reached" in receipts[0].detail


def test_a_silent_chat_delays_nobody(server: TelegramServer) -> None:
    server.faults.append(Fault("stall", "sendMessage", "1"))
    receipts = send(channel(server, "1", "2", patience=IMPATIENT), *REPORT)

    assert [receipt.outcome.value for receipt in receipts] == ["uncertain", *["sent"] * 5]
    # Chat 2 has everything before chat 1 gets past its silent text (0.8 s).
    assert server.to(2)[-1].at < server.to(1)[1].at


def test_a_silent_upload_does_not_hold_up_the_others_for_long(server: TelegramServer) -> None:
    server.faults.append(Fault("stall", "sendDocument", "1"))
    started = time.monotonic()
    send(channel(server, "1", "2", patience=Patience(read=1.5, shared_upload=0.2)), Document("a.csv", b"1"))

    assert server.to(2)[0].at - started < 1.5
    assert server.to(2)[0].media[0].uploaded


def test_the_pace_is_kept_between_deliveries(server: TelegramServer) -> None:
    timing = FakeTime()
    telegram = channel(server, "-100123", timing=timing)
    for _ in range(3):
        send(telegram, *REPORT)  # four messages: a text, an album of two, a document

    # 1 + 2 + 1 seconds each, and the last document is the twelfth message.
    assert timing.now == pytest.approx(11)
    send(telegram, album(10))  # 22 in a minute: waits until the first two are a minute old
    assert timing.now == pytest.approx(61)


def test_the_channel_works_where_a_loop_is_running(server: TelegramServer) -> None:
    async def inside() -> list[Receipt]:
        return send(channel(server), Text("a"))

    assert outcomes(asyncio.run(inside())) == [("1 text", "sent")]


def test_a_chat_named_twice_gets_everything_once(server: TelegramServer) -> None:
    assert len(send(channel(server, "1", "1", "-100/1", "-100"), Text("a"))) == 2


def test_deliveries_of_one_channel_may_overlap(server: TelegramServer) -> None:
    telegram = channel(server)
    threads = [threading.Thread(target=send, args=(telegram, *REPORT)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(server.accepted) == 9
