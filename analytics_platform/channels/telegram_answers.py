"""What Telegram's answers prove about a piece: accepted, refused, not accepted, or unknown.

Belongs here: reading of answers other than success, and the sentences people get about them. Does not: requests
(`telegram.py`), which other form of a refused piece is tried (`telegram_sender.py`).
"""

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from analytics_platform.channels.base import Outcome, Sent
from analytics_platform.redaction import redact

TOKEN_REFUSED = "TELEGRAM_BOT_TOKEN is not accepted, get one from @BotFather"  # noqa: S105
_TOKEN_SECONDS = 300.0
NO_ANSWER = "Telegram gave no answer, so this may or may not have arrived"

_NO_CHAT = ("chat not found", "peer_id_invalid")
_NO_TOPIC = ("message thread not found", "topic_deleted", "topic_closed", "topic_id_invalid")
_NOT_A_PICTURE = ("photo_", "image_process_failed")
# What Telegram says with 403 begins so; what it means, and what ends it.
_GONE = {
    "bot was blocked": "The bot was blocked by this person; unblocking it and sending it /start resumes the messages.",
    "user is deactivated": "This person's account was deleted; take it off the subscribers.",
    "bot was kicked": "The bot was removed from this chat; letting it in again resumes the messages.",
    "bot is not a member": "The bot is not in this chat; letting it in resumes the messages.",
    "bot can't initiate": "This person has never opened the bot; sending it /start begins the messages.",
}
_LEAST_PAUSE = 1.0
_SILENT_PAUSE = 5.0


@dataclass(frozen=True)
class Answer:
    """An answer with a status other than 2xx, or with one of 2xx that is not Telegram's. `new_chat`: where a group has
    moved to. `retry_after`: seconds, at least one; there with every 429."""

    code: int
    description: str
    retry_after: float | None = None
    new_chat: int | None = None

    @classmethod
    def read(cls, code: int, payload: bytes) -> "Answer":
        """From what came over the wire; a proxy's page in place of JSON is told by its status alone."""
        try:
            body: Any = json.loads(payload)
        except ValueError:
            body = None
        body = body if isinstance(body, dict) else {}
        extra = body.get("parameters")
        extra = extra if isinstance(extra, dict) else {}
        moved = extra.get("migrate_to_chat_id")
        return cls(
            code,
            redact(str(body.get("description") or f"HTTP status {code}")).rstrip("."),
            pause(extra.get("retry_after")) if code == 429 else None,
            moved if isinstance(moved, int) else None,
        )

    @property
    def _says(self) -> str:
        return self.description.lower()

    def _is(self, code: int, signs: tuple[str, ...]) -> bool:
        return self.code == code and any(sign in self._says for sign in signs)

    @property
    def chat_is_unknown(self) -> bool:
        """There is no such chat, or the bot never saw it."""
        return self._is(400, _NO_CHAT)

    @property
    def topic_is_gone(self) -> bool:
        """The chat is there, but not this topic of it, or nobody may write there any more."""
        return self._is(400, _NO_TOPIC)

    @property
    def markup_is_unreadable(self) -> bool:
        """The text's HTML was not understood."""
        return self._is(400, ("can't parse entities",))

    @property
    def not_a_picture(self) -> bool:
        """The file is not taken as a picture, for its proportions, size or content; it may be taken as a file."""
        return self._is(400, _NOT_A_PICTURE)

    @property
    def changes_nothing(self) -> bool:
        """The message says what it is to say already."""
        return self._is(400, ("message is not modified", "message_not_modified"))

    @property
    def has_no_text(self) -> bool:
        """The message to edit is a picture, which has a caption."""
        return self._is(400, ("no text in the message to edit",))

    @property
    def has_no_caption(self) -> bool:
        """The message to edit is a text."""
        return self._is(400, ("no caption in the message to edit",))

    @property
    def takes_no_picture(self) -> bool:
        """The message is a text that cannot be made a picture: an older Bot API server, or nobody may edit it."""
        return self._is(400, ("no media in the message to edit", "message can't be edited"))

    @property
    def token_is_refused(self) -> bool:
        """The bot's token is not accepted, or this is no Bot API server."""
        return self.code in (401, 404)


class AnswerError(Exception):
    """Telegram did not take it."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.description)
        self.answer = answer


class NoAnswerError(Exception):
    """There is no answer of Telegram's; `sent` says what that proves."""

    def __init__(self, sent: Sent) -> None:
        super().__init__(sent.detail)
        self.sent = sent


def pause(asked: object) -> float:
    """Seconds to wait, at least one, as Telegram or its library says them: a number or a timedelta."""
    if isinstance(asked, timedelta):
        asked = asked.total_seconds()
    # A 429 that does not say how long, as a proxy's does, is taken seriously all the same.
    return max(float(asked), _LEAST_PAUSE) if isinstance(asked, int | float) else _SILENT_PAUSE


def judge(answer: Answer, *, own_server: bool) -> Sent:
    """What the answer proves. `own_server`: the Bot API's address was configured and may be the mistake."""
    said = f"Telegram answered: {answer.description}."
    if answer.code >= 500 or answer.code == 408 or answer.code < 300:
        return unknown(answer.description)
    if answer.token_is_refused:
        # Asking again within seconds would not mend it.
        return Sent(Outcome.NOT_SENT, token_refused(own_server=own_server), retry_after=_TOKEN_SECONDS)
    if answer.code == 429:
        return Sent(Outcome.NOT_SENT, said, retry_after=answer.retry_after)
    if answer.new_chat is not None:
        return Sent(Outcome.NOT_SENT, f"The group has a new id, {answer.new_chat}.", moved_to=str(answer.new_chat))
    if answer.code == 403:
        return Sent(Outcome.REFUSED, said, gone=_gone(answer))
    if answer.chat_is_unknown:
        return Sent(Outcome.REFUSED, f"{said} Check the chat's id, and let the bot in.")
    if answer.topic_is_gone:
        return Sent(Outcome.REFUSED, f"{said} Open the topic again, or choose another one.")
    if answer.code == 413:
        return Sent(Outcome.REFUSED, f"{said} The file is too big for this Bot API server.")
    if answer.code == 400:
        return Sent(Outcome.REFUSED, said)
    # Not Telegram's: a proxy or relay on the way there, which may think better of it.
    return Sent(Outcome.NOT_SENT, f"{said} Something on the way to Telegram may have answered in its place.")


def unknown(reason: str) -> Sent:
    """No answer, or none that tells."""
    return Sent(Outcome.UNCERTAIN, f"{NO_ANSWER} ({reason}).")


def never_left(reason: str) -> Sent:
    """There was no connection."""
    return Sent(Outcome.NOT_SENT, f"Telegram cannot be reached ({reason}).")


def token_refused(*, own_server: bool) -> str:
    """What to do about a token that is not accepted."""
    hint = "; or TELEGRAM_API_URL is not the address of a Bot API server" if own_server else ""
    return f"{TOKEN_REFUSED}{hint}."


def _gone(answer: Answer) -> str:
    says = answer.description.lower()
    for sign, sentence in _GONE.items():
        if sign in says:
            return sentence
    return f"Telegram answered: {answer.description}. Letting the bot in or sending it /start resumes the messages."
