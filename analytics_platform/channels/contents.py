"""The digest of messages that a channel sends as one piece.

Belongs here: what tells one content from another. Does not: how a channel cuts messages into pieces.
"""

import hashlib
from collections.abc import Sequence

from analytics_platform.messages import Album, Document, Text


def digest(messages: Sequence[Text | Album | Document]) -> str:
    """SHA-256 over all that the messages say and hold, in their order; 64 hexadecimal digits."""
    found = hashlib.sha256()
    for message in messages:
        found.update(f"{type(message).__name__}\0".encode())
        if isinstance(message, Text):
            _add(found, message.html.encode(errors="surrogatepass"))
            continue
        files = message.pictures if isinstance(message, Album) else (message,)
        found.update(f"{len(files)}\0".encode())
        for file in files:
            for value in (file.filename, file.caption):
                _add(found, value.encode(errors="surrogatepass"))
            _add(found, file.content)
    return found.hexdigest()


def _add(found: "hashlib._Hash", value: bytes) -> None:
    # With its length, so that no value can run into the next one.
    found.update(f"{len(value)}\0".encode())
    found.update(value)
