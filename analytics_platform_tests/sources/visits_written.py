"""Files of visits in a few words, and what is read from them."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from analytics_platform.sources.problems import EventFileError
from analytics_platform.sources.visits import VisitReader

VISITOR = "0123456789abcdef0123456789abcdef"
EVENT = {
    "adblock": False,
    "created": "2019-06-20T18:35:06.523086+09:00",
    "hash": "#team",
    "ip_address": "203.0.113.9",
    "language": "ja",
    "navigator_platform": "Win32",
    "pathname": "/en/",
    "request_id": "5b0ee6b4-93d5-4b3e-a4b5-0c7a3a3f9d10",
    "type": "page",
    "user_agent": "Mozilla/5.0",
}

Write = Callable[..., Path]


def document(*events: object, **site: Any) -> dict[str, Any]:
    """One account with one site and one visitor, who has these events."""
    below = {
        "domain": "example.org",
        "metadata": {"plan": "free", "at": [1, 2]},
        "provider": "fb",
        "type": "website",
        "visitors": {VISITOR: {"events": list(events), "sender_id": "77"}},
    }
    return {"id": "account-1", "name": "Ours", "properties": {"site-1": below | site}}


def event(number: int, **fields: object) -> dict[str, object]:
    """An event with an id of its own."""
    return EVENT | {"request_id": f"request-{number}"} | fields


def writer(folder: Path) -> Write:
    """Writes a document, or bytes, into that folder; gzipped by its name."""

    def write(content: object, name: str = "events.json") -> Path:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return path

    return write


def read(*paths: Path, **options: Any) -> list[dict[str, Any]]:
    """The rows of nested files."""
    reader = VisitReader(paths, **options)
    return [row for batch in reader.batches() for row in batch.to_pylist()]


def failure(*paths: Path, **options: Any) -> str:
    """The sentence by which reading them fails."""
    with pytest.raises(EventFileError) as caught:
        read(*paths, **options)
    return str(caught.value)
