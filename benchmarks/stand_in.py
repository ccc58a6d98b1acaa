"""The Bot API stand-in of the tests in a process of its own, with Telegram's published pace enforced.

Belongs here: starting it, and what it counted. Does not: how it answers
(`analytics_platform_tests/telegram_server.py`), who sends to it (`delivery.py`). Light: what the server imports stays
out of the measured process.
"""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SOURCES = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Seen:
    """What the server saw. `floods`: answers 429; `uploads`: files that came as such and were accepted.

    `lines`: how many chats got the same methods in the same order.
    """

    requests: int
    messages: int
    floods: int
    uploads: int
    lines: Mapping[str, int]


class StandIn:
    """A running server; it ends when it is closed, or with this process."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "benchmarks.stand_in"]
        self._process = subprocess.Popen(
            command, cwd=_SOURCES, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        told = self._answer()
        self.url, self.token = str(told["url"]), str(told["token"])

    def seen(self) -> Seen:
        """What it saw so far."""
        if self._process.stdin is None:
            raise RuntimeError("the stand-in has no input")
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return Seen(**self._answer())

    def close(self) -> None:
        """End it."""
        self._process.communicate()

    def _answer(self) -> dict[str, Any]:
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise RuntimeError(f"the stand-in ended with {self._process.wait()}")
        return dict(json.loads(line))


def _serve() -> None:
    """Each line of input is answered by what was seen."""
    from analytics_platform_tests.telegram_server import telegram_server

    with telegram_server(limits=True, keep_content=False) as server:
        print(json.dumps({"url": server.url, "token": server.token}), flush=True)
        for _ in sys.stdin:
            accepted = list(server.accepted)
            lines: dict[str, list[str]] = {}
            for one in accepted:
                lines.setdefault(one.chat, []).append(one.method)
            told = {
                "requests": len(server.requests),
                "messages": sum(len(one.message_ids) for one in accepted),
                "floods": server.floods,
                "uploads": sum(media.uploaded for one in accepted for media in one.media),
                "lines": Counter(" ".join(methods) for methods in lines.values()),
            }
            print(json.dumps(told), flush=True)


if __name__ == "__main__":
    _serve()
