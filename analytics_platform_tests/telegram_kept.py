"""What the stand-in's chats hold: messages that can be edited, answered and deleted.

Belongs here: what of a message may be changed, in Telegram's words. Does not: requests and their limits
(`telegram_server.py`).
"""

from dataclasses import dataclass, field
from typing import Literal

from analytics_platform_tests.telegram_faults import RefusalError

_SAME = (
    "message is not modified: specified new message content and reply markup are exactly the same as a current content "
    "and reply markup of the message"
)


@dataclass
class Kept:
    """A message as people see it. `picture`: the file id, empty for a text; `edits`: how often it was changed;
    `locked`: nobody may change it."""

    chat: str
    number: int
    text: str
    source: str
    picture: str = ""
    edits: int = 0
    locked: bool = False


@dataclass
class Chats:
    """All messages of all chats. `old`: a Bot API server that cannot put a picture into a text."""

    messages: dict[tuple[str, int], Kept] = field(default_factory=dict)
    old: bool = False

    def add(self, kept: Kept) -> None:
        """A new one."""
        self.messages[kept.chat, kept.number] = kept

    def to_edit(self, chat: str, number: int, what: Literal["text", "caption", "media"]) -> Kept:
        """The message of which this is to be changed. Raises RefusalError."""
        found = self.messages.get((chat, number))
        if found is None:
            raise RefusalError(400, "Bad Request: message to edit not found")
        if found.locked:
            raise RefusalError(400, "Bad Request: message can't be edited")
        if what == "text" and found.picture:
            raise RefusalError(400, "Bad Request: there is no text in the message to edit")
        if (what == "caption" or (what == "media" and self.old)) and not found.picture:
            raise RefusalError(400, f"Bad Request: there is no {what} in the message to edit")
        return found

    def change(self, kept: Kept, text: str, source: str, picture: str = "") -> None:
        """Make it say that. `source`: with its markup. Raises RefusalError when it does already."""
        if (kept.source, kept.picture) == (source, picture or kept.picture):
            raise RefusalError(400, f"Bad Request: {_SAME}")
        kept.text, kept.source, kept.picture, kept.edits = text, source, picture or kept.picture, kept.edits + 1

    def shown(self, chat: int | str) -> list[str]:
        """What a chat's messages say, in order; one with a picture begins with an asterisk."""
        here = sorted(number for address, number in self.messages if address == str(chat))
        found = (self.messages[str(chat), number] for number in here)
        return [f"{'* ' * bool(kept.picture)}{kept.text}" for kept in found]

    def delete(self, chat: int | str, number: int) -> None:
        """Somebody deletes it."""
        del self.messages[str(chat), number]
