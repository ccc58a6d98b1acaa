"""What is sent to Telegram and in which pieces: messages cut to the Bot API's limits, the same for every chat.

Belongs here: limits of size and number, the pieces' labels and digests, chat ids. Does not: sending
(`telegram_sender.py`), cutting of text (`telegram_text.py`).
"""

import hashlib
import html
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from analytics_platform.channels.base import ChannelError, Piece
from analytics_platform.channels.telegram_text import (
    CAPTION_LIMIT,
    ENTITY_LIMIT,
    MARKUP_LIMIT,
    TEXT_LIMIT,
    Chunk,
    is_blank,
    split_html,
    split_plain,
)
from analytics_platform.messages import Album, Card, Document, Message, Picture, Text

ALBUM_LIMIT = 10
# Telegram's megabytes are decimal in the limits that python-telegram-bot publishes; what lies between those and
# 1024-based ones is sent the way that always works.
PHOTO_BYTES = 10_000_000
DOCUMENT_BYTES = 50_000_000

# A text may get two lines above it when it is sent: that it comes again, and that its topic is gone.
MARK_ROOM = 160
MARK_ENTITIES = 2
_MARK_BYTES = 4 * MARK_ROOM

# Signs that no system takes in a file's name, or that break a request; and how much of a name phones show at most.
_NOT_IN_A_NAME = re.compile(r'[\x00-\x1f\x7f-\x9f/\\:*?"<>|\u2028\u2029\ud800-\udfff]')
_LONGEST_NAME = 100

_CHAT = re.compile(r"(?P<id>-?\d+|@[A-Za-z]\w{3,})(?:/(?P<topic>\d+))?")
# The Bot API refuses the General topic's own number and wants none in its place.
_GENERAL_TOPIC = 1


@dataclass(frozen=True)
class ChatId:
    """A chat as a `Recipient` has it: its number or @name, and its topic's number, empty for none."""

    address: str
    thread: str = ""

    @property
    def chat(self) -> int | str:
        """What the Bot API wants for a chat."""
        return self.address if self.address.startswith("@") else int(self.address)

    @property
    def topic(self) -> int | None:
        """What the Bot API wants for a topic."""
        return int(self.thread) if self.thread else None


def parse_chat_id(text: str) -> ChatId:
    """`-100123`, `@channel`, or either with a topic: `-100123/45`. ChannelError otherwise."""
    match = _CHAT.fullmatch(text.strip())
    if not match:
        raise ChannelError(
            f"{text!r} is not a Telegram chat: use a number such as -1001234567890, a public @name, "
            "or either with a topic: -1001234567890/45"
        )
    address = match["id"] if match["id"].startswith("@") else str(int(match["id"]))
    topic = int(match["topic"] or _GENERAL_TOPIC)
    return ChatId(address, "" if topic == _GENERAL_TOPIC else str(topic))


@dataclass(frozen=True)
class TextPart:
    """One text message, with room for `MARK_ROOM` and `MARK_ENTITIES` more."""

    chunk: Chunk


@dataclass(frozen=True)
class MediaPart:
    """One picture or file, or two to ten of them as one group; captions fit. `as_files`: not shown as pictures."""

    files: tuple[Picture | Document, ...] = field(repr=False)
    as_files: bool


@dataclass(frozen=True)
class CardPart(TextPart):
    """A text that is edited while it lives; `caption`: the same beneath a picture; `quiet`: nobody is to hear of an
    edit."""

    caption: Chunk
    quiet: bool


@dataclass(frozen=True)
class NoticePart(TextPart):
    """The answer to an edited card that makes a sound."""


@dataclass(frozen=True)
class PicturePart(MediaPart):
    """A card's picture. `caption`: the card's text; `fits`: whether all of it does, or the picture is an answer."""

    caption: Chunk
    fits: bool


@dataclass(frozen=True)
class Unsendable:
    """A part that Telegram would refuse, known before sending."""

    reason: str


def plan(messages: Sequence[Message], *, document_bytes: int = DOCUMENT_BYTES) -> list[Piece]:
    """All pieces in the order of sending. Nothing is shortened: what exceeds a limit goes into a further piece.

    A picture above 10 MB follows its album as a file; what exceeds a caption follows as text. A label says nothing of
    the pieces after it: it stays the same when there are more of them.
    """
    pieces: list[Piece] = []
    for place, message in enumerate(messages, start=1):
        match message:
            case Text():
                pieces.extend(_texts(f"{place} text", _chunks(message.html)))
            case Album():
                pieces.extend(_album(place, message, document_bytes))
            case Document():
                label = f"{place} document {file_name(message.filename)}"
                pieces.extend(_file(label, f"{label} caption", message, document_bytes))
            case Card():
                pieces.extend(_card(f"{place} card", message))
    return pieces


def file_name(name: str) -> str:
    """The name that a file gets: one that every system can keep, at most 100 characters with its suffix."""
    path = PurePosixPath(_NOT_IN_A_NAME.sub("_", name).strip(" .") or "file")
    suffix = path.suffix if len(path.suffix) <= 10 else ""
    return path.name.removesuffix(suffix)[: _LONGEST_NAME - len(suffix)].rstrip(" .") + suffix


def _numbered(label: str, number: int) -> str:
    return label if number == 1 else f"{label} {number}"


def _chunks(source: str) -> list[Chunk]:
    return split_html(
        source,
        limit=TEXT_LIMIT - MARK_ROOM,
        entities=ENTITY_LIMIT - MARK_ENTITIES,
        size=MARKUP_LIMIT - _MARK_BYTES,
    )


def _texts(label: str, chunks: Sequence[Chunk]) -> Iterator[Piece]:
    # Telegram takes no message of blanks alone.
    shown = [chunk for chunk in chunks if not is_blank(chunk.plain)]
    if not shown:
        yield _unsendable(label, "The text is empty, and Telegram takes no empty message.")
    for number, chunk in enumerate(shown, start=1):
        digest = _digest("text", chunk.html, chunk.plain)
        yield Piece(_numbered(label, number), digest, TextPart(chunk), repeatable=True)


def _album(place: int, album: Album, document_bytes: int) -> Iterator[Piece]:
    numbered = list(enumerate(album.pictures, start=1))
    small = [(number, picture) for number, picture in numbered if len(picture.content) <= PHOTO_BYTES]
    for index, group in enumerate(_even_groups(small), start=1):
        fitting = [(number, picture, *_fit_caption(picture.caption)) for number, picture in group]
        yield _media(
            _numbered(f"{place} album", index),
            tuple(Picture(file_name(picture.filename), picture.content, head) for _, picture, head, _ in fitting),
            as_files=False,
        )
        for number, picture, _, rest in fitting:
            # Under a group it is not evident which picture a text belongs to.
            lead = f"{file_name(picture.filename)}\n" if len(group) > 1 else ""
            yield from _caption_rest(f"{place} album caption {number}", lead, rest)
    for number, picture in numbered:
        if len(picture.content) > PHOTO_BYTES:
            label = f"{place} album picture {number} {file_name(picture.filename)}"
            yield from _file(label, f"{place} album caption {number}", picture, document_bytes)


def _file(label: str, caption_label: str, file: Picture | Document, document_bytes: int) -> Iterator[Piece]:
    name = file_name(file.filename)
    head, rest = _fit_caption(file.caption)
    if len(file.content) > document_bytes:
        yield _unsendable(
            label,
            f"{name} has {_megabytes(len(file.content))} MB, and a bot may send files of up to "
            f"{_megabytes(document_bytes)} MB; hand it over another way.",
        )
        return
    yield _media(label, (Document(name, file.content, head),), as_files=True)
    yield from _caption_rest(caption_label, "", rest)


def _card(label: str, card: Card) -> Iterator[Piece]:
    # First what readers hear of, then the picture: it may fail, and uploading takes its time.
    chunk, _ = _shortened(card.text.html, TEXT_LIMIT - MARK_ROOM)
    caption, fits = _shortened(card.text.html, CAPTION_LIMIT - MARK_ROOM)
    if is_blank(chunk.plain):
        yield _unsendable(label, "The text is empty, and Telegram takes no empty message.")
        return
    part = CardPart(chunk, caption, quiet=card.notice is None)
    yield Piece(label, _digest("card", chunk.html, chunk.plain), part, repeatable=True, living=label)
    if card.notice and not is_blank(card.notice.plain):
        notice, _ = _shortened(card.notice.html, TEXT_LIMIT - MARK_ROOM)
        digest = _digest("notice", notice.html, notice.plain)
        yield Piece(f"{label} notice", digest, NoticePart(notice), repeatable=True, living=label)
    if card.picture:
        file = Picture(file_name(card.picture.filename), card.picture.content)
        yield Piece(
            f"{label} picture",
            _digest("picture", file.filename, file.content),
            PicturePart((file,), as_files=False, caption=caption, fits=fits),
            repeatable=True,
            living=label,
            optional=True,
        )


def _shortened(source: str, limit: int) -> tuple[Chunk, bool]:
    """The text as one message, and whether that is all of it."""
    room = {"entities": ENTITY_LIMIT - MARK_ENTITIES, "size": MARKUP_LIMIT - _MARK_BYTES}
    chunks = split_html(source, limit=limit, **room)
    if len(chunks) > 1:
        # An ellipsis in a line of its own.
        first = split_html(source, limit=limit - 2, **room)[0]
        return Chunk(f"{first.html}\n\u2026", f"{first.plain}\n\u2026"), False
    return (chunks[0] if chunks else Chunk("", "")), True


def _media(label: str, files: tuple[Picture | Document, ...], *, as_files: bool) -> Piece:
    told = (value for file in files for value in (file.filename, file.caption, file.content))
    digest = _digest("files" if as_files else "pictures", *told)
    return Piece(label, digest, MediaPart(files, as_files), weight=len(files))


def _unsendable(label: str, reason: str) -> Piece:
    return Piece(label, _digest("unsendable", label, reason), Unsendable(reason))


def _digest(*values: str | bytes) -> str:
    """Of the values, and of where one ends and the next begins."""
    found = hashlib.sha256()
    for value in values:
        content = value.encode(errors="surrogatepass") if isinstance(value, str) else value
        found.update(f"{len(content)} ".encode())
        found.update(content)
    return found.hexdigest()[:32]


def _caption_rest(label: str, lead: str, rest: str) -> Iterator[Piece]:
    if not is_blank(rest):
        yield from _texts(label, _chunks(html.escape(lead + rest, quote=False)))


def _fit_caption(caption: str) -> tuple[str, str]:
    pieces = split_plain(caption, limit=CAPTION_LIMIT)
    return (pieces[0], "".join(pieces[1:])) if pieces else ("", "")


def _even_groups(pictures: list[tuple[int, Picture]]) -> list[list[tuple[int, Picture]]]:
    # 11 become 6 and 5: a last group of one would be no album.
    count = -(-len(pictures) // ALBUM_LIMIT)
    groups = []
    start = 0
    for left in range(count, 0, -1):
        size = -(-(len(pictures) - start) // left)
        groups.append(pictures[start : start + size])
        start += size
    return groups


def _megabytes(size: int) -> str:
    # Rounded up, so that a file a little above 50 MB does not read as 50 MB.
    tenths = -(-size // 100_000)
    return f"{tenths / 10:g}"
