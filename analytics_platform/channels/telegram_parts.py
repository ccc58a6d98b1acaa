"""What is sent to Telegram and in which pieces: messages cut to the Bot API's limits, the same for every chat.

Belongs here: limits of size and number, the pieces' names in receipts, chat ids. Does not: sending (`telegram.py`),
cutting of text (`telegram_text.py`).
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from analytics_platform.channels.base import ChannelError
from analytics_platform.channels.telegram_text import CAPTION_LIMIT, TEXT_LIMIT, Chunk, split_html, split_plain
from analytics_platform.messages import Album, Document, Message, Picture, Text

ALBUM_LIMIT = 10
# Telegram's megabytes are decimal in the limits that python-telegram-bot publishes; what lies between those and
# 1024-based ones is sent the way that always works.
PHOTO_BYTES = 10_000_000
DOCUMENT_BYTES = 50_000_000

_CHAT = re.compile(r"(?P<id>-?\d+|@[A-Za-z]\w{3,})(?:/(?P<topic>\d+))?")
# The Bot API refuses the General topic's own number and wants none in its place.
_GENERAL_TOPIC = 1


@dataclass(frozen=True)
class ChatId:
    """One recipient as configured, and what the Bot API wants to know about it."""

    configured: str
    chat: int | str
    topic: int | None


def parse_chat_id(text: str) -> ChatId:
    """`-100123`, `@channel`, or either with a topic: `-100123/45`. ChannelError otherwise."""
    match = _CHAT.fullmatch(text.strip())
    if not match:
        raise ChannelError(
            f"{text!r} is not a Telegram chat: use a number such as -1001234567890, a public @name, "
            "or either with a topic: -1001234567890/45"
        )
    chat = match["id"] if match["id"].startswith("@") else int(match["id"])
    topic = int(match["topic"]) if match["topic"] else None
    return ChatId(text.strip(), chat, None if topic == _GENERAL_TOPIC else topic)


@dataclass(frozen=True)
class TextPart:
    """One text message."""

    label: str
    chunk: Chunk
    weight: int = 1


@dataclass(frozen=True)
class MediaPart:
    """One picture or file, or two to ten of them as one group; captions fit. `as_files`: not shown as pictures."""

    label: str
    files: tuple[Picture | Document, ...]
    as_files: bool

    @property
    def weight(self) -> int:
        """How many messages Telegram makes of it."""
        return len(self.files)


@dataclass(frozen=True)
class Unsendable:
    """A part that Telegram would refuse, known before sending."""

    label: str
    reason: str


Part = TextPart | MediaPart | Unsendable


def plan(messages: Sequence[Message], *, document_bytes: int = DOCUMENT_BYTES) -> list[Part]:
    """All pieces in the order of sending. Nothing is shortened: what exceeds a limit goes into a further piece.

    A picture above 10 MB follows its album as a file; what exceeds a caption follows as text.
    """
    parts: list[Part] = []
    for place, message in enumerate(messages, start=1):
        match message:
            case Text():
                parts.extend(_texts(f"{place} text", split_html(message.html)))
            case Album():
                parts.extend(_album(place, message, document_bytes))
            case Document():
                label = f"{place} document {message.filename}"
                parts.extend(_file(label, f"{label} caption", message, document_bytes))
    return parts


def _texts(label: str, chunks: Sequence[Chunk]) -> Iterator[Part]:
    # Telegram takes no message of blanks alone.
    shown = [chunk for chunk in chunks if chunk.plain.strip()]
    if not shown:
        yield Unsendable(label, "The text is empty, and Telegram takes no empty message.")
    for number, chunk in enumerate(shown, start=1):
        yield TextPart(label if len(shown) == 1 else f"{label} {number}/{len(shown)}", chunk)


def _album(place: int, album: Album, document_bytes: int) -> Iterator[Part]:
    numbered = list(enumerate(album.pictures, start=1))
    small = [(number, picture) for number, picture in numbered if len(picture.content) <= PHOTO_BYTES]
    groups = _even_groups(small)
    for index, group in enumerate(groups, start=1):
        label = f"{place} album" if len(groups) == 1 else f"{place} album {index}/{len(groups)}"
        fitting = [(number, picture, *_fit_caption(picture.caption)) for number, picture in group]
        yield MediaPart(
            label, tuple(Picture(picture.filename, picture.content, head) for _, picture, head, _ in fitting), False
        )
        for number, picture, _, rest in fitting:
            # Under a group it is not evident which picture a text belongs to.
            lead = f"{picture.filename}\n" if len(group) > 1 else ""
            yield from _caption_rest(f"{place} album caption {number}", lead, rest)
    for number, picture in numbered:
        if len(picture.content) > PHOTO_BYTES:
            label = f"{place} album picture {number} {picture.filename}"
            yield from _file(label, f"{place} album caption {number}", picture, document_bytes)


def _file(label: str, caption_label: str, file: Picture | Document, document_bytes: int) -> Iterator[Part]:
    if len(file.content) > document_bytes:
        yield Unsendable(
            label,
            f"{file.filename} has {_megabytes(len(file.content))} MB, and a bot may send files of up to "
            f"{_megabytes(document_bytes)} MB; hand it over another way.",
        )
        return
    head, rest = _fit_caption(file.caption)
    yield MediaPart(label, (Document(file.filename, file.content, head),), True)
    yield from _caption_rest(caption_label, "", rest)


def _caption_rest(label: str, lead: str, rest: str) -> Iterator[Part]:
    if rest.strip():
        yield from _texts(label, [_plain_chunk(piece) for piece in split_plain(lead + rest, limit=TEXT_LIMIT)])


def _plain_chunk(text: str) -> Chunk:
    return split_html(text.replace("&", "&amp;").replace("<", "&lt;"))[0]


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
