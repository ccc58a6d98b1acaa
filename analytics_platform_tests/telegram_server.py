"""A Bot API server on this machine, for tests: `with telegram_server() as server: ...`.

Belongs here: what Telegram accepts and refuses as documented, and faults on demand. Does not: the published pace
(`telegram_limits.py`), chats and updates (`telegram_chats.py`); Telegram's real flood limits, the corner cases of its
HTML parser and its rules for picture proportions cannot be shown here at all.

Requests are validated by and answers built with aiogram's models, a second implementation of the Bot API's schema,
so an error shared with python-telegram-bot is unlikely. By hand:
`python -m analytics_platform_tests.telegram_server --limits`.
"""

import argparse
import hashlib
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count, islice
from threading import Event, Lock, Thread
from typing import Any, Literal
from urllib.parse import parse_qsl, urlsplit

import aiogram.methods
from aiogram.types import Message as Sent
from aiogram.types import User
from pydantic import ValidationError

from analytics_platform_tests.telegram_chats import BOT, chat, full_chat, membership, message
from analytics_platform_tests.telegram_faults import RefusalError, refusal
from analytics_platform_tests.telegram_limits import Limits
from analytics_platform_tests.telegram_wire import MarkupError, parse_html, read_form

TOKEN = "1234567890:AAF-stand_in_for_tests_0123456789abcde"

# The last line accepts before it goes wrong.
FaultKind = Literal[
    "flood", "blocked", "kick", "forbidden", "bad_request", "entities", "topic_gone", "migrate", "bad_token",
    "too_large", "conflict", "bad_gateway", "page",
    "accepted_bad_gateway", "stall", "drop",
]  # fmt: skip
_AFTER_ACCEPTING = ("accepted_bad_gateway", "stall", "drop")
_METHODS = {m.__api_method__: m for m in vars(aiogram.methods).values() if getattr(m, "__api_method__", None)}
# Lists and objects, which come as JSON in a field.
_NESTED = ("media", "reply_markup", "link_preview_options", "reply_parameters", "allowed_updates")
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


@dataclass(frozen=True)
class Accepted:
    """One request that the server took; `at` is monotonic seconds."""

    method: str
    chat: str
    thread: int | None
    text: str
    entities: int
    media: tuple[Media, ...]
    message_ids: tuple[int, ...]
    previews_disabled: bool
    silent: bool
    at: float


@dataclass
class Fault:
    """What goes wrong, for the next `times` requests that match; None matches all, 0 times is for ever.

    `value`: seconds for flood, the new id for migrate, the description for
    bad_request and forbidden. `topic_gone` matches requests
    with a topic only, `entities` those with markup.
    """

    kind: FaultKind
    method: str | None = None
    chat: str | None = None
    times: int = 1
    value: float | str | None = None

    def matches(self, method: str, chat: str, fields: dict[str, Any]) -> bool:
        """Whether it happens to this request."""
        needed = {"topic_gone": "message_thread_id", "entities": "parse_mode"}.get(self.kind)
        here = self.method in (None, method) and self.chat in (None, chat)
        return here and (needed is None or needed in fields)


@dataclass
class TelegramServer:
    """The server's address, what it accepted in order, and every request's (method, chat), refused ones included.

    `floods`: requests refused for coming too fast, where the pace is enforced. `titles`: of chats, by address.
    """

    url: str = ""
    token: str = TOKEN
    accepted: list[Accepted] = field(default_factory=list)
    requests: list[tuple[str, str]] = field(default_factory=list)
    updates: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, Media] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    titles: dict[str, str] = field(default_factory=dict)
    floods: int = 0
    limits: Limits | None = None
    keep_content: bool = True
    clock: Callable[[], float] = time.monotonic
    closing: Event = field(default_factory=Event)
    _lock: Lock = field(default_factory=Lock)
    _message_ids: "count[int]" = field(default_factory=lambda: count(1))
    _update_ids: "count[int]" = field(default_factory=lambda: count(1))

    def to(self, chat: int | str) -> list[Accepted]:
        """What this chat got, in order."""
        return [accepted for accepted in self.accepted if accepted.chat == str(chat)]

    def press_start(self, address: int | str, text: str = "/start", *, thread: int | None = None) -> None:
        """Somebody sends that to the bot."""
        told = message(next(self._update_ids), str(address), text, thread=thread, title=self._title(address))
        self.updates.append(told)

    def let_in(self, address: int | str, *, was: str = "left", now: str = "member") -> None:
        """The bot's place in a chat changes: left, kicked, member, administrator."""
        told = membership(next(self._update_ids), str(address), was, now, title=self._title(address))
        self.updates.append(told)

    def _title(self, address: int | str) -> str:
        return self.titles.get(str(address), "")

    def handle(self, token: str, method: str, fields: dict[str, Any], files: dict[str, tuple[str, bytes]]) -> Any:
        """The result of one request. Raises `RefusalError`, and `_SilenceError` after accepting for stall and drop."""
        with self._lock:
            address = str(fields.get("chat_id", ""))
            self.requests.append((method, address))
            if token != self.token:
                raise RefusalError(401, "Unauthorized")
            fault = self._fault(method, address, fields)
            if fault and fault.kind not in _AFTER_ACCEPTING:
                raise refusal(fault.kind, fault.value)
            if method not in _METHODS:
                raise RefusalError(404, "Not Found: method not found")
            result = self._accept(method, address, fields, files)
        if fault and fault.kind == "accepted_bad_gateway":
            raise refusal(fault.kind, fault.value)
        if fault:
            raise _SilenceError(stall=fault.kind == "stall")
        return result

    def _fault(self, method: str, address: str, fields: dict[str, Any]) -> Fault | None:
        for fault in self.faults:
            if fault.matches(method, address, fields):
                if fault.times == 1:
                    self.faults.remove(fault)
                fault.times -= 1
                return fault
        return None

    def _accept(self, method: str, address: str, fields: dict[str, Any], files: dict[str, tuple[str, bytes]]) -> Any:
        fields = {name: json.loads(value) if name in _NESTED else value for name, value in fields.items()}
        model = _METHODS[method]
        named = {name: f"file:{file[0]}" for name, file in files.items() if name in model.model_fields}
        try:
            model.model_validate({**fields, **named})
        except ValidationError as error:
            raise RefusalError(400, f"Bad Request: {error.errors()[0]['loc']} {error.errors()[0]['msg']}") from error
        if method == "getMe":
            return _dump(BOT)
        if method == "getChat":
            return full_chat(address, self._title(address))
        if method == "getUpdates":
            offset = int(fields.get("offset") or 0)
            self.updates = [update for update in self.updates if update["update_id"] >= offset]
            kinds = fields.get("allowed_updates") or []
            return [update for update in self.updates if not kinds or update.keys() & set(kinds)][:100]
        if method not in ("sendMessage", "sendPhoto", "sendDocument", "sendMediaGroup"):
            return True
        return self._message(method, address, fields, files)

    def _message(self, method: str, address: str, fields: dict[str, Any], files: dict[str, tuple[str, bytes]]) -> Any:
        markup = fields.get("parse_mode")
        text, entities = _read(fields.get("text") or "", markup)
        media: list[Media] = []
        if method == "sendMessage":
            _limit(text, 4096, "message is too long")
            if not text.strip():
                raise RefusalError(400, "Bad Request: message text is empty")
        elif method == "sendMediaGroup":
            items = fields["media"]
            if not 2 <= len(items) <= 10:
                raise RefusalError(400, "Bad Request: wrong number of media in the group, 2-10 expected")
            if len({item["type"] for item in items}) > 1:
                raise RefusalError(400, "Bad Request: documents can't be mixed with other media types")
            media = [self._media(item["type"], item["media"], files, item.get("caption"), markup) for item in items]
        else:
            kind = method.removeprefix("send").lower()
            media = [self._media(kind, fields.get(kind, f"attach://{kind}"), files, fields.get("caption"), markup)]
        number = max(len(media), 1)
        if self.limits and (seconds := self.limits.refusal(address, number)):
            self.floods += 1
            raise refusal("flood", seconds)
        thread = int(fields["message_thread_id"]) if fields.get("message_thread_id") else None
        accepted = Accepted(
            method,
            address,
            thread,
            text or (media[0].caption if media else ""),
            entities,
            tuple(media),
            tuple(islice(self._message_ids, number)),
            bool((fields.get("link_preview_options") or {}).get("is_disabled")),
            str(fields.get("disable_notification", "")).lower() == "true",
            self.clock(),
        )
        self.accepted.append(accepted)
        sent = [_sent(accepted, place) for place in range(number)]
        return sent if method == "sendMediaGroup" else sent[0]

    def _media(
        self, kind: str, source: str, files: dict[str, tuple[str, bytes]], caption: str | None, markup: str | None
    ) -> Media:
        shown, _ = _read(caption or "", markup)
        _limit(shown, 1024, "message caption is too long")
        if not source.startswith("attach://"):
            if source not in self.files or self.files[source].kind != kind:
                raise RefusalError(400, "Bad Request: wrong file identifier/HTTP URL specified")
            return replace(self.files[source], caption=shown, uploaded=False)
        name, content = files[source.removeprefix("attach://")]
        if not content:
            raise RefusalError(400, "Bad Request: file must be non-empty")
        if len(content) > (10_000_000 if kind == "photo" else 50_000_000):
            raise RefusalError(413, "Request Entity Too Large")
        if kind == "photo" and not content.startswith(_PICTURES):
            raise RefusalError(400, "Bad Request: IMAGE_PROCESS_FAILED")
        digest = hashlib.sha256(content).hexdigest()
        kept = content if self.keep_content else b""
        media = Media(kind, f"{kind}-{digest[:24]}", name, kept, len(content), digest, shown)
        self.files[media.file_id] = media
        return media


class _SilenceError(Exception):
    def __init__(self, *, stall: bool) -> None:
        super().__init__("no answer")
        self.stall = stall


def _limit(text: str, limit: int, complaint: str) -> None:
    if len(text.encode("utf-16-le")) // 2 > limit:
        raise RefusalError(400, f"Bad Request: {complaint}")


def _read(source: str, markup: str | None) -> tuple[str, int]:
    try:
        return parse_html(source) if markup == "HTML" else (source, 0)
    except MarkupError as error:
        raise RefusalError(400, f"Bad Request: {error}") from error


def _sent(accepted: Accepted, number: int) -> dict[str, Any]:
    told: dict[str, Any] = {
        "message_id": accepted.message_ids[number],
        "date": int(time.time()),
        "chat": chat(accepted.chat),
        "from": BOT,
        "text": accepted.text,
    }
    if accepted.thread:
        told |= {"message_thread_id": accepted.thread, "is_topic_message": True}
    if accepted.media:
        media = accepted.media[number]
        del told["text"]
        one = {"file_id": media.file_id, "file_unique_id": media.file_id[-16:], "file_size": media.size}
        if media.kind == "photo":
            told["photo"] = [{**one, "width": 800, "height": 600}]
        else:
            told["document"] = {**one, "file_name": media.filename}
        told |= {"caption": media.caption} if media.caption else {}
    return _dump(Sent.model_validate(told))


def _dump(model: Sent | User) -> dict[str, Any]:
    return dict(json.loads(model.model_dump_json(exclude_none=True, by_alias=True, exclude_unset=True)))


def _handler(server: TelegramServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Head and body are two writes: held back, the second would wait 40 ms for a word of the other side.
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            fields, files = read_form(self.headers.get("Content-Type", ""), body)
            address = urlsplit(self.path)
            fields |= dict(parse_qsl(address.query))
            _, bot, method = address.path.split("/", 2)
            try:
                status, answer = (
                    200,
                    {"ok": True, "result": server.handle(bot.removeprefix("bot"), method, fields, files)},
                )
            except RefusalError as error:
                status = error.code
                answer = {"ok": False, "error_code": status, "description": error.description}
                answer |= {"parameters": error.parameters} if error.parameters else {}
            except _SilenceError as silence:
                if silence.stall:
                    server.closing.wait(30)
                self.close_connection = True
                return
            # A gateway speaks HTML: Telegram's when the servers behind it do not answer, an inn's to its guests.
            page = status == 502 or (status == 200 and not answer["ok"])
            payload = f"<html>{answer['description']}</html>".encode() if page else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Silence: the address would show the token."""

    return Handler


class _Listener(ThreadingHTTPServer):
    # Five by default: who comes sixth at the same moment would wait a second.
    request_queue_size = 128


@contextmanager
def telegram_server(
    port: int = 0, *, limits: bool = False, keep_content: bool = True, clock: Callable[[], float] = time.monotonic
) -> Iterator[TelegramServer]:
    """A running server on 127.0.0.1, any free port by default; `server.url` is the TELEGRAM_API_URL for it.

    `limits`: what comes faster than Telegram's published pace is refused. `keep_content`: of files; without it, their
    sizes and digests alone, for many recipients. `clock`: seconds, for the pace and `Accepted.at`.
    """
    server = TelegramServer(limits=Limits(clock) if limits else None, keep_content=keep_content, clock=clock)
    listener = _Listener(("127.0.0.1", port), _handler(server))
    server.url = f"http://127.0.0.1:{listener.server_port}"
    thread = Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        listener.shutdown()
        listener.server_close()
        thread.join()


def _by_hand() -> None:
    told = argparse.ArgumentParser(description="A Bot API server on this machine; shows what it receives.")
    told.add_argument("--port", type=int, default=8081)
    told.add_argument("--limits", action="store_true", help="refuse what comes faster than Telegram's published pace")
    told.add_argument("--start", action="append", default=[], metavar="CHAT", help="a chat in which /start is sent")
    asked = told.parse_args()
    with telegram_server(asked.port, limits=asked.limits, keep_content=False) as running:
        print(f"TELEGRAM_API_URL={running.url}\nTELEGRAM_BOT_TOKEN={running.token}\nStop with Ctrl-C.", flush=True)
        for address in asked.start:
            running.press_start(address)
        floods = 0
        while True:
            time.sleep(0.5)
            new = running.accepted[:]
            # Nothing is kept once it is shown: it may run for weeks.
            del running.accepted[: len(new)], running.requests[:]
            for one in new:
                files = (media.filename for media in one.media)
                print(one.method, one.chat, one.thread or "", one.text, *files, flush=True)
            if running.floods > floods:
                floods = running.floods
                print(f"{floods} requests came too fast", flush=True)


if __name__ == "__main__":
    _by_hand()
