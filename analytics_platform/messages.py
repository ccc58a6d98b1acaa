"""What a report says and a channel sends: text, albums of pictures, documents, cards.

Belongs here: the kinds of message, the limits every channel can rely on, how revisions of a delivery are named.
Does not: how a channel transmits them (`channels/`), who gets them (`delivery.py`), what they say (`reports/`).
"""

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass

# The only markup a text may use: what Telegram, e-mail and a browser all render.
ALLOWED_TAGS = ("b", "i", "u", "s", "code", "pre", "a", "blockquote")
_REVISION = re.compile(r"(?P<first>.*\S) r(?P<number>[1-9]\d*)", re.DOTALL)
_TAG = re.compile(r"</?(?:" + "|".join(ALLOWED_TAGS) + r")(?:\s[^<>]*)?>")


@dataclass(frozen=True)
class Text:
    """A message in the small HTML subset of `ALLOWED_TAGS`; every value in it is already escaped."""

    html: str

    @property
    def plain(self) -> str:
        """The same without markup, for terminals, previews and channels that refuse the markup."""
        return html.unescape(_TAG.sub("", self.html))


@dataclass(frozen=True)
class Picture:
    """One PNG or JPEG; `caption` is plain text."""

    filename: str
    content: bytes
    caption: str = ""


@dataclass(frozen=True)
class Album:
    """One to any number of pictures meant to be seen together; a channel splits it to its own limit."""

    pictures: tuple[Picture, ...]

    def __post_init__(self) -> None:
        if not self.pictures:
            raise ValueError("an album needs at least one picture")


@dataclass(frozen=True)
class Document:
    """A file to keep: PDF, CSV. `caption` is plain text."""

    filename: str
    content: bytes
    caption: str = ""


@dataclass(frozen=True)
class Card:
    """A message that is edited while what it tells of goes on: one text, which may carry a picture.

    The text always goes; the picture goes if it can, and the message counts as arrived without it. `notice`: a line or
    two that tell readers aloud what is new in an edited card, as editing one makes no sound. What exceeds one message
    of a channel (Telegram: 4,096 characters, 1,024 with a picture in it) is cut off there.
    """

    text: Text
    picture: Picture | None = None
    notice: Text | None = None


Message = Text | Album | Document | Card


def original(name: str) -> str:
    """What a period, or a delivery's key, is a revision of: `17` for `17 r2`; itself when it is none."""
    found = _REVISION.fullmatch(name)
    return found["first"] if found else name


def revision(name: str) -> int:
    """Which revision a period, or a delivery's key, is: 2 for `17 r2`, 1 for `17`."""
    found = _REVISION.fullmatch(name)
    return int(found["number"]) if found else 1


def spread(messages: Sequence[Message], *, notices: bool) -> tuple[Text | Album | Document, ...]:
    """The same without cards, for channels that cannot edit: each as its notice, if there is one and `notices` are
    wanted, its text and its picture."""
    found: list[Text | Album | Document] = []
    for message in messages:
        if isinstance(message, Card):
            found += [message.notice] if message.notice and notices else []
            found += [message.text, *([Album((message.picture,))] if message.picture else [])]
        else:
            found.append(message)
    return tuple(found)
