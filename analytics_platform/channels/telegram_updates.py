"""Who asks for messages: chats in which somebody sent `/start`, and chats that let the bot in.

Belongs here: reading of what Telegram tells the bot. Does not: asking Telegram (`telegram.py`), who gets what
(`state/subscribers.py`).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

# The kinds of update that are asked for. Telegram remembers the list, and tells nothing else from then on.
KINDS = ("message", "my_chat_member")

Update = Mapping[str, Any]

_START = re.compile(r"/start(?:@(?P<bot>\w+))?(?!\S)", re.IGNORECASE)
_IN = ("member", "administrator")


@dataclass(frozen=True)
class Arrival:
    """A chat that asks for messages. `what`: somebody sent `/start`, or the bot was let in (or unblocked).

    `thread`: the topic in which `/start` was sent, empty for none. `title`: what people call it. `at`: when, in seconds
    since 1970.
    """

    address: str
    title: str
    what: Literal["start", "joined"]
    thread: str = ""
    at: float = 0.0


def kind_of(chat: Mapping[str, Any]) -> str:
    """`private`, `group` or `channel`."""
    told = str(chat.get("type"))
    return "group" if told == "supergroup" else told


def title_of(chat: Mapping[str, Any]) -> str:
    """The chat's title, or the person's name; its number when there is neither."""
    person = " ".join(filter(None, (chat.get("first_name"), chat.get("last_name"))))
    return str(chat.get("title") or person or chat.get("username") or chat.get("id"))


def names_a_bot(updates: Sequence[Update]) -> bool:
    """Whether the bot's own name is needed to read them: several bots of a group are told apart by it."""
    return any(found["bot"] for _, found in _starts(updates))


def arrivals(updates: Sequence[Update], username: str) -> list[Arrival]:
    """Who asks, in order. `username`: the bot's own, without `@`."""
    found: list[Arrival] = []
    for update in updates:
        for message, start in _starts([update]):
            if not start["bot"] or start["bot"].lower() == username.lower():
                thread = str(message.get("message_thread_id") or "") if message.get("is_topic_message") else ""
                chat = message["chat"]
                when = float(message.get("date") or 0)
                found.append(Arrival(str(chat["id"]), title_of(chat), "start", thread, when))
        member = update.get("my_chat_member") or {}
        was, now = (str((member.get(which) or {}).get("status")) for which in ("old_chat_member", "new_chat_member"))
        chat = member.get("chat")
        if chat and now in _IN and was not in _IN:
            found.append(Arrival(str(chat["id"]), title_of(chat), "joined", at=float(member.get("date") or 0)))
    return found


def _starts(updates: Sequence[Update]) -> Iterator[tuple[Mapping[str, Any], re.Match[str]]]:
    for update in updates:
        message = update.get("message") or {}
        found = _START.match(str(message.get("text") or ""))
        if found and kind_of(message.get("chat") or {}) in ("private", "group"):
            yield message, found
