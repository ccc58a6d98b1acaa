"""What comes over the wire to a Bot API server: its bot's token, forms with files, and Telegram's HTML.

Belongs here: reading, apart from the product's own handling of markup, with complaints in Telegram's words.
Does not: limits of length and number (`telegram_server.py`).
"""

import re
from typing import Any
from urllib.parse import parse_qs

# Here, because whoever only sends need not wait seconds until the server's models are imported.
TOKEN = "1234567890:AAF-stand_in_for_tests_0123456789abcde"
_TAGS = {"b", "strong", "i", "em", "u", "ins", "s", "strike", "del", "span"}
_TAGS |= {"tg-spoiler", "tg-emoji", "a", "code", "pre", "blockquote"}
_NAMED = {"lt": "<", "gt": ">", "amp": "&", "quot": '"'}
_MARKUP = re.compile(r"<(?P<end>/?)(?P<name>[a-zA-Z0-9-]*)[^<>]*>?|&(?P<entity>#\d+|#x[\da-fA-F]+|lt|gt|amp|quot);")


class MarkupError(Exception):
    """The HTML cannot be read; the message is what Telegram says after "Bad Request: "."""


def parse_html(source: str) -> tuple[str, int]:
    """Text without markup and the number of entities in it. Raises MarkupError."""
    text: list[str] = []
    stack: list[str] = []
    entities = position = 0
    for match in _MARKUP.finditer(source):
        text.append(source[position : match.start()])
        position = match.end()
        if entity := match["entity"]:
            text.append(_NAMED.get(entity) or chr(int(entity[2:], 16) if entity[1] == "x" else int(entity[1:])))
            continue
        name, at = match["name"].lower(), len(source[: match.start()].encode())
        if not match["end"] and name not in _TAGS:
            raise MarkupError(f"can't parse entities: Unsupported start tag {name!r} at byte offset {at}")
        if not match[0].endswith(">"):
            raise MarkupError(f"can't parse entities: Unclosed tag at byte offset {at}")
        if not match["end"]:
            stack.append(name)
            entities += 1
        elif not stack:
            raise MarkupError(f"can't parse entities: Unexpected end tag at byte offset {at}")
        elif stack.pop() != name:
            raise MarkupError(f"can't parse entities: Unmatched end tag at byte offset {at}")
    if stack:
        raise MarkupError(f"can't parse entities: Can't find end tag corresponding to start tag {stack[-1]!r}")
    return "".join([*text, source[position:]]), entities


def read_form(content_type: str, body: bytes) -> tuple[dict[str, Any], dict[str, tuple[str, bytes]]]:
    """Fields, and files as (name, content), of a urlencoded or multipart request."""
    if not content_type.startswith("multipart/form-data"):
        return {name: values[0] for name, values in parse_qs(body.decode(), keep_blank_values=True).items()}, {}
    fields: dict[str, Any] = {}
    files: dict[str, tuple[str, bytes]] = {}
    boundary = content_type.split("boundary=", 1)[1].encode()
    for part in body.split(b"--" + boundary)[1:-1]:
        head, _, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        names = dict(re.findall(r'\b(name|filename)="([^"]*)"', head.decode()))
        content = content.removesuffix(b"\r\n")
        if "filename" in names:
            files[names["name"]] = (names["filename"], content)
        else:
            fields[names["name"]] = content.decode()
    return fields, files
