"""Files and texts as the stand-in takes them.

Belongs here: limits of size and length, what is taken for a picture, file ids. Does not: requests
(`telegram_server.py`).
"""

import hashlib
from dataclasses import dataclass, field, replace

from analytics_platform_tests.telegram_faults import RefusalError
from analytics_platform_tests.telegram_wire import MarkupError, parse_html

_PICTURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")


@dataclass(frozen=True)
class Media:
    """One file as accepted; `uploaded` is False where a file id was sent in place of the file. `content` is empty where
    the server keeps none; `size` in bytes and `digest` (SHA-256) tell of it all the same."""

    kind: str
    file_id: str
    filename: str
    content: bytes = field(repr=False)
    size: int
    digest: str
    caption: str = ""
    uploaded: bool = True


@dataclass
class Files:
    """What was uploaded, by file id. `keep`: the contents, too."""

    keep: bool = True
    known: dict[str, Media] = field(default_factory=dict)

    def take(
        self, kind: str, source: str, files: dict[str, tuple[str, bytes]], caption: str | None, markup: str | None
    ) -> Media:
        """A file that was uploaded, or sent before. Raises RefusalError."""
        shown, _ = read_text(caption or "", markup)
        limit(shown, 1024, "message caption is too long")
        if not source.startswith("attach://"):
            if source not in self.known or self.known[source].kind != kind:
                raise RefusalError(400, "Bad Request: wrong file identifier/HTTP URL specified")
            return replace(self.known[source], caption=shown, uploaded=False)
        name, content = files[source.removeprefix("attach://")]
        if not content:
            raise RefusalError(400, "Bad Request: file must be non-empty")
        if len(content) > (10_000_000 if kind == "photo" else 50_000_000):
            raise RefusalError(413, "Request Entity Too Large")
        if kind == "photo" and not content.startswith(_PICTURES):
            raise RefusalError(400, "Bad Request: IMAGE_PROCESS_FAILED")
        digest = hashlib.sha256(content).hexdigest()
        kept = content if self.keep else b""
        media = Media(kind, f"{kind}-{digest[:24]}", name, kept, len(content), digest, shown)
        self.known[media.file_id] = media
        return media


def limit(text: str, limit: int, complaint: str) -> None:
    """Raises RefusalError for a text of more UTF-16 units."""
    if len(text.encode("utf-16-le")) // 2 > limit:
        raise RefusalError(400, f"Bad Request: {complaint}")


def read_text(source: str, markup: str | None) -> tuple[str, int]:
    """The text without markup, and how many pieces of markup. Raises RefusalError."""
    try:
        return parse_html(source) if markup == "HTML" else (source, 0)
    except MarkupError as error:
        raise RefusalError(400, f"Bad Request: {error}") from error
