"""A Bot API server on this machine, for tests: `with telegram_server() as server: ...`.

Belongs here: what Telegram accepts and refuses as documented, and faults on demand. Does not: the published pace
(`telegram_limits.py`), chats and updates (`telegram_chats.py`); Telegram's real flood limits, the corner cases of its
HTML parser and its rules for picture proportions cannot be shown here at all.

Requests are validated by and answers built with aiogram's models, a second implementation of the Bot API's schema,
so an error shared with python-telegram-bot is unlikely. By hand:
`python -m analytics_platform_tests.telegram_server --limits`.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler
from itertools import count, islice
from threading import Event, Lock
from typing import Any, Literal
from urllib.parse import parse_qsl, urlsplit

from pydantic import BaseModel, ValidationError

from analytics_platform_tests import bot_api
from analytics_platform_tests.listening import Listener, Quiet, listening
from analytics_platform_tests.telegram_chats import BOT, chat, full_chat, membership, message
from analytics_platform_tests.telegram_faults import RefusalError, refusal
from analytics_platform_tests.telegram_kept import Chats, Kept
from analytics_platform_tests.telegram_limits import Limits
from analytics_platform_tests.telegram_media import Files, Media, limit, read_text
from analytics_platform_tests.telegram_silence import fell_silent
from analytics_platform_tests.telegram_wire import TOKEN, read_form

# The last line accepts before it goes wrong.
FaultKind = Literal[
    "flood", "blocked", "kick", "forbidden", "bad_request", "entities", "topic_gone", "migrate", "bad_token",
    "too_large", "conflict", "bad_gateway", "page",
    "accepted_bad_gateway", "stall", "drop",
]  # fmt: skip
_AFTER_ACCEPTING = ("accepted_bad_gateway", "stall", "drop")
# Lists and objects, which come as JSON in a field.
_NESTED = ("media", "reply_markup", "link_preview_options", "reply_parameters", "allowed_updates")


@dataclass(frozen=True)
class Accepted:
    """One request that the server took; `at` is monotonic seconds, `answers` the message it is an answer to."""

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
    answers: int | None = None


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

    `floods`: requests refused for coming too fast, where the pace is enforced. `titles`: of chats, by address. `chats`:
    what people see in them.
    """

    url: str = ""
    token: str = TOKEN
    accepted: list[Accepted] = field(default_factory=list)
    requests: list[tuple[str, str]] = field(default_factory=list)
    updates: list[dict[str, Any]] = field(default_factory=list)
    files: Files = field(default_factory=Files)
    faults: list[Fault] = field(default_factory=list)
    titles: dict[str, str] = field(default_factory=dict)
    chats: Chats = field(default_factory=Chats)
    floods: int = 0
    limits: Limits | None = None
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
            if method not in bot_api.METHODS:
                raise RefusalError(404, "Not Found: method not found")
            result = self._accept(method, address, fields, files)
        if fault and fault.kind == "accepted_bad_gateway":
            raise refusal(fault.kind, fault.value)
        if fault and fault.kind == "stall":
            fell_silent(address)
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
        model = bot_api.ready(bot_api.METHODS[method])
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
        if method in ("editMessageText", "editMessageCaption", "editMessageMedia"):
            return self._edit(method, address, fields, files)
        if method not in ("sendMessage", "sendPhoto", "sendDocument", "sendMediaGroup"):
            return True
        return self._message(method, address, fields, files)

    def _message(self, method: str, address: str, fields: dict[str, Any], files: dict[str, tuple[str, bytes]]) -> Any:
        markup = fields.get("parse_mode")
        text, entities = read_text(fields.get("text") or "", markup)
        media: list[Media] = []
        if method == "sendMessage":
            limit(text, 4096, "message is too long")
            if not text.strip():
                raise RefusalError(400, "Bad Request: message text is empty")
        elif method == "sendMediaGroup":
            items = fields["media"]
            if not 2 <= len(items) <= 10:
                raise RefusalError(400, "Bad Request: wrong number of media in the group, 2-10 expected")
            if len({item["type"] for item in items}) > 1:
                raise RefusalError(400, "Bad Request: documents can't be mixed with other media types")
            media = [self.files.take(item["type"], item["media"], files, item.get("caption"), markup) for item in items]
        else:
            kind = method.removeprefix("send").lower()
            media = [self.files.take(kind, fields.get(kind, f"attach://{kind}"), files, fields.get("caption"), markup)]
        number = max(len(media), 1)
        self._pace(address, number)
        reply = fields.get("reply_parameters") or {}
        answers = reply.get("message_id")
        if answers and (address, answers) not in self.chats.messages:
            if not reply.get("allow_sending_without_reply"):
                raise RefusalError(400, "Bad Request: message to be replied not found")
            answers = None
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
            answers,
        )
        self.accepted.append(accepted)
        for place, message_id in enumerate(accepted.message_ids):
            said, source = (media[place].caption, "") if media else (text, fields.get("text", ""))
            self.chats.add(Kept(address, message_id, said, source, media[place].file_id if media else ""))
        sent = [_sent(accepted, place) for place in range(number)]
        return sent if method == "sendMediaGroup" else sent[0]

    def _pace(self, address: str, messages: int) -> None:
        if self.limits and (seconds := self.limits.refusal(address, messages)):
            self.floods += 1
            raise refusal("flood", seconds)

    def _edit(self, method: str, address: str, fields: dict[str, Any], files: dict[str, tuple[str, bytes]]) -> Any:
        number = int(fields["message_id"])
        item = fields.get("media") or fields
        markup, source = item.get("parse_mode"), item.get("text") or item.get("caption") or ""
        text, entities = read_text(source, markup)
        if method == "editMessageText":
            kept = self.chats.to_edit(address, number, "text")
            limit(text, 4096, "MESSAGE_TOO_LONG")
            if not text.strip():
                raise RefusalError(400, "Bad Request: message text is empty")
        else:
            kept = self.chats.to_edit(address, number, "caption" if method == "editMessageCaption" else "media")
            limit(text, 1024, "MEDIA_CAPTION_TOO_LONG")
        media: tuple[Media, ...] = ()
        if method == "editMessageMedia":
            media = (self.files.take(item["type"], item["media"], files, source, markup),)
        self._pace(address, 1)
        self.chats.change(kept, text, source, media[0].file_id if media else "")
        accepted = Accepted(method, address, None, text, entities, media, (number,), False, True, self.clock())
        self.accepted.append(accepted)
        if method == "editMessageCaption":
            media = (replace(self.files.known[kept.picture], caption=text, uploaded=False),)
        return _sent(replace(accepted, media=media), 0, edited=True)


class _SilenceError(Exception):
    def __init__(self, *, stall: bool) -> None:
        super().__init__("no answer")
        self.stall = stall


def _sent(accepted: Accepted, number: int, *, edited: bool = False) -> dict[str, Any]:
    told: dict[str, Any] = {
        **({"edit_date": int(time.time())} if edited else {}),
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
    return _dump(bot_api.Message.model_validate(told))


def _dump(model: BaseModel) -> dict[str, Any]:
    return dict(json.loads(model.model_dump_json(exclude_none=True, by_alias=True, exclude_unset=True)))


def _handler(server: TelegramServer) -> type[BaseHTTPRequestHandler]:
    class Handler(Quiet, BaseHTTPRequestHandler):
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

    return Handler


@contextmanager
def telegram_server(
    port: int = 0, *, limits: bool = False, keep_content: bool = True, clock: Callable[[], float] = time.monotonic
) -> Iterator[TelegramServer]:
    """A running server on 127.0.0.1, any free port by default; `server.url` is the TELEGRAM_API_URL for it.

    `limits`: what comes faster than Telegram's published pace is refused. `keep_content`: of files; without it, their
    sizes and digests alone, for many recipients. `clock`: seconds, for the pace and `Accepted.at`.
    """
    server = TelegramServer(limits=Limits(clock) if limits else None, files=Files(keep_content), clock=clock)
    listener = Listener(("127.0.0.1", port), _handler(server))
    server.url = f"http://127.0.0.1:{listener.server_port}"
    with listening(listener, server.closing.set):
        yield server


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
