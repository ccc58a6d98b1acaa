"""What Telegram's answers prove about a part: accepted, refused, not accepted, or unknown.

Belongs here: reading of answers other than success, and the sentences people get about them. Does not: requests and
retries (`telegram.py`).
"""

import json
from dataclasses import dataclass
from typing import Any

from analytics_platform.channels.base import Outcome
from analytics_platform.redaction import redact

TOKEN_REFUSED = "TELEGRAM_BOT_TOKEN is not accepted, get one from @BotFather"  # noqa: S105
NO_ANSWER = "Telegram gave no answer, so this may or may not have arrived: look into the chat before sending it again"

_CHAT_GONE = ("chat not found", "message thread not found", "topic_deleted", "topic_closed", "peer_id_invalid")
_NOT_A_PICTURE = ("photo_", "image_process_failed")


@dataclass(frozen=True)
class Answer:
    """An answer with a status other than 2xx. `retry_after`: seconds; `new_chat`: where a group has moved to."""

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
        extra = body.get("parameters") or {}
        return cls(
            code,
            redact(str(body.get("description") or f"HTTP status {code}")).rstrip("."),
            extra.get("retry_after"),
            extra.get("migrate_to_chat_id"),
        )

    @property
    def _says(self) -> str:
        return self.description.lower()

    @property
    def chat_is_gone(self) -> bool:
        """No part can reach this chat any more."""
        return self.code == 403 or (self.code == 400 and any(sign in self._says for sign in _CHAT_GONE))

    @property
    def markup_is_unreadable(self) -> bool:
        """The text's HTML was not understood."""
        return self.code == 400 and "can't parse entities" in self._says

    @property
    def not_a_picture(self) -> bool:
        """The file is not taken as a picture, for its proportions, size or content; it may be taken as a file."""
        return self.code == 400 and any(sign in self._says for sign in _NOT_A_PICTURE)


@dataclass(frozen=True)
class Problem:
    """Why a part is not known to have been accepted. `detail` is one sentence or two, without secrets."""

    outcome: Outcome
    detail: str
    chat_gone: bool = False
    token_refused: bool = False


def judge(answer: Answer, *, own_server: bool) -> Problem:
    """What the answer proves. `own_server`: the Bot API's address was configured and may be the mistake."""
    said = f"Telegram answered: {answer.description}."
    if answer.code >= 500:
        return Problem(Outcome.UNCERTAIN, f"{NO_ANSWER} ({answer.description}).")
    if answer.code in (401, 404):
        hint = "; or TELEGRAM_API_URL is not the address of a Bot API server" if own_server else ""
        return Problem(Outcome.REFUSED, f"{TOKEN_REFUSED}{hint}.", token_refused=True)
    if answer.code == 429:
        return Problem(Outcome.NOT_SENT, f"{said} Send it again later.")
    if answer.chat_is_gone:
        advice = "Check the chat's id and topic, and let the bot in, or take the chat off TELEGRAM_CHAT_IDS."
        return Problem(Outcome.REFUSED, f"{said} {advice}", chat_gone=True)
    return Problem(Outcome.REFUSED, said)


def moved(configured: str, new_chat: int) -> str:
    """What to do about a chat that has a new id; its topic stays."""
    _, slash, topic = configured.partition("/")
    return f"The group has a new id: put {new_chat}{slash}{topic} in place of {configured} in TELEGRAM_CHAT_IDS."
