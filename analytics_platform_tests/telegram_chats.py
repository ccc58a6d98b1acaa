"""What the stand-in tells about chats: who they are, and what people do in them.

Belongs here: chats and updates in the Bot API's form, checked by aiogram's models. Does not: messages that the bot
sends (`telegram_server.py`).
"""

import json
import time
from typing import Any

from analytics_platform_tests.bot_api import ChatFullInfo, ChatMemberAdministrator, Update, User

BOT = User(id=1234567890, is_bot=True, first_name="Stand-in", username="stand_in_bot")


def chat(address: str, title: str = "") -> dict[str, Any]:
    """A chat: digits are a person, `@name` is a channel, what begins with `-` is a group."""
    if address.isdigit():
        return {"id": int(address), "type": "private", "first_name": title or f"Person {address}"}
    if address.startswith("@"):
        return {"id": -(10**12), "type": "channel", "title": title or address, "username": address[1:]}
    return {"id": int(address), "type": "supergroup", "title": title or f"Group {address}"}


def full_chat(address: str, title: str = "") -> dict[str, Any]:
    """The answer of getChat."""
    kinds = ("unlimited_gifts", "limited_gifts", "unique_gifts", "premium_subscription", "gifts_from_channels")
    gifts = dict.fromkeys(kinds, False)
    told = chat(address, title) | {"accent_color_id": 0, "max_reaction_count": 11, "accepted_gift_types": gifts}
    ChatFullInfo.model_validate(told)
    return told


def message(number: int, address: str, text: str, *, thread: int | None = None, title: str = "") -> dict[str, Any]:
    """Somebody writes a message."""
    topic = {"message_thread_id": thread, "is_topic_message": True} if thread else {}
    told = {"message_id": number, "date": int(time.time()), "chat": chat(address, title), "text": text, **topic}
    return _checked({"update_id": number, "message": {**told, "from": _person(address)}})


def membership(number: int, address: str, was: str, now: str, *, title: str = "") -> dict[str, Any]:
    """Somebody lets the bot in, throws it out, makes it an administrator."""
    told = {
        "chat": chat(address, title),
        "from": _person(address),
        "date": int(time.time()),
        "old_chat_member": _member(was),
        "new_chat_member": _member(now),
    }
    return _checked({"update_id": number, "my_chat_member": told})


def _person(address: str) -> dict[str, Any]:
    return {"id": int(address) if address.isdigit() else 7, "is_bot": False, "first_name": "Ann"}


def _member(status: str) -> dict[str, Any]:
    user = json.loads(BOT.model_dump_json(exclude_none=True))
    rights = [name for name, right in ChatMemberAdministrator.model_fields.items() if right.annotation is bool]
    extra: dict[str, dict[str, Any]] = {
        "kicked": {"until_date": 0},
        "administrator": dict.fromkeys(rights, False),
    }
    return {"status": status, "user": user, **extra.get(status, {})}


def _checked(update: dict[str, Any]) -> dict[str, Any]:
    Update.model_validate(update)
    return update
