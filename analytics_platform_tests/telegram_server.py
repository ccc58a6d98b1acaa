"""A Bot API server on this machine, for tests: `with telegram_server() as server: ...`.

Belongs here: what Telegram accepts and refuses as documented, and faults on demand. Does not: Telegram's real flood
limits, the corner cases of its HTML parser, its rules for picture proportions; none of those can be shown here.

Requests are validated by and answers built with aiogram's models, a second implementation of the Bot API's schema,
so an error shared with python-telegram-bot is unlikely. By hand:
`python -m analytics_platform_tests.telegram_server`.
"""

import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread
from typing import Any, Literal

import aiogram.methods
from aiogram.types import Message as Sent
from aiogram.types import User
from pydantic import ValidationError

from analytics_platform_tests.telegram_wire import MarkupError, parse_html, read_form

TOKEN = "1234567890:AAF-stand_in_for_tests_0123456789abcde"

FaultKind = Literal["flood", "blocked", "bad_request", "migrate", "bad_token", "bad_gateway", "stall", "drop"]
_METHODS = {m.__api_method__: m for m in vars(aiogram.methods).values() if getattr(m, "__api_method__", None)}
_NESTED = ("media", "reply_markup", "link_preview_options", "entities", "caption_entities", "reply_parameters")
_BOT = User(id=1234567890, is_bot=True, first_name="Stand-in", username="stand_in_bot")
_ANSWERS = {
    "blocked": (403, "Forbidden: bot was blocked by the user"),
    "bad_token": (401, "Unauthorized"),
    "bad_gateway": (502, "Bad Gateway"),
}
_PICTURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")


@dataclass(frozen=True)
class Media:
    """One file as accepted; `uploaded` is False where a file id was sent in place of the file."""

    kind: str
    file_id: str
    filename: str
    content: bytes
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
    at: float


@dataclass
class Fault:
    """What goes wrong, for the next `times` requests that match; None matches all, 0 times is for ever.

    `value`: seconds for flood, the new id for migrate, the description for bad_request.
    """

    kind: FaultKind
    method: str | None = None
    chat: str | None = None
    times: int = 1
    value: int | str | None = None


class _RefusalError(Exception):
    def __init__(self, code: int, description: str, **parameters: int) -> None:
        super().__init__(description)
        self.code, self.description, self.parameters = code, description, parameters


@dataclass
class TelegramServer:
    """The server's address, what it accepted in order, and every request's (method, chat), refused ones included."""

    url: str = ""
    token: str = TOKEN
    accepted: list[Accepted] = field(default_factory=list)
    requests: list[tuple[str, str]] = field(default_factory=list)
    updates: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, Media] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    closing: Event = field(default_factory=Event)
    _lock: Lock = field(default_factory=Lock)

    def to(self, chat: int | str) -> list[Accepted]:
        """What this chat got, in order."""
        return [accepted for accepted in self.accepted if accepted.chat == str(chat)]

    def handle(self, token: str, method: str, fields: dict[str, Any], files: dict[str, tuple[str, bytes]]) -> Any:
        """The result of one request. Raises `_RefusalError`, and `_SilenceError` after accepting for stall and drop."""
        with self._lock:
            chat = str(fields.get("chat_id", ""))
            self.requests.append((method, chat))
            if token != self.token:
                raise _RefusalError(401, "Unauthorized")
            fault = self._fault(method, chat)
            if fault and fault.kind not in ("stall", "drop"):
                raise _refusal(fault)
            if method not in _METHODS:
                raise _RefusalError(404, "Not Found: method not found")
            result = self._accept(method, chat, fields, files)
        if fault:
            raise _SilenceError(stall=fault.kind == "stall")
        return result

    def _fault(self, method: str, chat: str) -> Fault | None:
        for fault in self.faults:
            if fault.method in (None, method) and fault.chat in (None, chat):
                if fault.times == 1:
                    self.faults.remove(fault)
                fault.times -= 1
                return fault
        return None

    def _accept(self, method: str, chat: str, fields: dict[str, Any], files: dict[str, tuple[str, bytes]]) -> Any:
        fields = {name: json.loads(value) if name in _NESTED else value for name, value in fields.items()}
        model = _METHODS[method]
        named = {name: f"file:{file[0]}" for name, file in files.items() if name in model.model_fields}
        try:
            model.model_validate({**fields, **named})
        except ValidationError as error:
            raise _RefusalError(400, f"Bad Request: {error.errors()[0]['loc']} {error.errors()[0]['msg']}") from error
        if method == "getMe":
            return _dump(_BOT)
        if method == "getUpdates":
            offset = int(fields.get("offset") or 0)
            self.updates = [update for update in self.updates if update["update_id"] >= offset]
            return self.updates
        if method not in ("sendMessage", "sendPhoto", "sendDocument", "sendMediaGroup"):
            return True
        return self._message(method, chat, fields, files)

    def _message(self, method: str, chat: str, fields: dict[str, Any], files: dict[str, tuple[str, bytes]]) -> Any:
        markup = fields.get("parse_mode")
        text, entities = _read(fields.get("text") or "", markup)
        media: list[Media] = []
        if method == "sendMessage":
            _limit(text, 4096, "message is too long")
            if not text.strip():
                raise _RefusalError(400, "Bad Request: message text is empty")
        elif method == "sendMediaGroup":
            items = fields["media"]
            if not 2 <= len(items) <= 10:
                raise _RefusalError(400, "Bad Request: wrong number of media in the group, 2-10 expected")
            if len({item["type"] for item in items}) > 1:
                raise _RefusalError(400, "Bad Request: documents can't be mixed with other media types")
            media = [self._media(item["type"], item["media"], files, item.get("caption"), markup) for item in items]
        else:
            kind = method.removeprefix("send").lower()
            media = [self._media(kind, fields.get(kind, f"attach://{kind}"), files, fields.get("caption"), markup)]
        count = max(len(media), 1)
        first = sum(len(accepted.message_ids) for accepted in self.accepted) + 1
        thread = int(fields["message_thread_id"]) if fields.get("message_thread_id") else None
        accepted = Accepted(
            method,
            chat,
            thread,
            text or (media[0].caption if media else ""),
            entities,
            tuple(media),
            tuple(range(first, first + count)),
            bool((fields.get("link_preview_options") or {}).get("is_disabled")),
            time.monotonic(),
        )
        self.accepted.append(accepted)
        sent = [_sent(accepted, number) for number in range(count)]
        return sent if method == "sendMediaGroup" else sent[0]

    def _media(
        self, kind: str, source: str, files: dict[str, tuple[str, bytes]], caption: str | None, markup: str | None
    ) -> Media:
        shown, _ = _read(caption or "", markup)
        _limit(shown, 1024, "message caption is too long")
        if not source.startswith("attach://"):
            if source not in self.files or self.files[source].kind != kind:
                raise _RefusalError(400, "Bad Request: wrong file identifier/HTTP URL specified")
            return replace(self.files[source], caption=shown, uploaded=False)
        name, content = files[source.removeprefix("attach://")]
        if not content:
            raise _RefusalError(400, "Bad Request: file must be non-empty")
        if len(content) > (10_000_000 if kind == "photo" else 50_000_000):
            raise _RefusalError(413, "Request Entity Too Large")
        if kind == "photo" and not content.startswith(_PICTURES):
            raise _RefusalError(400, "Bad Request: IMAGE_PROCESS_FAILED")
        media = Media(kind, f"{kind}-{hashlib.sha256(content).hexdigest()[:24]}", name, content, shown)
        self.files[media.file_id] = media
        return media


class _SilenceError(Exception):
    def __init__(self, *, stall: bool) -> None:
        super().__init__("no answer")
        self.stall = stall


def _refusal(fault: Fault) -> _RefusalError:
    number = int(fault.value) if isinstance(fault.value, int) else 1
    match fault.kind:
        case "flood":
            return _RefusalError(429, f"Too Many Requests: retry after {number}", retry_after=number)
        case "migrate":
            description = "Bad Request: group chat was upgraded to a supergroup chat"
            return _RefusalError(400, description, migrate_to_chat_id=number)
        case "bad_request":
            return _RefusalError(400, f"Bad Request: {fault.value}")
    return _RefusalError(*_ANSWERS[fault.kind])


def _limit(text: str, limit: int, complaint: str) -> None:
    if len(text.encode("utf-16-le")) // 2 > limit:
        raise _RefusalError(400, f"Bad Request: {complaint}")


def _read(source: str, markup: str | None) -> tuple[str, int]:
    try:
        return parse_html(source) if markup == "HTML" else (source, 0)
    except MarkupError as error:
        raise _RefusalError(400, f"Bad Request: {error}") from error


def _sent(accepted: Accepted, number: int) -> dict[str, Any]:
    chat = accepted.chat
    kind = "private" if chat.isdigit() else "channel" if chat.startswith("@") else "supergroup"
    message: dict[str, Any] = {
        "message_id": accepted.message_ids[number],
        "date": int(time.time()),
        "chat": {"id": -(10**12) if kind == "channel" else int(chat), "type": kind, "title": chat},
        "from": _BOT,
        "text": accepted.text,
    }
    if accepted.thread:
        message |= {"message_thread_id": accepted.thread, "is_topic_message": True}
    if accepted.media:
        media = accepted.media[number]
        del message["text"]
        one = {"file_id": media.file_id, "file_unique_id": media.file_id[-16:], "file_size": len(media.content)}
        if media.kind == "photo":
            message["photo"] = [{**one, "width": 800, "height": 600}]
        else:
            message["document"] = {**one, "file_name": media.filename}
        message |= {"caption": media.caption} if media.caption else {}
    return _dump(Sent.model_validate(message))


def _dump(model: Sent | User) -> dict[str, Any]:
    return dict(json.loads(model.model_dump_json(exclude_none=True, by_alias=True, exclude_unset=True)))


def _handler(server: TelegramServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            fields, files = read_form(self.headers.get("Content-Type", ""), body)
            _, bot, method = self.path.split("/", 2)
            try:
                status, answer = (
                    200,
                    {"ok": True, "result": server.handle(bot.removeprefix("bot"), method, fields, files)},
                )
            except _RefusalError as error:
                status = error.code
                answer = {"ok": False, "error_code": status, "description": error.description}
                answer |= {"parameters": error.parameters} if error.parameters else {}
            except _SilenceError as silence:
                if silence.stall:
                    server.closing.wait(30)
                self.close_connection = True
                return
            # Telegram's gateway speaks HTML when the servers behind it do not answer.
            payload = b"<html>Bad Gateway</html>" if status == 502 else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Silence: the address would show the token."""

    return Handler


@contextmanager
def telegram_server(port: int = 0) -> Iterator[TelegramServer]:
    """A running server on 127.0.0.1, any free port by default; `server.url` is the TELEGRAM_API_URL for it."""
    server = TelegramServer()
    listener = ThreadingHTTPServer(("127.0.0.1", port), _handler(server))
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


if __name__ == "__main__":
    with telegram_server(8081) as running:
        print(f"TELEGRAM_API_URL={running.url} TELEGRAM_BOT_TOKEN={running.token}\nStop with Ctrl-C.")
        shown = 0
        while True:
            time.sleep(0.5)
            for one in running.accepted[shown:]:
                shown += 1
                print(one.method, one.chat, one.thread or "", one.text, *(media.filename for media in one.media))
