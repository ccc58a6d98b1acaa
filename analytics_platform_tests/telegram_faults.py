"""How the stand-in says no, in Telegram's words.

Belongs here: statuses and descriptions. Does not: when (`telegram_server.py`).
"""

_ANSWERS = {
    "blocked": (403, "Forbidden: bot was blocked by the user"),
    "kick": (403, "Forbidden: bot was kicked from the supergroup chat"),
    "entities": (400, "Bad Request: can't parse entities: Unsupported start tag"),
    "topic_gone": (400, "Bad Request: message thread not found"),
    "bad_token": (401, "Unauthorized"),
    "too_large": (413, "Request Entity Too Large"),
    "conflict": (409, "Conflict: terminated by other getUpdates request"),
    "bad_gateway": (502, "Bad Gateway"),
    "accepted_bad_gateway": (502, "Bad Gateway"),
    "page": (200, "Welcome to this network"),
}


class RefusalError(Exception):
    """An answer other than success."""

    def __init__(self, code: int, description: str, **parameters: float) -> None:
        super().__init__(description)
        self.code, self.description, self.parameters = code, description, parameters


def refusal(kind: str, value: float | str | None = None) -> RefusalError:
    """What is answered for a `Fault` of that kind and value."""
    number = value if isinstance(value, int | float) else 1
    match kind:
        case "flood":
            return RefusalError(429, f"Too Many Requests: retry after {number}", retry_after=number)
        case "migrate":
            description = "Bad Request: group chat was upgraded to a supergroup chat"
            return RefusalError(400, description, migrate_to_chat_id=int(number))
        case "bad_request":
            return RefusalError(400, f"Bad Request: {value}")
        case "forbidden":
            return RefusalError(403, f"Forbidden: {value}")
    return RefusalError(*_ANSWERS[kind])
