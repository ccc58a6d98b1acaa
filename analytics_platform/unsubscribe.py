"""The page behind the unsubscribe link of a mail, and the button that mail programs make of it (RFC 8058).

Belongs here: the link, the page, what a press of its buttons ends. Does not: who subscribed to what
(`state/subscribers.py`), the mail that holds the link (`channels/email_letter.py`).

Whoever has the link may end the subscription and nothing else: the page shows no address in full, and the token stands
in no log. Looking changes nothing, as programs that check mails for harm follow every link.
"""

import asyncio
import base64
import hashlib
import os
import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from email import message_from_bytes
from functools import lru_cache
from http import HTTPStatus
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from analytics_platform.language import LANGUAGES, Language

if TYPE_CHECKING:
    from jinja2 import Template
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

EVERY_REPORT = "*"
REASON = "unsubscribed by the link in the mail"

_PATH = "/unsubscribe/"
# A form's body has 30 bytes, a mail provider's in multipart 200.
_LONGEST_BODY = 4096
_BODY_SECONDS = 10.0
_TOGETHER = 64  # requests at once; more are asked to come back
_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,200}")
_NO_TOKEN = "-"  # noqa: S105  (what no token is, asked for so that a senseless one takes as long)
_STYLE = """
:root { color-scheme: light dark; }
body { font: 1.125rem/1.5 system-ui, sans-serif; max-width: 34rem; margin: 3rem auto; padding: 0 1.25rem; }
h1 { font-size: 1.5rem; overflow-wrap: anywhere; }
[role=status] { border-left: .3rem solid #2e7d32; padding: .25rem 0 .25rem 1rem; }
form { display: grid; gap: .75rem; }
button { font: inherit; padding: .75rem 1rem; border: 1px solid; border-radius: .5rem; cursor: pointer; }
button:focus-visible { outline: .2rem solid #1a73e8; outline-offset: .15rem; }
"""
_PAGE = """<!doctype html>
<html lang="{{ language }}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ page.title }}</title>
<style>{{ style }}</style>
</head>
<body>
<main>
<h1>{{ page.title }}</h1>
{% if page.notice %}
<p role="status">{{ page.notice }}</p>
{% endif %}
{% for line in page.lines %}
<p>{{ line }}</p>
{% endfor %}
{% if page.topics %}
<ul>
{% for topic in page.topics %}
<li>{{ topic }}</li>
{% endfor %}
</ul>
{% endif %}
{% if page.buttons %}
<form method="post">
{% for value, label in page.buttons %}
<button name="choice" value="{{ value }}">{{ label }}</button>
{% endfor %}
</form>
{% endif %}
</main>
</body>
</html>
"""
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'; "
    f"style-src 'sha256-{base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()}'",
    # The address of the page is what must not get around.
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex, nofollow",
}


class PageError(Exception):
    """The page cannot be served. One sentence with the remedy."""


class Subscriber(Protocol):
    """Whom the link belongs to."""

    @property
    def id(self) -> int: ...
    @property
    def address(self) -> str: ...
    @property
    def topics(self) -> Mapping[str, bool]: ...
    @property
    def language(self) -> str: ...
    @property
    def active(self) -> bool: ...


class Subscribers(Protocol):
    """What the page asks of those who keep the subscriptions."""

    def by_token(self, token: str) -> Subscriber | None:
        """The one whose link has that token."""
        ...

    def pause(self, subscriber_id: int, reason: str, now: datetime, *, by: str) -> object:
        """Write to it no more."""
        ...

    def remove(self, subscriber_id: int, *, topic: str, reports: tuple[str, ...]) -> object:
        """Take that topic off it; who gets every report goes on with the other `reports`."""
        ...


def link(base_url: str, token: str, topic: str = "") -> str:
    """The address for a mail, ASCII: of one `topic`, or of everything. ValueError for a base that is no web address.

    `base_url`: where `serve` is reached from outside, such as `https://reports.example.org` or a path below it.
    """
    try:
        parts = urlsplit(base_url.strip())
        host, port = parts.hostname or "", parts.port
        host = host if host.isascii() else host.encode("idna").decode("ascii")
    except ValueError:
        host, port = "", None
    fits = re.fullmatch(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+", host) and parts.scheme in ("http", "https")
    if not fits or parts.username is not None or parts.query or parts.fragment:
        raise ValueError("it is not the address of a site; write one such as https://reports.example.org")
    place = (f"[{host}]" if ":" in host else host) + (f":{port}" if port else "")
    path = quote(parts.path.rstrip("/"), safe="/%~") + _PATH + quote(token, safe="")
    return f"{parts.scheme}://{place}{path}" + (f"?{urlencode({'topic': topic})}" if topic else "")


def app(
    subscribers: Subscribers,
    *,
    clock: Callable[[], datetime],
    reports: Mapping[str, str],
    titles: Mapping[str, str] = MappingProxyType({}),
) -> "Starlette":
    """The site: `/unsubscribe/<token>?topic=<topic>`, and nothing else.

    `clock` gives the moment, aware. `reports`: the English title of each by its name; `titles`: of topics that are no
    reports. Ending the last topic pauses the subscriber, so that its link goes on working.
    """
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException
    from starlette.routing import Route

    desk = _Desk(subscribers, clock, dict(reports), {**titles, **reports})
    site = Starlette(
        routes=[Route(f"{_PATH}{{token}}", desk.answer, methods=["GET", "POST"])],
        exception_handlers={HTTPException: _refused, Exception: _failed},
    )
    site.router.redirect_slashes = False
    return site


def serve(site: "Starlette", host: str, port: int) -> None:
    """Answer requests until the process is told to end (SIGINT, SIGTERM). PageError when it cannot listen there.

    It speaks plain HTTP: a server in front of it has the certificate. No request is logged.
    """
    import uvicorn

    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family, backlog=_TOGETHER)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        raise PageError(
            f"the unsubscribe page cannot listen at {host}:{port} ({reason}): choose another port"
        ) from None
    with listener:
        config = uvicorn.Config(
            site,
            access_log=False,
            log_config=None,
            log_level="warning",
            lifespan="off",
            proxy_headers=False,
            server_header=False,
            limit_concurrency=_TOGETHER,
        )
        uvicorn.Server(config).run(sockets=[listener])


@dataclass(frozen=True)
class _Page:
    title: str
    lines: tuple[str, ...] = ()
    notice: str = ""
    topics: tuple[str, ...] = ()
    buttons: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class _Desk:
    subscribers: Subscribers
    clock: Callable[[], datetime]
    reports: Mapping[str, str]
    titles: Mapping[str, str]

    async def answer(self, request: "Request") -> "Response":
        """Show the page; a POST ends something first."""
        token, topic = request.path_params["token"], request.query_params.get("topic", "")
        choice = ""
        if request.method == "POST":
            choice = await _choice(request, topic)
        # In a thread: the database may keep us waiting.
        return await asyncio.to_thread(self._page, token, topic, choice, request.headers.get("Accept-Language", ""))

    def _page(self, token: str, topic: str, choice: str, accepted: str) -> "Response":
        token = token if _TOKEN.fullmatch(token) else _NO_TOKEN
        found = self.subscribers.by_token(token)
        if found is None:
            return _unknown(_preferred(accepted))
        language = Language(found.language)
        if not choice:
            return _response(self._shown(found, topic, language), language)
        address, what = _masked(found.address), self._title(topic, language)
        notice = ""
        if choice == "all":
            self._pause(found)
            notice = language.say("Done: nothing more is sent to {address}.", address=address)
        elif topic in found.topics or topic in self.titles:
            self._end(found, topic)
            notice = language.say("Done: {address} no longer gets this: {what}.", address=address, what=what)
        left = self.subscribers.by_token(token)
        # Somebody else may have taken it off in between; what was asked for is true all the same.
        page = _Page(notice) if left is None else self._shown(left, topic, language, notice)
        return _response(page, language)

    def _shown(self, found: Subscriber, topic: str, language: Language, notice: str = "") -> _Page:
        title = language.say("Mail to {address}", address=_masked(found.address))
        if not found.active:
            lines = (language.say("Nothing is sent to this address. To get it again, ask those who send it."),)
            return _Page(title, lines, notice)
        buttons = [("all", language.say("Unsubscribe from everything"))]
        if self._gets(found, topic):
            this = language.say("Unsubscribe from this: {what}", what=self._title(topic, language))
            buttons.insert(0, ("topic", this))
        topics = tuple(self._title(one, language) for one in found.topics)
        return _Page(title, (language.say("This address subscribes to:"),), notice, topics, tuple(buttons))

    def _title(self, topic: str, language: Language) -> str:
        if topic == EVERY_REPORT:
            return language.say("every report")
        return language.say(self.titles[topic]) if topic in self.titles else topic

    def _gets(self, found: Subscriber, topic: str) -> bool:
        return topic in found.topics or (EVERY_REPORT in found.topics and topic in self.reports)

    def _end(self, found: Subscriber, topic: str) -> None:
        if not self._gets(found, topic):
            return
        left = {*found.topics}
        if EVERY_REPORT in left and topic in self.reports:
            left = (left | self.reports.keys()) - {EVERY_REPORT}
        if left - {topic}:
            self.subscribers.remove(found.id, topic=topic, reports=tuple(self.reports))
        else:
            self._pause(found)

    def _pause(self, found: Subscriber) -> None:
        if found.active:
            self.subscribers.pause(found.id, REASON, self.clock(), by="link")


async def _choice(request: "Request", topic: str) -> str:
    """`topic` or `all`: what a button of the page, or of a mail program, asks for. HTTPException for anything else."""
    from starlette.exceptions import HTTPException
    from starlette.requests import ClientDisconnect

    body = b""
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            async for piece in request.stream():
                body += piece
                if len(body) > _LONGEST_BODY:
                    raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    except (TimeoutError, ClientDisconnect):
        raise HTTPException(HTTPStatus.REQUEST_TIMEOUT) from None
    fields = _fields(request.headers.get("Content-Type", ""), body)
    if fields.get("List-Unsubscribe") == "One-Click":
        return "topic" if topic else "all"
    if fields.get("choice") not in ("topic", "all"):
        raise HTTPException(HTTPStatus.BAD_REQUEST)
    return fields["choice"]


def _fields(content_type: str, body: bytes) -> dict[str, str]:
    """The fields of a form in either encoding; RFC 8058 allows both. What is none has no fields."""
    if content_type.lower().startswith("multipart/form-data"):
        form = message_from_bytes(f"Content-Type: {content_type}\r\n\r\n".encode("latin-1") + body)
        found = {}
        for part in form.walk():
            name, value = part.get_param("name", header="Content-Disposition"), part.get_payload(decode=True)
            if isinstance(name, str) and isinstance(value, bytes):
                found[name] = value.decode("utf-8", "replace").strip()
        return found
    try:
        fields = parse_qs(body.decode("utf-8", "replace"), max_num_fields=20)
    except ValueError:
        return {}
    return {name: values[-1] for name, values in fields.items()}


def _masked(address: str) -> str:
    """Enough to recognise one's own: `a…@example.org`."""
    local, sign, domain = address.rpartition("@")
    return f"{(local if sign else address)[:1]}…{sign}{domain if sign else ''}"


def _preferred(accepted: str) -> Language:
    """The first of our languages that a browser asks for."""
    asked = (part.split(";")[0].strip().lower().split("-")[0] for part in accepted[:500].split(","))
    return Language(next((code for code in asked if code in LANGUAGES), LANGUAGES[0]))


def _unknown(language: Language) -> "Response":
    reason = language.say("It is not complete, or the subscription is no longer there: open it from the latest mail.")
    return _response(_Page(language.say("This link leads nowhere"), (reason,)), language, HTTPStatus.NOT_FOUND)


async def _refused(request: "Request", error: Exception) -> "Response":
    from starlette.exceptions import HTTPException

    language = _preferred(request.headers.get("Accept-Language", ""))
    status = HTTPStatus(error.status_code) if isinstance(error, HTTPException) else HTTPStatus.BAD_REQUEST
    if status is HTTPStatus.NOT_FOUND:
        return _unknown(language)
    lines = (language.say("This is not what the buttons of the page ask for: open the link from the mail again."),)
    return _response(_Page(language.say("Nothing was changed"), lines), language, status)


async def _failed(request: "Request", error: Exception) -> "Response":  # noqa: ARG001  (Starlette raises it again)
    language = _preferred(request.headers.get("Accept-Language", ""))
    page = _Page(language.say("That did not work"), (language.say("Please try again in a few minutes."),))
    return _response(page, language, HTTPStatus.INTERNAL_SERVER_ERROR)


def _response(page: _Page, language: Language, status: HTTPStatus = HTTPStatus.OK) -> "Response":
    from starlette.responses import HTMLResponse

    shown = _template().render(page=page, language=language.code, style=_STYLE)
    return HTMLResponse(shown.encode("utf-8", "replace"), status, _HEADERS)


@lru_cache(maxsize=1)
def _template() -> "Template":
    from jinja2 import Environment, StrictUndefined

    return Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True).from_string(_PAGE)
