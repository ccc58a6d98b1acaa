"""The unsubscribe page: over real HTTP, with real subscribers, and what neither looking nor a wrong link changes."""

import asyncio
import html
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from analytics_platform.state.database import Database, sqlite_url
from analytics_platform.state.subscribers import Subscriber, Subscribers
from analytics_platform.unsubscribe import PageError, app, link, serve
from analytics_platform_tests.services import first_answer, free_port

NOW = datetime(2026, 11, 21, 8, 0, 5, tzinfo=UTC)
REPORTS = {"feed_daily": "News feed", "app_daily": "The app", "likes_by_os_weekly": "Likes by OS"}
ONE_CLICK = {"List-Unsubscribe": "One-Click"}


@pytest.fixture
def subscribers(tmp_path: Path) -> Iterator[Subscribers]:
    database = Database(sqlite_url(tmp_path / "state.db"))
    yield Subscribers(database)
    database.close()


def add(
    subscribers: Subscribers,
    *topics: str,
    address: str = "ann@example.org",
    language: str = "en",
) -> Subscriber:
    found, _ = subscribers.add(
        "email", address, kind="email", language=language, zone="UTC", topics=dict.fromkeys(topics, False), now=NOW
    )
    return found


def now_of(subscribers: Subscribers, one: Subscriber) -> tuple[set[str], str]:
    """Its topics, and by what it is paused."""
    found = subscribers.get(one.id)
    assert found is not None
    assert found.token == one.token
    return set(found.topics), found.paused_by


def ask(
    subscribers: Any,
    path: str,
    *,
    method: str = "GET",
    titles: Mapping[str, str] | None = None,
    raises: bool = True,
    **request: Any,
) -> httpx.Response:
    site = app(subscribers, clock=lambda: NOW, reports=REPORTS, titles=titles or {})

    async def go() -> httpx.Response:
        transport = httpx.ASGITransport(site, raise_app_exceptions=raises)
        async with httpx.AsyncClient(transport=transport, base_url="https://reports.example.org") as client:
            return await client.request(method, path, **request)

    return asyncio.run(go())


def post(subscribers: Subscribers, path: str, **request: Any) -> httpx.Response:
    return ask(subscribers, path, method="POST", **({"data": ONE_CLICK} | request))


def buttons(response: httpx.Response) -> list[tuple[str, str]]:
    return [
        (value, html.unescape(label))
        for value, label in re.findall(r'<button name="choice" value="(\w+)">(.*?)</button>', response.text)
    ]


def path_of(one: Subscriber, topic: str = "") -> str:
    return link("https://reports.example.org", one.token, topic).removeprefix("https://reports.example.org")


def test_looking_shows_the_choice_and_changes_nothing(subscribers: Subscribers) -> None:
    ann = add(subscribers, "feed_daily", "app_daily")
    for method in ("GET", "HEAD", "GET"):
        response = ask(subscribers, path_of(ann, "feed_daily"), method=method)
        assert response.status_code == 200
    assert now_of(subscribers, ann) == ({"feed_daily", "app_daily"}, "")
    assert "Mail to a…@example.org" in response.text
    assert "ann@example.org" not in response.text
    assert ann.token not in response.text
    assert re.findall("<li>(.*)</li>", response.text) == ["The app", "News feed"]
    assert buttons(response) == [
        ("topic", "Unsubscribe from this: News feed"),
        ("all", "Unsubscribe from everything"),
    ]
    assert "action=" not in response.text  # to the same address, also below a path of somebody else's
    assert [value for value, _ in buttons(ask(subscribers, path_of(ann)))] == ["all"]


@pytest.mark.parametrize("body", [{"data": ONE_CLICK}, {"files": {"List-Unsubscribe": (None, "One-Click")}}])
def test_one_click_ends_the_report_of_the_mail(subscribers: Subscribers, body: dict[str, Any]) -> None:
    ann = add(subscribers, "feed_daily", "app_daily")
    for _ in range(2):
        response = post(subscribers, path_of(ann, "feed_daily"), **body)
        assert response.status_code == 200
        assert "Done: a…@example.org no longer gets this: News feed." in response.text
        assert now_of(subscribers, ann) == ({"app_daily"}, "")
    assert [value for value, _ in buttons(response)] == ["all"]


def test_one_click_without_a_report_ends_everything(subscribers: Subscribers) -> None:
    ann = add(subscribers, "feed_daily", "problems")
    for _ in range(2):
        response = post(subscribers, path_of(ann))
        assert response.status_code == 200
        assert "Done: nothing more is sent to a…@example.org." in response.text
        assert now_of(subscribers, ann) == ({"feed_daily", "problems"}, "link")
    found = subscribers.get(ann.id)
    assert found is not None
    assert (found.paused_reason, found.paused_at) == ("unsubscribed by the link in the mail", NOW)
    assert not buttons(response)


def test_the_last_report_pauses_so_that_the_link_goes_on_working(subscribers: Subscribers) -> None:
    ann = add(subscribers, "feed_daily")
    for _ in range(2):
        assert post(subscribers, path_of(ann, "feed_daily")).status_code == 200
        assert now_of(subscribers, ann) == ({"feed_daily"}, "link")
    assert "Nothing is sent to this address." in ask(subscribers, path_of(ann)).text


def test_who_gets_every_report_goes_on_with_the_others(subscribers: Subscribers) -> None:
    ann = add(subscribers, "*", "problems")
    response = ask(subscribers, path_of(ann, "feed_daily"))
    assert re.findall("<li>(.*)</li>", response.text) == ["every report", "problems"]
    assert [value for value, _ in buttons(response)] == ["topic", "all"]
    for _ in range(2):
        post(subscribers, path_of(ann, "feed_daily"), data={"choice": "topic"})
        assert now_of(subscribers, ann) == ({"app_daily", "likes_by_os_weekly", "problems"}, "")
    post(subscribers, path_of(ann, "problems"), data={"choice": "topic"})
    assert now_of(subscribers, ann)[0] == {"app_daily", "likes_by_os_weekly"}
    post(subscribers, path_of(ann, "app_daily"), data={"choice": "all"})
    assert now_of(subscribers, ann) == ({"app_daily", "likes_by_os_weekly"}, "link")


def test_what_is_configured_can_be_ended_too(subscribers: Subscribers) -> None:
    subscribers.configure([("-100123", "-100123", "", "group")], language="en", zone="UTC", now=NOW)
    (chat,) = subscribers.all()
    response = post(subscribers, path_of(chat))
    assert "Done: nothing more is sent to -…." in response.text
    assert now_of(subscribers, chat) == ({"*"}, "link")


def test_the_page_speaks_the_language_of_the_subscriber(subscribers: Subscribers) -> None:
    anna = add(subscribers, "feed_daily", "problems", language="ru")
    response = ask(subscribers, path_of(anna, "feed_daily"), headers={"Accept-Language": "en"})
    assert '<html lang="ru">' in response.text
    assert "Рассылка на адрес a…@example.org" in response.text
    assert buttons(response)[0][1] == "Отписаться только от этого: Лента новостей"
    unknown = ask(subscribers, "/unsubscribe/x", headers={"Accept-Language": "de;q=1, ru-RU,ru;q=0.9"})
    assert '<html lang="ru">' in unknown.text
    titled = ask(subscribers, path_of(anna), titles={"problems": "failed"})
    assert "<li>сбой</li>" in titled.text


@pytest.mark.parametrize(
    "path",
    [
        "/unsubscribe/no-such-token",
        "/unsubscribe/%00",
        "/unsubscribe/" + "x" * 5000,
        "/unsubscribe/%D1%8F",
        "/unsubscribe/%3Cscript%3E",
        "/unsubscribe/' OR 1=1 --",
        "/unsubscribe/",
        "/unsubscribe",
        "/",
        "/unsubscribe/a/b",
    ],
)
def test_a_link_of_nobody_leads_nowhere(subscribers: Subscribers, path: str) -> None:
    ann = add(subscribers, "feed_daily")
    for response in (ask(subscribers, path), post(subscribers, path)):
        assert response.status_code == 404
        assert "This link leads nowhere" in response.text
        assert "script>" not in response.text
    assert now_of(subscribers, ann) == ({"feed_daily"}, "")


def test_a_token_of_nobody_takes_the_same_way_as_a_real_one() -> None:
    asked = []

    class Asked:
        def by_token(self, token: str) -> None:
            asked.append(token)

    for token in ("AbC-123_x", "%00", "x" * 1000):
        assert ask(Asked(), f"/unsubscribe/{token}").status_code == 404
    assert asked == ["AbC-123_x", "-", "-"]


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ({"data": {}}, 400),
        ({"data": {"List-Unsubscribe": "no"}}, 400),
        ({"data": {"choice": "nothing"}}, 400),
        ({"content": b"\xff\xfe\x00" * 100}, 400),
        ({"content": b"&".join(b"a=1" for _ in range(500))}, 400),
        ({"content": b"x" * 5000}, 413),
        ({"content": b"--b\r\n\r\n", "headers": {"Content-Type": "multipart/form-data; boundary=b"}}, 400),
        ({"content": b"x", "headers": {"Content-Type": "multipart/form-data"}}, 400),
        ({"content": b"x", "headers": {"Content-Type": b"multipart/form-data; boundary*=x''%FF; \x80"}}, 400),
    ],
)
def test_what_no_button_says_changes_nothing(subscribers: Subscribers, request_: dict[str, Any], status: int) -> None:
    ann = add(subscribers, "feed_daily")
    response = post(subscribers, path_of(ann), **({"data": None} | request_))
    assert response.status_code == status
    assert "Nothing was changed" in response.text
    assert now_of(subscribers, ann) == ({"feed_daily"}, "")


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS"])
def test_other_methods_change_nothing(subscribers: Subscribers, method: str) -> None:
    ann = add(subscribers, "feed_daily")
    assert ask(subscribers, path_of(ann), method=method).status_code == 405
    assert now_of(subscribers, ann) == ({"feed_daily"}, "")


@pytest.mark.parametrize(
    "topic", ["<script>alert(1)</script>", '"><b>x</b>', "*", "app_daily", "x" * 3000, "{{ 7*7 }}"]
)
def test_a_topic_that_it_does_not_have_ends_nothing(subscribers: Subscribers, topic: str) -> None:
    ann = add(subscribers, "feed_daily", "problems")
    for response in (ask(subscribers, path_of(ann, topic)), post(subscribers, path_of(ann, topic))):
        assert response.status_code == 200
        assert [value for value, _ in buttons(response)] == ["all"]
        assert topic not in response.text
        assert html.escape(topic, quote=False) not in response.text
    assert now_of(subscribers, ann) == ({"feed_daily", "problems"}, "")


def test_names_and_addresses_cannot_break_the_page(subscribers: Subscribers) -> None:
    hostile = '<b>"x"</b>{{7*7}}'
    ann = add(subscribers, hostile, "feed_daily", address='<img/src="x">@<b>.example.org')
    response = ask(subscribers, path_of(ann, hostile))
    assert "<b>" not in response.text
    assert "<img" not in response.text
    assert "&lt;…@&lt;b&gt;.example.org" in response.text
    assert buttons(response)[0] == ("topic", f"Unsubscribe from this: {hostile}")
    assert html.escape(hostile) not in post(subscribers, path_of(ann, hostile)).text.split("<ul>")[1]
    assert now_of(subscribers, ann)[0] == {"feed_daily"}


def test_every_answer_keeps_the_address_of_the_page_to_itself(subscribers: Subscribers) -> None:
    ann = add(subscribers, "feed_daily", "problems")
    answers = [
        ask(subscribers, path_of(ann)),
        post(subscribers, path_of(ann, "problems")),
        post(subscribers, path_of(ann), data={}),
        ask(subscribers, "/unsubscribe/x"),
        ask(subscribers, path_of(ann), method="PUT"),
    ]
    for response in answers:
        head = response.headers
        assert head["Cache-Control"] == "no-store"
        assert head["Referrer-Policy"] == "no-referrer"
        assert "default-src 'none'" in head["Content-Security-Policy"]
        assert "form-action 'self'" in head["Content-Security-Policy"]
        assert head["X-Content-Type-Options"] == "nosniff"
        assert head["Content-Type"] == "text/html; charset=utf-8"
        assert "Set-Cookie" not in head
        assert not re.search(r"(?:src|href)=|<script", response.text)


def test_a_database_that_fails_is_said_and_raised() -> None:
    class Broken:
        def by_token(self, token: str) -> None:
            raise OSError("the disk is gone")

    response = ask(Broken(), "/unsubscribe/AbC-123_x", raises=False)
    assert (response.status_code, response.headers["Cache-Control"]) == (500, "no-store")
    assert "Please try again in a few minutes." in response.text
    assert "disk" not in response.text
    with pytest.raises(OSError, match="the disk is gone"):
        ask(Broken(), "/unsubscribe/AbC-123_x")


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        ("https://reports.example.org", "https://reports.example.org/unsubscribe/a_b-1?topic=feed_daily"),
        ("https://reports.example.org/", "https://reports.example.org/unsubscribe/a_b-1?topic=feed_daily"),
        (" https://example.org:8443/a b/ ", "https://example.org:8443/a%20b/unsubscribe/a_b-1?topic=feed_daily"),
        ("http://localhost:8080", "http://localhost:8080/unsubscribe/a_b-1?topic=feed_daily"),
        ("http://[::1]:8080", "http://[::1]:8080/unsubscribe/a_b-1?topic=feed_daily"),
        ("https://отчёты.рф", "https://xn--n1aiatv8a.xn--p1ai/unsubscribe/a_b-1?topic=feed_daily"),
    ],
)
def test_the_link_of_a_mail(base: str, expected: str) -> None:
    assert link(base, "a_b-1", "feed_daily") == expected
    assert link(base, "a_b-1") == expected.partition("?")[0]


def test_a_topic_in_a_link_is_only_a_topic() -> None:
    found = link("https://example.org", "a/b", "я&x=1#\r\n=?utf-8?q?x?=")
    assert found.startswith("https://example.org/unsubscribe/a%2Fb?topic=%D1%8F%26x%3D1%23%0D%0A%3D%3F")
    assert found.isascii()


@pytest.mark.parametrize(
    "base",
    [
        "",
        "reports.example.org",
        "ftp://example.org",
        "https://",
        "https://a b.example.org",
        "https://user:secret@example.org",
        "https://example.org/?a=1",
        "https://example.org/#a",
        "https://[x",
        "https://example.org:port",
        "https://example.org\r\nBcc: x",
        "javascript://example.org",
    ],
)
def test_what_is_no_site_is_refused(base: str) -> None:
    with pytest.raises(ValueError, match="is not the address of a site; write one such as https://reports"):
        link(base, "a", "b")


SITE = """
import sys
from datetime import UTC, datetime
from analytics_platform.redaction import install_redaction
from analytics_platform.state.database import Database, sqlite_url
from analytics_platform.state.subscribers import Subscribers
from analytics_platform.unsubscribe import app, serve
install_redaction()
subscribers = Subscribers(Database(sys.argv[1]))
site = app(subscribers, clock=lambda: datetime.now(UTC), reports={"feed_daily": "News feed"})
serve(site, "127.0.0.1", int(sys.argv[2]))
"""


def test_over_real_http_no_token_reaches_a_log(tmp_path: Path) -> None:
    url = str(sqlite_url(tmp_path / "state.db"))
    database = Database(url)
    database.prepare()
    subscribers = Subscribers(database)
    ann = add(subscribers, "feed_daily", "problems")
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-c", SITE, url, str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        address = link(f"http://127.0.0.1:{port}", ann.token, "feed_daily")
        with httpx.Client(timeout=60.0) as client:
            assert first_answer(lambda: client.get(address), process).status_code == 200
            assert client.post(address, data=ONE_CLICK).status_code == 200
            assert client.get(address.replace("/unsubscribe/", "/unsubscribe/wrong")).status_code == 404
            assert client.post(address, content=b"x" * 100_000).status_code == 413
            assert now_of(subscribers, ann) == ({"problems"}, "")
            # A failure of the database is told, but not whose page it was.
            (tmp_path / "state.db").unlink()
            (tmp_path / "state.db").mkdir()
            assert client.get(address).status_code == 500
        with pytest.raises(PageError, match=rf"cannot listen at 127.0.0.1:{port} \(Address already in use\)"):
            serve(app(subscribers, clock=lambda: NOW, reports={}), "127.0.0.1", port)
    finally:
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=60)
    assert "Traceback" in said
    assert ann.token not in said
    assert "GET" not in said
