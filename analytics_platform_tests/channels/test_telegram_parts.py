"""Telegram's pieces: what arrives and as what, with nothing lost; their labels and digests."""

import re

import pytest

from analytics_platform.channels.telegram_parts import MARK_ENTITIES, MARK_ROOM, plan
from analytics_platform.channels.telegram_text import ENTITY_LIMIT, TEXT_LIMIT, width
from analytics_platform.language import LANGUAGES
from analytics_platform.messages import Album, Document, Message, Picture, Text
from analytics_platform_tests.channels.telegram_sending import PNG, REPORT, album, channel, chat, cut, outcomes, send
from analytics_platform_tests.telegram_server import Fault, TelegramServer

HOSTILE = "<&>_*[]()~`\"' 🙂👩‍👩‍👧 שלום عليكم \u202e\u200f\u0000\ufffe ё&lt;b&gt; </b> <script> &nosuch; "


def told(*messages: Message) -> list[tuple[str, int, bool]]:
    return [(piece.label, piece.weight, piece.repeatable) for piece in plan(messages)]


def test_a_report_arrives_in_order_with_its_ids(server: TelegramServer) -> None:
    telegram = channel(server)
    found = send(telegram, *REPORT, to=chat(-100123))

    assert told(*REPORT) == [("1 text", 1, True), ("2 album", 2, False), ("3 document feed.csv", 1, False)]
    assert outcomes(found) == ["sent"] * 3
    assert [sent.references for sent in found] == [("1",), ("2", "3"), ("4",)]
    assert {sent.detail for sent in found} == {""}
    text, pictures, document = server.to(-100123)
    assert (text.text, text.entities, text.previews_disabled, text.silent) == ("Feed 1 < 2", 1, True, False)
    assert [(m.kind, m.filename, m.content, m.caption) for m in pictures.media] == [
        ("photo", "a.png", PNG + b"a", "first"),
        ("photo", "b.png", PNG + b"b", ""),
    ]
    assert [(m.kind, m.filename, m.content, m.caption) for m in document.media] == [
        ("document", "feed.csv", b"day,dau\n", "the figures")
    ]
    assert found[0].files == ()
    assert [sent.files for sent in found[1:]] == [tuple(m.file_id for m in a.media) for a in (pictures, document)]


def test_the_topic_and_the_silence_are_on_every_kind_of_piece(server: TelegramServer) -> None:
    telegram = channel(server)
    for one in (chat(-100123, "45"), chat("@channel"), chat(-100777, "1")):
        send(telegram, *REPORT, album(1), to=one, silent=one.thread == "45")

    assert [(accepted.thread, accepted.silent) for accepted in server.to(-100123)] == [(45, True)] * 4
    assert [(accepted.thread, accepted.silent) for accepted in server.to("@channel")] == [(None, False)] * 4
    # The General topic is addressed by leaving its number out.
    assert [accepted.thread for accepted in server.to(-100777)] == [None] * 4


@pytest.mark.parametrize(
    ("count", "sizes"), [(1, [1]), (2, [2]), (10, [10]), (11, [6, 5]), (12, [6, 6]), (21, [7, 7, 7])]
)
def test_albums_are_split_evenly(server: TelegramServer, count: int, sizes: list[int]) -> None:
    found = send(channel(server), album(count))

    assert [label for label, _, _ in told(album(count))] == ["1 album", "1 album 2", "1 album 3"][: len(sizes)]
    assert [weight for _, weight, _ in told(album(count))] == sizes
    assert outcomes(found) == ["sent"] * len(sizes)
    assert [len(accepted.media) for accepted in server.accepted] == sizes
    assert [m.filename for a in server.accepted for m in a.media] == [f"{n}.png" for n in range(count)]
    assert server.accepted[0].method == ("sendPhoto" if count == 1 else "sendMediaGroup")


def test_a_picture_too_big_for_a_photo_goes_as_a_file(server: TelegramServer) -> None:
    big = Picture("big.png", PNG + bytes(10_000_000), "the big one")
    message = Album((Picture("a.png", PNG), big, Picture("c.png", PNG + b"c")))

    assert told(message) == [("1 album", 2, False), ("1 album picture 2 big.png", 1, False)]
    assert outcomes(send(channel(server), message)) == ["sent", "sent"]
    assert [[(m.kind, m.filename) for m in a.media] for a in server.accepted] == [
        [("photo", "a.png"), ("photo", "c.png")],
        [("document", "big.png")],
    ]


def test_a_file_above_the_limit_is_refused_by_name_and_size(server: TelegramServer) -> None:
    found = send(channel(server), Text("before"), Document("all.csv", bytes(50_000_001)), Text("after"))

    assert outcomes(found) == ["sent", "refused", "sent"]
    assert "all.csv has 50.1 MB" in found[1].detail
    assert "up to 50 MB" in found[1].detail
    assert [accepted.text for accepted in server.accepted] == ["before", "after"]


def test_what_exceeds_a_caption_follows_as_text(server: TelegramServer) -> None:
    caption = "\n".join(f"line {n} 🙂 <&>" for n in range(100))
    messages = (
        Album((Picture("a.png", PNG, caption), Picture("b.png", PNG + b"b", "short"))),
        Document("feed.csv", b"x", caption),
    )
    found = send(channel(server), *messages)

    assert told(*messages) == [
        ("1 album", 2, False),
        ("1 album caption 1", 1, True),
        ("2 document feed.csv", 1, False),
        ("2 document feed.csv caption", 1, True),
    ]
    assert outcomes(found) == ["sent"] * 4
    pictures, rest, document, document_rest = server.accepted
    assert pictures.media[0].caption + rest.text.removeprefix("a.png\n") == caption
    assert document.media[0].caption + document_rest.text == caption


def long_text(blocks: int) -> Text:
    return Text(
        "\n\n".join(f"<b>Block {n}</b>\n" + "\n".join(f"{m}: " + "x" * 60 for m in range(20)) for n in range(blocks))
    )


def test_long_texts_are_split_and_each_piece_has_its_label(server: TelegramServer) -> None:
    found = send(channel(server), long_text(7))

    assert told(long_text(7)) == [("1 text", 1, True), ("1 text 2", 1, True), ("1 text 3", 1, True)]
    assert outcomes(found) == ["sent"] * 3
    assert "".join(accepted.text for accepted in server.accepted) == long_text(7).plain
    assert all(accepted.text.startswith("Block") for accepted in server.accepted)


def test_a_label_and_a_digest_do_not_depend_on_what_follows() -> None:
    short, long = plan([long_text(7)]), plan([long_text(9), album(3)])
    assert [(p.label, p.digest) for p in long[:2]] == [(p.label, p.digest) for p in short[:2]]
    assert len({p.label for p in long}) == len(long)


def test_the_digest_is_of_all_that_is_shown() -> None:
    variants: list[Message] = [
        Text("a"),
        Text("<b>a</b>"),
        Document("a", b"1"),
        Document("b", b"1"),
        Document("a", b"2"),
        Document("a", b"1", "c"),
        Document("a1", b""),
        Album((Picture("a", b"1"),)),
        Album((Picture("a", b"1"), Picture("a", b"2"))),
        Album((Picture("a", b"2"), Picture("a", b"1"))),
        Text(" "),
    ]
    digests = [plan([variant])[0].digest for variant in variants]
    assert len(set(digests)) == len(variants)
    assert digests == [plan([variant])[0].digest for variant in variants]
    assert all(re.fullmatch("[0-9a-f]{32}", digest) for digest in digests)
    # The same files in another place of another delivery are the same files.
    assert plan([Text("x"), Document("a", b"1")])[1].digest == digests[2]


def test_an_empty_text_is_refused_without_asking(server: TelegramServer) -> None:
    assert outcomes(send(channel(server), Text(" \n"))) == ["refused"]
    assert server.requests == []


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("fault", [None, "entities", "topic_gone", "both"])
def test_hostile_texts_arrive_whole_with_every_line_above_them(
    server: TelegramServer, language: str, fault: str | None
) -> None:
    source = (HOSTILE * 60)[:5000] + "".join(f"<i>{n}</i>&amp;\n" for n in range(250))
    for number in range(len(cut(channel(server), Text(source)))):
        kinds = [kind for kind in ("topic_gone", "entities") if fault in (kind, "both")]
        server.faults.extend(Fault(kind) for kind in kinds)  # type: ignore[arg-type]
        [piece] = cut(channel(server), Text(source))[number : number + 1]
        [sent] = send(channel(server), Text(piece.body.chunk.html), to=chat(-1, "5", language=language), repeat=True)
        assert sent.outcome.value == "sent"
        assert server.faults == []

    marks = 1 + (fault in ("topic_gone", "both"))
    assert "".join(a.text.split("\n", marks)[marks] for a in server.accepted) == Text(source).plain
    assert max(a.entities for a in server.accepted) <= ENTITY_LIMIT
    for mark in {line for a in server.accepted for line in a.text.split("\n", marks)[:marks]}:
        assert (width(mark) + 1) * MARK_ENTITIES <= MARK_ROOM


def test_there_is_room_for_the_lines_above_the_longest_text(server: TelegramServer) -> None:
    text = Text("🙂" * ((TEXT_LIMIT - MARK_ROOM) // 2))
    assert len(plan([text])) == 1
    server.faults.append(Fault("topic_gone"))
    [sent] = send(channel(server), text, to=chat(-1, "5", language="ru"), repeat=True)
    assert sent.outcome.value == "sent"
    assert server.accepted[0].text.startswith("Отправлено повторно: неизвестно, дошло ли это раньше.\nТема закрыта")


def test_a_repeat_is_told_in_texts_and_shows_in_no_picture(server: TelegramServer) -> None:
    found = send(channel(server), *REPORT, to=chat(7, language="ru"), repeat=True)

    assert outcomes(found) == ["sent"] * 3
    text, pictures, document = server.accepted
    assert text.text == "Отправлено повторно: неизвестно, дошло ли это раньше.\nFeed 1 < 2"
    assert text.entities == 2
    assert [m.caption for m in (*pictures.media, *document.media)] == ["first", "", "the figures"]
