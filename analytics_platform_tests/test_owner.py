"""The owner's digest: who gets which part, the words, and that no error can break or flood a chat."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics_platform.channels.email_letter import subject
from analytics_platform.channels.telegram_parts import MARK_ROOM
from analytics_platform.channels.telegram_text import ENTITY_LIMIT, TEXT_LIMIT, split_html, width
from analytics_platform.language import LANGUAGES, Language
from analytics_platform.owner import LIMIT, by_owner, digest_messages, redacted
from analytics_platform.redaction import register_secret
from analytics_platform.state.problems import Digest, Problem
from analytics_platform_tests.telegram_wire import parse_html

SEEN = datetime(2026, 11, 20, 21, 30, tzinfo=UTC)
MOSCOW = ZoneInfo("Europe/Moscow")
TOKEN = "1234567890:AAF-abcdefghijklmnopqrstuvwxyz012345"


def problem(subject: str = "job daily_metrics", kind: str = "failed", text: str = "no rows", **more: object) -> Problem:
    base = Problem("0" * 64, subject, kind, "", text, "", SEEN, SEEN)
    return replace(base, **more)  # type: ignore[arg-type]


def told(digest: Digest, code: str = "en") -> str:
    (text,) = digest_messages(digest, Language(code), MOSCOW)
    shown, entities = parse_html(text.html)
    assert shown == text.plain
    assert width(shown) <= LIMIT == TEXT_LIMIT - MARK_ROOM
    assert entities <= ENTITY_LIMIT
    assert len(split_html(text.html)) == 1
    return shown.replace("\N{NO-BREAK SPACE}", " ").replace("\N{NARROW NO-BREAK SPACE}", " ")


def digest(new: int = 0, lasting: int = 0, recovered: int = 0) -> Digest:
    parts = (
        [problem(f"{name} {n}") for n in range(count)]
        for name, count in zip("nlr", (new, lasting, recovered), strict=True)
    )
    return Digest(*parts)


def test_a_digest_in_words() -> None:
    shown = told(
        Digest(
            new=[
                problem(
                    text="facts/user_day: no rows\nTraceback: <b>",
                    url="http://ui:3000/runs/1",
                    times=3,
                    last_seen=SEEN + timedelta(minutes=20),
                ),
                problem("report feed_daily 2026-11-20", "late", "is late: no feed_actions"),
            ],
            lasting=[problem("report app_daily", "tick", times=1200, last_seen=SEEN + timedelta(days=1))],
            recovered=[
                problem("job x", resolved_at=SEEN + timedelta(hours=5, minutes=3), resolution="it has succeeded"),
                problem("job y", resolved_at=SEEN + timedelta(days=2, hours=1, minutes=59)),
                problem("job z", resolved_at=SEEN + timedelta(seconds=10)),
            ],
        )
    )
    assert shown == (
        "Analytics platform: 2 new problems, 1 lasting, 3 recovered\n\n"
        "job daily_metrics: failed\n"
        "since Nov 21, 2026 00:30, 3 times, last 00:50\n"
        "facts/user_day: no rows\nTraceback: <b>\n"
        "What to do: see the run's log, mend the cause, run it again.\n"
        "http://ui:3000/runs/1\n\n"
        "report feed_daily 2026-11-20: late\n"
        "since Nov 21, 2026 00:30\n"
        "is late: no feed_actions\n"
        "What to do: see what loads the events; the report goes out by itself.\n\n"
        "Still there\n"
        "report app_daily: scheduling failed, since Nov 21, 2026 00:30, 1,200 times, last Nov 22, 2026 00:30\n\n"
        "Over\n"
        "job x: over after 5 h 3 min (it has succeeded)\n"
        "job y: over after 2 d 1 h\n"
        "job z: over after 1 min"
    )


def test_the_same_in_russian() -> None:
    shown = told(
        Digest(
            [problem(kind="late", times=2, last_seen=SEEN)],
            [],
            [problem("job x", resolved_at=SEEN + timedelta(hours=5))],
        ),
        "ru",
    )
    assert shown == (
        "Аналитическая платформа: 1 новая проблема, 1 решена\n\n"
        "job daily_metrics: опаздывает\n"
        "с 21 нояб. 2026 г. 00:30, 2 раза, последний раз 00:30\n"
        "no rows\n"
        "Что делать: проверить загрузку событий; отчёт уйдёт сам.\n\n"
        "Прошло\njob x: прошло за 5 ч 0 мин"
    )


@pytest.mark.parametrize(
    ("counts", "english", "russian"),
    [
        ((1, 0, 0), "1 new problem", "1 новая проблема"),
        ((2, 1, 1), "2 new problems, 1 lasting, 1 recovered", "2 новые проблемы, 1 прежняя, 1 решена"),
        ((5, 2, 0), "5 new problems, 2 lasting", "5 новых проблем, 2 прежние"),
        ((11, 0, 5), "11 new problems, 5 recovered", "11 новых проблем, 5 решено"),
        ((21, 22, 23), "21 new problems, 22 lasting, 23 recovered", "21 новая проблема, 22 прежние, 23 решены"),
        ((112, 0, 0), "112 new problems", "112 новых проблем"),
        ((0, 1, 0), "1 lasting problem", "1 прежняя проблема"),
        ((0, 3, 4), "3 lasting problems, 4 recovered", "3 прежние проблемы, 4 решены"),
        ((0, 0, 1), "1 problem recovered", "1 проблема решена"),
        ((0, 0, 5), "5 problems recovered", "5 проблем решено"),
    ],
)
def test_the_first_line_counts_everything(counts: tuple[int, int, int], english: str, russian: str) -> None:
    assert told(digest(*counts)).split("\n")[0] == f"Analytics platform: {english}"
    assert told(digest(*counts), "ru").split("\n")[0] == f"Аналитическая платформа: {russian}"


def test_the_first_line_is_the_subject_of_the_mail() -> None:
    messages = digest_messages(digest(2, 1, 1), Language("ru"), MOSCOW)
    assert subject(messages) == "Аналитическая платформа: 2 новые проблемы, 1 прежняя, 1 решена"


def test_nothing_to_tell_is_no_message() -> None:
    assert digest_messages(Digest([], [], []), Language("en"), MOSCOW) == ()


HOSTILE = [
    "<b>open",
    "</b></i></blockquote>",
    "&lt;b&gt; &amp;amp; &",
    "x" * 10_000,
    "1" * 100_000,
    "🙂" * 10_000,
    "&" * 10_000,
    "\n" * 10_000 + "end",
    "line\n" * 5_000,
    "\x00\x1b[31m\x07\r\x0b\x85\u2028\u202e\u200b",
    "\ud800 half \udfff",
    "{braces} %s {{ jinja }} {% raw %}",
    '"quotes" \'and\' <a href="http://evil">x</a>',
    "",
    " \n\t ",
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("count", [1, 30])
def test_no_error_breaks_the_markup_or_floods_the_chat(text: str, count: int) -> None:
    bad = problem(text, text, text, url=text, resolution=text, resolved_at=SEEN)
    for code in LANGUAGES:
        shown = told(Digest([bad] * count, [bad] * count, [bad] * count), code)
        assert not {c for c in shown if (c < " " and c != "\n") or "\ud800" <= c <= "\udfff" or c in "\u202e\u200b"}
        assert shown.count("\n\n\n") == 0
    told(Digest([bad]))
    told(Digest([], [bad]))
    told(Digest([], [], [bad]))


@given(texts=st.lists(st.text(max_size=300), min_size=1, max_size=30))
@settings(max_examples=60, deadline=None)
def test_whatever_errors_hold_the_digest_is_one_well_formed_message(texts: list[str]) -> None:
    made = [problem(text, text, text * 5, url=text, resolution=text) for text in texts]
    told(Digest(made[::3], made[1::3], made[2::3] or made))


def test_one_error_does_not_take_the_others_place() -> None:
    shown = told(Digest([problem("job a", text="long\n" * 10_000), problem("job b", text="the short one")]))
    assert "job b: failed" in shown
    assert "the short one" in shown
    assert shown.count("long") <= 5


def test_the_end_of_a_long_error_is_shown_too() -> None:
    text = "was not delivered: " + "x " * 3000 + "\nTo send it: analytics-platform reports reset feed_daily"
    shown = told(Digest([problem(text=text)]))
    assert "was not delivered: x x" in shown
    assert "…\nTo send it: analytics-platform reports reset feed_daily" in shown


def test_what_finds_no_place_is_counted() -> None:
    shown = told(digest(40, 30, 30))
    assert "n 14: failed" in shown
    assert "n 15" not in shown
    lines = sum(line.startswith(("n ", "l ", "r ")) for line in shown.split("\n"))
    assert shown.endswith(f"and {100 - lines} more: analytics-platform health")
    assert lines > 40
    big = Digest([problem(f"n {n}" + "x" * 100, text="🙂" * 600, url="http://h/" + "y" * 280) for n in range(10)])
    lines = sum(line.startswith("n ") for line in told(big).split("\n"))
    assert 3 <= lines < 10
    assert told(big).endswith(f"and {10 - lines} more: analytics-platform health")
    assert told(big, "ru").endswith(f"и ещё {10 - lines}: analytics-platform health")


def test_advice_is_given_once() -> None:
    shown = told(Digest([problem(f"report {n}", "late") for n in range(5)]))
    assert shown.count("What to do") == 1


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://localhost:3000/runs/1?a=1&b=2", "http://localhost:3000/runs/1?a=1&b=2"),
        ("https://user:pass@ui.example.org/runs/1", "https://ui.example.org/runs/1"),
        ("javascript:alert(1)", ""),
        ('http://h/"><b>', ""),
        ("http://h/ x", ""),
        ("http://h/\n", "http://h/"),
        ("http://[::1", ""),
        ("http://h/" + "x" * 400, ""),
    ],
)
def test_only_addresses_become_links(url: str, shown: str) -> None:
    text = told(Digest([problem(url=url)]))
    found = [line for line in text.split("\n") if "://" in line or "javascript" in line]
    assert found == ([shown] if shown else [])


def test_secrets_are_gone_before_anything_is_cut() -> None:
    register_secret("s3cret phrase")
    for text in (
        f"POST https://host/bot{TOKEN}/sendMessage",
        "x" * 580 + f" {TOKEN} " + "y" * 5000,
        f"{'x ' * 1490}{TOKEN}{' y' * 5000}",  # across the first seam
        f"{'x ' * 5000}{TOKEN}{' y' * 490}",  # across the second one
        "s3cret phrase",
        "s3cret\n\nphrase postgresql://user:pa55word@host/db",
    ):
        secret = problem(text, text, text, url=f"http://host/{TOKEN}", resolution=text, resolved_at=SEEN)
        whole = Digest([secret], [secret], [secret])
        shown = told(whole) + repr(redacted(whole))
        for part in (TOKEN[11:20], TOKEN[-9:], "s3cret phrase", "pa55word"):
            assert part not in shown, text[:50]
    assert "<bot-token>" in told(Digest([problem(text=TOKEN)]))
    assert redacted(Digest([problem("a", text="b\n\n c")])) == Digest([problem("a", text="b\nc")])


def subjects(problems: Sequence[Problem]) -> list[str]:
    return [one.subject for one in problems]


def test_each_owner_gets_a_share() -> None:
    feed, app, job = (
        problem("report feed_daily", owner_of="feed_daily"),
        problem("report app_daily", owner_of="app_daily"),
        problem("job daily_metrics"),
    )
    shares = by_owner(
        Digest([feed, job], [app], [feed]),
        ["ops@example.org", "-100123"],
        {"feed_daily": ("ann@example.org", "ops@example.org"), "other": ("bob@example.org",), "app_daily": ()},
    )
    assert list(shares) == ["ops@example.org", "-100123", "ann@example.org"]
    assert shares["ops@example.org"] == Digest([feed, job], [app], [feed])
    assert shares["-100123"] == Digest([job], [app], [])
    assert shares["ann@example.org"] == Digest([feed], [], [feed])


def test_without_owners_nobody_is_told() -> None:
    assert by_owner(Digest([problem()]), [], {}) == {}
    assert by_owner(Digest([], [], []), ["ops@example.org"], {}) == {}
    shares = by_owner(Digest([problem(owner_of="x")]), ["a@b", "a@b"], {})
    assert [(owner, subjects(share.new)) for owner, share in shares.items()] == [("a@b", ["job daily_metrics"])]
