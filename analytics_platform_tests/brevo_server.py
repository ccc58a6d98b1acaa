"""Brevo's API on this machine, for tests: `with brevo_server() as server: ...`.

Belongs here: what Brevo accepts, refuses and keeps as documented. Does not: what a fault answers (`brevo_faults.py`),
records (`brevo_kept.py`); Brevo's patience, blocklists and judgement of addresses cannot be shown here at all.

Requests are validated by and answers checked with the models of brevo-python, Brevo's own client, whose schema this
product shares no line with. By hand: `python -m analytics_platform_tests.brevo_server --limit 10/1`.
"""

import argparse
import json
import math
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from itertools import count
from threading import Event, Lock
from types import ModuleType
from typing import Any

from pydantic import SecretStr, ValidationError

from analytics_platform.funnels.person import hashed
from analytics_platform_tests.brevo_faults import AFTER_ACCEPTING, SILENT, Fault, Reply, error, reply
from analytics_platform_tests.brevo_kept import ACCOUNT, API_KEY, ATTRIBUTES, LISTS, Kept, Limit, Process, Request, fits
from analytics_platform_tests.listening import Listener, Quiet, listening

_ADDRESS = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]+")
_BODY_BYTES = 10_000_000
_REPORT = re.compile(r"/reports/(\d+)/invalid_emails\.csv")


@dataclass
class BrevoServer:
    """The server's address and key, the contacts by normalised address, and what is to go wrong.

    `url`: for BREVO_BASE_URL. `unwelcome`: addresses that are refused though they look like ones. `limit`: what the
    headers say; requests above it are refused where `enforced`, and counted in `too_many`. `reports_at`: where the
    reports of imports are, in the links to them; here, if empty. `polls` and `seconds`: an import is done once it was
    asked after so often and is so old. `ignored`: attributes that were left out, as (name, reason). `hook`: called
    with each request before anything is looked at; `accepted_hook` after it was carried out, before its answer.
    """

    url: str = ""
    api_key: SecretStr = field(default_factory=lambda: SecretStr(API_KEY))
    contacts: dict[str, Kept] = field(default_factory=dict)
    lists: dict[int, str] = field(default_factory=lambda: dict(LISTS))
    attributes: dict[str, str] = field(default_factory=lambda: dict(ATTRIBUTES))
    processes: dict[int, Process] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    ignored: list[tuple[str, str]] = field(default_factory=list)
    unwelcome: set[str] = field(default_factory=set)
    limit: Limit = field(default_factory=Limit)
    enforced: bool = False
    too_many: int = 0
    reports_at: str = ""
    polls: int = 1
    seconds: float = 0
    hook: Callable[[Request], None] | None = None
    accepted_hook: Callable[[Request], None] | None = None
    clock: Callable[[], float] = time.monotonic
    closing: Event = field(default_factory=Event)
    connections: int = 0
    _windows: dict[str, tuple[float, int]] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)
    _ids: "count[int]" = field(default_factory=lambda: count(1))

    def on(self, list_id: int) -> list[str]:
        """The addresses on a list, in the order in which their contacts were created."""
        return [email for email, kept in self.contacts.items() if list_id in kept.lists]

    def asked(self, method: str = "", path: str = "") -> list[Request]:
        """The requests so far, of that method and path alone if they are given."""
        return [one for one in self.requests if method in ("", one.method) and path in ("", one.path)]

    def finish_imports(self) -> None:
        """Whatever was handed over is carried out now."""
        with self._lock:
            for process in self.processes.values():
                self._finish(process)

    def handle(self, method: str, path: str, body: bytes, key: str, connection: int) -> Reply:
        """The answer to one request; a status of 0 or less says that there is none (see `brevo_faults`)."""
        told = _json(body)
        with self._lock:
            request = Request(len(self.requests) + 1, method, path, told, self.clock(), key, connection)
            self.requests.append(request)
        if self.hook:
            self.hook(request)
        with self._lock:
            fault = self._fault(method, path, told)
            if found := _REPORT.fullmatch(path):
                return reply(fault, {}) if fault else self._report(int(found[1]))
            limits, refused = self._count(path)
            if fault and fault.kind not in AFTER_ACCEPTING:
                return reply(fault, limits)
            if key != self.api_key.get_secret_value():
                return error(401, "unauthorized", "Key not found", limits)
            if refused:
                self.too_many += 1
                return error(429, "too_many_requests", "API rate limit exceeded", limits)
            answer = self._answer(method, path, told, len(body), fault)
        if self.accepted_hook:
            self.accepted_hook(request)
        if fault and fault.kind in (*SILENT, "accepted_bad_gateway", "broken_json"):
            return reply(fault, limits, answer)
        return Reply(answer.status, answer.body, {**answer.headers, **limits})

    def _fault(self, method: str, path: str, told: Any) -> Fault | None:
        for fault in self.faults:
            if fault.matches(method, path, told):
                if fault.times == 1:
                    self.faults.remove(fault)
                fault.times -= 1
                return fault
        return None

    def _count(self, path: str) -> tuple[dict[str, str], bool]:
        now, group = self.clock(), path.split("/")[1]
        begun, used = self._windows.get(group, (now, 0))
        if now >= begun + self.limit.seconds:
            begun, used = now, 0
        refused = self.enforced and used >= self.limit.requests
        used += not refused
        self._windows[group] = begun, used
        return {
            "x-sib-ratelimit-limit": str(self.limit.requests),
            "x-sib-ratelimit-remaining": str(max(self.limit.requests - used, 0)),
            "x-sib-ratelimit-reset": str(math.ceil(begun + self.limit.seconds - now)),
        }, refused

    def _answer(self, method: str, path: str, told: Any, size: int, fault: Fault | None) -> Reply:
        models = _models()
        match method, path.split("/")[1:]:
            case "POST", ["contacts"]:
                return self._contact(told)
            case "POST", ["contacts", "import"]:
                return self._import(told, size, fails=bool(fault and fault.kind == "import_failed"))
            case "GET", ["contacts", "lists", number]:
                return self._list(number)
            case "GET", ["contacts", "attributes"]:
                found = [{"name": name, "category": "normal", "type": kind} for name, kind in self.attributes.items()]
                return _checked(200, models.ATTRIBUTES, {"attributes": found})
            case "GET", ["processes", number]:
                return self._process(number)
            case "GET", ["account"]:
                return _checked(200, models.ACCOUNT, ACCOUNT)
        return Reply(404, b'{"message": "no Route matched with those values"}')

    def _contact(self, told: Any) -> Reply:
        if refused := _invalid(_models().CREATE_CONTACT, told):
            return refused
        email = str(told.get("email") or "").strip().lower()
        if not email:
            return error(400, "missing_parameter", "email is missing")
        if self._unfit(email):
            return error(400, "invalid_parameter", f"Invalid email address {told['email']}")
        if refused := self._unknown_list(told.get("listIds", ())):
            return refused
        if email in self.contacts and not told.get("updateEnabled"):
            return error(400, "duplicate_parameter", "Contact already exist")
        kept, new = self._keep(email, told.get("attributes") or {}, told.get("listIds") or ())
        return _checked(201, _models().CREATED, {"id": kept.id}) if new else Reply(204)

    def _unfit(self, email: str) -> bool:
        return not _ADDRESS.fullmatch(email) or email in self.unwelcome

    def _unknown_list(self, list_ids: Sequence[int]) -> Reply | None:
        unknown = any(number not in self.lists for number in list_ids)
        return error(400, "invalid_parameter", "Invalid list ids: List ID does not exist") if unknown else None

    def _keep(self, email: str, attributes: Mapping[str, Any], list_ids: Sequence[int]) -> tuple[Kept, bool]:
        new = email not in self.contacts
        kept = self.contacts.setdefault(email, Kept(next(self._ids), email) if new else self.contacts[email])
        kept.told += 1
        for name, value in attributes.items():
            kind = self.attributes.get(name.upper())
            if kind is None or not fits(value, kind):
                self.ignored.append((name, "unknown" if kind is None else f"no {kind}"))
            else:
                kept.attributes[name.upper()] = value
        kept.added.update(set(list_ids) - kept.lists)
        kept.lists |= set(list_ids)
        return kept, new

    def _import(self, told: Any, size: int, *, fails: bool) -> Reply:
        if size > _BODY_BYTES:
            return error(413, "invalid_parameter", "Body is too large")
        if refused := _invalid(_models().IMPORT_CONTACTS, told) or self._unknown_list(told.get("listIds") or ()):
            return refused
        if not told.get("jsonBody") or not told.get("listIds"):
            return error(400, "missing_parameter", "jsonBody or list ids are missing")
        process = Process(next(self._ids), told["jsonBody"], told["listIds"], self.clock(), fails)
        self.processes[process.id] = process
        return _checked(202, _models().IMPORTED, {"processId": process.id})

    def _process(self, number: str) -> Reply:
        process = self.processes.get(int(number))
        if process is None:
            return error(404, "document_not_found", "Process ID does not exist")
        process.polls += 1
        if process.polls >= self.polls and self.clock() >= process.begun + self.seconds:
            self._finish(process)
        elif process.polls > 1:
            process.status = "in_process"
        told: dict[str, Any] = {"id": process.id, "name": "IMPORTUSER", "status": process.status}
        if process.status == "completed":
            link = f"{self.reports_at or self.url.removesuffix('/v3')}/reports/{process.id}/invalid_emails.csv"
            told["info"] = {"import": {"invalid_emails": link if process.refused else None, "duplicate_email_id": None}}
        return _checked(200, _models().PROCESS, told)

    def _finish(self, process: Process) -> None:
        if process.status in ("completed", "failed"):
            return
        process.status = "failed" if process.fails else "completed"
        for item in () if process.fails else process.items:
            email = str(item.get("email") or "").strip().lower()
            if self._unfit(email):
                process.refused.append(str(item.get("email")))
            else:
                self._keep(email, item.get("attributes") or {}, process.list_ids)

    def _report(self, number: int) -> Reply:
        process = self.processes.get(number)
        if process is None:
            return Reply(403, b"<Error><Code>AccessDenied</Code></Error>")
        rows = "\r\n".join(["EMAIL;REASON", *(f'"{email}";invalid' for email in process.refused)])
        return Reply(200, rows.encode("utf-8-sig"), {"Content-Type": "text/csv"})

    def _list(self, number: str) -> Reply:
        name = self.lists.get(int(number))
        if name is None:
            return error(404, "document_not_found", "List ID does not exist")
        size = len(self.on(int(number)))
        told = {"id": int(number), "name": name, "folderId": 1, "createdAt": "2026-01-01T00:00:00.000Z"}
        told |= {"totalBlacklisted": 0, "totalSubscribers": size, "uniqueSubscribers": size, "dynamicList": False}
        return _checked(200, _models().LIST, told)


def _models() -> ModuleType:
    # Here, and not where every worker collects its tests.
    from analytics_platform_tests import brevo_models

    return brevo_models


def _json(body: bytes) -> Any:
    try:
        return json.loads(body) if body else {}
    except ValueError:
        return None


def _invalid(model: Any, told: Any) -> Reply | None:
    try:
        model.model_validate(told)
    except ValidationError as wrong:
        first = wrong.errors()[0]
        return error(400, "invalid_parameter", f"{'.'.join(map(str, first['loc']))}: {first['msg']}")
    return None


def _checked(status: int, model: Any, told: dict[str, Any]) -> Reply:
    model.model_validate(told)
    return Reply(status, json.dumps(told).encode())


def _handler(server: BrevoServer) -> type[BaseHTTPRequestHandler]:
    class Handler(Quiet, BaseHTTPRequestHandler):
        def setup(self) -> None:
            super().setup()
            server.connections += 1
            self.connection_number = server.connections

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = self.path.partition("?")[0].removeprefix("/v3")
            told = server.handle(self.command, path, body, self.headers.get("api-key", ""), self.connection_number)
            if told.delay:
                server.closing.wait(told.delay)
            if told.status <= 0:
                self.close_connection = True
                return
            self.send_response(told.status)
            for name, value in {"Content-Type": "application/json", **told.headers}.items():
                self.send_header(name, value)
            if told.status != 204:
                self.send_header("Content-Length", str(len(told.body)))
            self.end_headers()
            self.wfile.write(told.body)

        def do_GET(self) -> None:
            self.do_POST()

    return Handler


class _Listener(Listener):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that was killed or gave up is what some tests are about."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


@contextmanager
def brevo_server(
    port: int = 0, *, limit: Limit | None = None, clock: Callable[[], float] = time.monotonic
) -> Iterator[BrevoServer]:
    """A running server on 127.0.0.1, any free port by default. `limit`: of requests, enforced."""
    server = BrevoServer(limit=limit or Limit(), enforced=limit is not None, clock=clock)
    _models()
    listener = _Listener(("127.0.0.1", port), _handler(server))
    server.url = f"http://127.0.0.1:{listener.server_port}/v3"
    with listening(listener, server.closing.set):
        yield server


def _by_hand() -> None:
    told = argparse.ArgumentParser(description="Brevo's API on this machine; shows what it receives.")
    told.add_argument("--port", type=int, default=8082)
    told.add_argument("--limit", metavar="REQUESTS/SECONDS", help="refuse what comes faster")
    told.add_argument("--import-seconds", type=float, default=5, help="how long an import takes")
    asked = told.parse_args()
    requests, _, seconds = (asked.limit or "").partition("/")
    limit = Limit(int(requests), float(seconds or 1)) if requests else None
    with brevo_server(asked.port, limit=limit) as running:
        running.seconds = asked.import_seconds
        lists = "".join(f"{name}={number}\n" for name, number in zip(_LIST_SETTINGS, running.lists, strict=True))
        print(f"BREVO_BASE_URL={running.url}\nBREVO_API_KEY={API_KEY}\n{lists}Stop with Ctrl-C.", flush=True)
        while True:
            time.sleep(0.5)  # for a person's eyes, until they stop it; no test comes here
            new = running.requests[:]
            # Nothing is kept once it is shown: it may run for weeks.
            del running.requests[: len(new)]
            for one in new:
                email = one.body.get("email") if isinstance(one.body, dict) else None
                about = f"<address {hashed(str(email))}> {one.body.get('listIds', '')}" if email else ""
                print(one.method, one.path, about, flush=True)


_LIST_SETTINGS = ("BREVO_LANGUAGE_LIST_ID", "BREVO_NON_LANGUAGE_LIST_ID")

if __name__ == "__main__":
    _by_hand()
