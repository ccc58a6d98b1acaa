"""What a report says and a channel sends: text, albums of pictures, documents.

Belongs here: the three kinds of message and the limits every channel can rely on.
Does not: how a channel transmits them (`channels/`), who gets them (`delivery.py`), what they say (`reports/`).
"""

import html
import re
from dataclasses import dataclass

# The only markup a text may use: what Telegram, e-mail and a browser all render.
ALLOWED_TAGS = ("b", "i", "u", "s", "code", "pre", "a", "blockquote")
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


Message = Text | Album | Document
