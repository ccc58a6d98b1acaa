"""Whatever names hold, deliveries arrive whole over every channel, within its limits, and nothing is refused."""

import asyncio
import html
import re
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest

from analytics_platform.channels.base import Channel, Outcome, Piece, Recipient, Sent
from analytics_platform.channels.email import EmailChannel
from analytics_platform.channels.email_letter import file_name as mail_file_name
from analytics_platform.channels.folder import FolderChannel
from analytics_platform.channels.telegram_parts import MARK_ROOM, MediaPart, TextPart, file_name
from analytics_platform.channels.telegram_text import CAPTION_LIMIT, ENTITY_LIMIT, TEXT_LIMIT, width
from analytics_platform.language import LANGUAGES, Language
from analytics_platform.messages import Album, Document, Message, Picture, Text
from analytics_platform_tests.channels.telegram_sending import channel, chat, cut, in_turn, send
from analytics_platform_tests.hostile_text import (
    CASES,
    HARMLESS,
    PNG,
    VALUES,
    Markup,
    delivery,
    mailable,
    mixed,
    seen,
    without_surrogates,
)
from analytics_platform_tests.mail_server import NOW, Mail, mail_server
from analytics_platform_tests.telegram_server import Accepted, Fault, telegram_server

SENT_AGAIN = "Sent again: it is not known whether this arrived before."
# What a Bot API server takes of a text with its markup.
READ_BYTES = 1 << 15
MARKS_BYTES = 2 * MARK_ROOM  # Cyrillic has two bytes a letter

PAGE_TAGS = {"!doctype html", "html", "head", "meta charset", "meta name content", "title", "style", "body", "main"}
PAGE_TAGS |= {f"/{tag}" for tag in PAGE_TAGS}
WHY = "You get this because {address} subscribes to it."

Case = tuple[str, str, str]
# (template, language, value): the worst by hand, each with one template, and mixtures.
_NAMES = sorted(CASES)
WORST = [
    (_NAMES[place % len(_NAMES)], LANGUAGES[place // len(_NAMES) % 2], value)
    for place, value in enumerate(VALUES.values())
]
MIXED = [(_NAMES[seed % len(_NAMES)], LANGUAGES[seed % 2], mixed(Random(seed))) for seed in range(200)]


def post(way: Channel, deliveries: Sequence[Sequence[Message]], to: Recipient) -> list[Sent]:
    """Each delivery to the recipient, over one line: what came of it, where one piece is all."""

    async def line() -> list[Sent]:
        found = []
        async with way.sender({}) as sender:
            for number, messages in enumerate(deliveries):
                (piece,) = way.pieces(messages, key=f"feed_daily/{number}", language=Language(to.language))
                async with sender.turn(to, piece):
                    found.append(await sender.send(to, piece, repeat=True, silent=False))
        return found

    return asyncio.run(line())


def parcels(cases: Sequence[Case], code: str) -> list[tuple[Text, str, tuple[Message, ...]]]:
    """The text, the value, and all messages of the cases in that language."""
    texts = [(CASES[template](value, Language(code)), value) for template, spoken, value in cases if spoken == code]
    return [(text, value, delivery(text, value)) for text, value in texts]


def harmless_tags(template: str, code: str) -> set[str]:
    return set(Markup(CASES[template](HARMLESS, Language(code)).html).tags)


@pytest.mark.parametrize(("cases", "thread"), [(WORST, "45"), (MIXED, "")], ids=["worst", "mixed"])
def test_all_of_it_arrives_on_telegram(cases: Sequence[Case], thread: str) -> None:
    for code in LANGUAGES:
        language = Language(code)
        marks = [language.say(SENT_AGAIN)]
        if thread:  # which is gone, so that every text gets two lines above it
            marks.append(language.say("Its topic is closed or deleted, so this comes here."))
        with telegram_server() as server:
            server.faults.append(Fault("topic_gone", times=0))
            telegram = channel(server)
            cuts = [cut(telegram, *messages) for _, _, messages in parcels(cases, code)]
            pieces = [piece for of_one in cuts for piece in of_one]
            to = chat(-100123, thread, language=code)
            (found,) = asyncio.run(in_turn(telegram, pieces, [to], {}, repeat=True))

        assert {sent.outcome for sent in found} == {Outcome.SENT}
        note = r"Its topic 45 is closed or deleted \(.*\), so it went to the chat itself: subscribe another topic\."
        assert all(re.fullmatch(note if thread else "", sent.astray) for sent in found)  # and nothing of markup
        assert len(server.accepted) == len(pieces)
        arrived = iter(zip(pieces, server.accepted, strict=True))
        spoken = [case for case in cases if case[1] == code]
        for (template, _, value), of_one in zip(spoken, cuts, strict=True):
            taken = [next(arrived) for _ in of_one]
            lead = "".join(f"{mark}\n" for mark in marks)
            tags, text = texts_on_telegram([one for one in taken if one[0].label.startswith("1 text")], lead)
            assert_whole(text, CASES[template](value, language).plain)
            links = {"a href", "/a"} if len(html.escape(value)) > 4000 else set()  # no address is that long
            assert tags == harmless_tags(template, code) - links
            files_on_telegram([one for one in taken if not one[0].label.startswith("1 text")], lead, value)


def assert_whole(arrived: str, said: str) -> None:
    """Nothing that can be seen is lost; of a text that is one piece, nothing at all."""
    said = without_surrogates(said)
    assert seen(arrived) == seen(said)
    if width(said) <= CAPTION_LIMIT:
        assert arrived == said


def texts_on_telegram(arrived: Sequence[tuple[Piece, Accepted]], lead: str) -> tuple[set[str], str]:
    """The tags and the text of all pieces, each within the limits."""
    tags: set[str] = set()
    texts = []
    for piece, accepted in arrived:
        assert isinstance(piece.body, TextPart)
        assert accepted.text == lead + piece.body.chunk.plain
        assert seen(piece.body.chunk.plain)  # it would be refused for being empty
        assert width(accepted.text) <= TEXT_LIMIT
        assert accepted.entities <= ENTITY_LIMIT
        assert len(piece.body.chunk.html.encode()) + MARKS_BYTES <= READ_BYTES
        tags |= set(Markup(piece.body.chunk.html).tags)
        texts.append(piece.body.chunk.plain)
    return tags, "".join(texts)


def files_on_telegram(arrived: Sequence[tuple[Piece, Accepted]], lead: str, value: str) -> None:
    """Names that can be kept, and captions that are whole with the texts that follow them."""
    captions: dict[str, list[str]] = {}
    names: list[str] = []
    for piece, accepted in arrived:
        place, words = piece.label[0], piece.label.split()
        if isinstance(piece.body, MediaPart):
            captions[place] = [media.caption for media in accepted.media]
            names += [media.filename for media in accepted.media]
            assert max(map(width, captions[place])) <= CAPTION_LIMIT
            continue
        number = int(words[3]) - 1 if words[1] == "album" else 0
        tags, text = texts_on_telegram([(piece, accepted)], lead)
        assert not tags
        follows = place == "2" and len(words) == 4  # under a group, a text says first which picture it belongs to
        assert not follows or text.startswith(f"{names[number]}\n")
        captions[place][number] += text.removeprefix(f"{names[number]}\n") if follows else text
    for caption in (captions["2"][0], captions["2"][1], captions["3"][0], captions["4"][0]):
        assert_whole(caption, value)
    assert names == [file_name(name) for name in (f"{value}.png", value, f"{value}.csv", f"{value}.png")]
    for name in names:
        assert name.strip(" .")
        assert len(name) <= 100
        assert not set(name) & set('/\\:*?"<>|\r\n\0\u2028\x7f')
    assert [name[-4:] for name in (names[0], *names[2:])] == [".png", ".csv", ".png"]


@pytest.mark.parametrize("cases", [WORST, MIXED], ids=["worst", "mixed"])
def test_all_of_it_arrives_by_mail(cases: Sequence[Case]) -> None:
    every = [(template, code, HARMLESS) for template in CASES for code in LANGUAGES]
    outlines: dict[tuple[str, str], list[object]] = {}
    for code in LANGUAGES:
        with mail_server() as server:
            spoken = [case for case in (*every, *cases) if case[1] == code]
            taken = parcels(spoken, code)
            way = EmailChannel(server.server, clock=NOW.timestamp)
            found = post(
                way, [messages for _, _, messages in taken], Recipient("email", "ann@example.org", language=code)
            )
        assert [(sent.outcome, sent.detail) for sent in found] == [(Outcome.SENT, "")] * len(taken)
        for (template, _, value), (text, _, _), mail in zip(spoken, taken, server.accepted, strict=True):
            outline = in_a_mail(mail, text, value, Language(code))
            assert outline == outlines.setdefault((template, code), outline)


def in_a_mail(mail: Mail, text: Text, value: str, language: Language) -> list[object]:
    """All of it is there; parts, headers and tags of the mail, which no value may change."""
    message = mail.message
    plain, page = (message.get_body((kind,)) for kind in ("plain", "html"))
    assert plain is not None
    assert page is not None
    names = [mail_file_name(name) for name in (f"{value}.png", value, f"{value}.csv", f"{value}.png")]
    again, reason = language.say(SENT_AGAIN), language.say(WHY, address="ann@example.org")
    labelled = [f"[{name}] {value}" for name in names]
    assert seen(plain.get_content()) == seen(mailable("".join([again, text.plain, *labelled, reason])))
    shown = Markup(page.get_content())
    captions = [value, value, f"{names[2]}: {value}", value]
    assert seen(shown.text) == seen(mailable("".join([again, text.plain, *captions, reason])))
    files = [part for part in message.walk() if part.get_filename()]
    assert sorted(str(part.get_filename()) for part in files) == sorted(names)
    assert not [part for part in message.walk() if part.defects]
    assert len(message["Subject"].splitlines()) == 1
    assert mail.raw.isascii()
    return [[(part.get_content_type(), part.keys()) for part in message.walk()], shown.outline]


@pytest.mark.parametrize("cases", [WORST, MIXED], ids=["worst", "mixed"])
def test_all_of_it_arrives_in_the_folder(cases: Sequence[Case], tmp_path: Path) -> None:
    for code in LANGUAGES:
        spoken = [case for case in cases if case[1] == code]
        taken = parcels(spoken, code)
        to = Recipient("folder", str(tmp_path / code), language=code)
        found = post(FolderChannel(), [messages for _, _, messages in taken], to)
        assert [(sent.outcome, sent.detail) for sent in found] == [(Outcome.SENT, "")] * len(taken)
        for (template, _, _), (text, value, _), sent in zip(spoken, taken, found, strict=True):
            page, plain, *files = (Path(reference) for reference in sent.references)
            folder = page.parent
            assert sorted(folder.iterdir()) == sorted((page, plain, *files))
            assert folder.parent == tmp_path / code / "feed_daily"
            said = without_surrogates(text.plain, "?")
            assert plain.read_bytes().decode() == f"{said}\n"
            shown = Markup(page.read_bytes().decode())
            assert shown.text.strip().endswith(said.strip())
            assert set(shown.tags) >= harmless_tags(template, code)
            assert not set(shown.tags) - harmless_tags(template, code) - PAGE_TAGS
            captions = [file for file in files if file.name.endswith(".txt")]
            assert [one.read_bytes().decode() for one in captions] == [without_surrogates(value, "?") + "\n"] * 4
            assert len(files) == 8


def everywhere(tmp_path: Path, *messages: Message) -> tuple[list[Accepted], Mail, list[Path]]:
    """What arrived of the messages on Telegram, by mail and in a folder."""
    with telegram_server() as chats, mail_server() as mails:
        found = send(channel(chats), *messages)
        found += post(EmailChannel(mails.server, clock=NOW.timestamp), [messages], Recipient("email", "a@example.org"))
        found += post(FolderChannel(), [messages], Recipient("folder", str(tmp_path)))
    assert [(sent.outcome, sent.detail) for sent in found] == [(Outcome.SENT, "")] * len(found)
    return chats.accepted, mails.accepted[0], [Path(reference) for reference in found[-1].references]


@pytest.mark.parametrize(
    "value", ["", " ", ".", "..", "/", "\0", "\ud800", "\u200b", "\n\u2028", "\u3000" * 5000, "." * 5000]
)
def test_what_nobody_sees_is_still_a_file(tmp_path: Path, value: str) -> None:
    pictures = Album((Picture(value, PNG, value),) * 2)
    chats, mail, files = everywhere(tmp_path, Text(f"a{value}"), pictures, Document(value, b"1", value))
    names = [media.filename for accepted in chats for media in accepted.media]
    parts = [part for part in mail.message.walk() if part.get_content_maintype() in ("image", "application")]
    names += [str(part.get_filename()) for part in parts]
    assert len(names) == 6
    assert all(0 < len(name.encode()) <= 400 for name in names)
    assert len({file.name for file in files if file.suffix != ".txt"}) == 4
    assert seen("".join(accepted.text for accepted in chats)).startswith(seen(f"a{without_surrogates(value)}"))


def test_links_with_long_addresses_arrive_with_their_markup() -> None:
    address = "http://ui.example.org/?" + "&amp;a=b" * 120
    text = Text("".join(f'<a href="{address}{number}">link {number}</a>\n' for number in range(150)))
    with telegram_server() as server:
        telegram = channel(server)
        pieces = cut(telegram, text)
        assert {(sent.outcome, sent.detail) for sent in send(telegram, text, repeat=True)} == {(Outcome.SENT, "")}
    assert sum(accepted.entities - 1 for accepted in server.accepted) == 150
    assert all(len(piece.body.chunk.html.encode()) + MARKS_BYTES <= READ_BYTES for piece in pieces)
    assert "".join(piece.body.chunk.plain for piece in pieces) == text.plain


def test_a_link_that_cannot_be_sent_is_left_out_and_its_text_is_not() -> None:
    inner = f'<a href="http://x/{"y" * 40_000}">to nowhere</a>'
    text = Text(f'<b>a {inner}</b> <a href="http://x/\ud800">b</a> <i>{inner} c</i>')
    with telegram_server() as server:
        assert [(sent.outcome, sent.detail) for sent in send(channel(server), text)] == [(Outcome.SENT, "")]
    (accepted,) = server.accepted
    assert (accepted.text, accepted.entities) == (text.plain, 3)


def test_what_is_no_address_is_refused_in_a_sentence(tmp_path: Path) -> None:
    messages = [Text("x")]
    with telegram_server() as chats, mail_server() as mails:
        telegram, mail = channel(chats), EmailChannel(mails.server)
        for value in VALUES.values():
            found = send(telegram, *messages, to=Recipient("telegram", value, value))
            found += post(mail, [messages], Recipient("email", value))
            found += post(mail, [messages], Recipient("email", f"{value} <x@{value}.example.org>"))
            found += post(FolderChannel(), [messages], Recipient("folder", value))
            assert {sent.outcome for sent in found} == {Outcome.REFUSED}
            assert all(sent.detail.endswith(".") for sent in found)
    assert (chats.requests, mails.accepted) == ([], [])
    for value in VALUES.values():
        place = f"{tmp_path / 'x'}{value.replace('/', '_')}"
        (sent,) = post(FolderChannel(), [messages], Recipient("folder", place))
        assert sent.outcome is (Outcome.REFUSED if re.search("[\0\ud800-\udfff]", value) else sent.outcome)
        assert sent.outcome is Outcome.SENT or sent.detail.endswith(".")


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_a_delivery_of_any_name_stays_in_its_folder(tmp_path: Path, value: str) -> None:
    to, key = Recipient("folder", str(tmp_path / "out")), f"{value[:200]}/{value[:200]}"

    async def deliver() -> Sent:
        way = FolderChannel()
        (piece,) = way.pieces([Text("<b>x</b>")], key=key, language=Language("en"))
        async with way.sender({}) as sender, sender.turn(to, piece):
            return await sender.send(to, piece, repeat=False, silent=False)

    sent = asyncio.run(deliver())
    assert sent.outcome is Outcome.SENT, sent.detail
    page, plain = (Path(reference) for reference in sent.references)
    assert page.resolve().is_relative_to((tmp_path / "out").resolve())
    assert plain.read_text() == "x\n"
    shown = Markup(page.read_bytes().decode())
    assert not set(shown.tags) - {"b", "/b"} - PAGE_TAGS
    assert seen(without_surrogates(key, "?")) in seen(shown.text)
