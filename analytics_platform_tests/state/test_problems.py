"""A problem is told once, again while it lasts, and once when it is over."""

from datetime import UTC, datetime, timedelta

import pytest

from analytics_platform.state.problems import Digest, Problems, fingerprint

NOW = datetime(2026, 11, 21, 11, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
SUBJECT = "report feed_daily 2026-11-20"


def tell(problems: Problems, now: datetime) -> Digest:
    """Tell what is to be told."""
    digest = problems.to_tell(now, DAY)
    problems.told(digest, now)
    return digest


def test_a_problem_is_new_once_then_lasting_once_a_day_then_recovered_once(problems: Problems) -> None:
    first = problems.record(SUBJECT, "failed", "Telegram said no", NOW, report="feed_daily", url="http://h/runs/1")

    digest = problems.to_tell(NOW, DAY)
    assert (digest.new, digest.lasting, digest.recovered) == ([first], [], [])
    assert problems.to_tell(NOW, DAY) == digest  # nothing is stamped before it was told
    problems.told(digest, NOW)
    assert not tell(problems, NOW + HOUR)
    again = tell(problems, NOW + DAY)
    assert ([p.fingerprint for p in again.lasting], again.new, again.recovered) == ([first.fingerprint], [], [])
    assert not tell(problems, NOW + DAY + HOUR)

    [closed] = problems.resolve(SUBJECT, NOW + 2 * DAY, "delivered by run 2")
    over = tell(problems, NOW + 2 * DAY)
    assert (over.new, over.lasting, over.recovered) == ([], [], [closed])
    assert (closed.resolution, closed.resolved_at) == ("delivered by run 2", NOW + 2 * DAY)
    assert not tell(problems, NOW + 9 * DAY)
    assert problems.open() == []


def test_what_is_seen_again_counts_up_and_keeps_its_first_moment(problems: Problems) -> None:
    problems.record(SUBJECT, "failed", "no answer after 12.5 s (run 81c2e5a0)", NOW, report="feed_daily", url="u1")
    found = problems.record(SUBJECT, "failed", "no answer after 900 ms (run f00dfeed1)", NOW + HOUR, url="u2")

    assert [found] == problems.open()
    assert (found.times, found.first_seen, found.last_seen) == (2, NOW, NOW + HOUR)
    assert (found.text, found.url, found.owner_of) == ("no answer after 900 ms (run f00dfeed1)", "u2", "feed_daily")


def test_other_subjects_kinds_and_texts_are_other_problems(problems: Problems) -> None:
    problems.record(SUBJECT, "failed", "no answer", NOW)
    problems.record("report feed_daily 2026-11-21", "failed", "no answer", NOW)
    problems.record(SUBJECT, "late", "no answer", NOW)
    problems.record(SUBJECT, "failed", "disk full", NOW + HOUR)
    assert len(problems.open()) == 4
    assert problems.open()[-1].text == "disk full"


def test_a_problem_that_comes_back_opens_anew(problems: Problems) -> None:
    problems.record(SUBJECT, "failed", "no answer", NOW)
    tell(problems, NOW)
    problems.resolve(SUBJECT, NOW + HOUR, "delivered")

    back = problems.record(SUBJECT, "failed", "no answer", NOW + 2 * HOUR)

    assert (back.times, back.first_seen, back.told_at, back.resolved_at) == (1, NOW + 2 * HOUR, None, None)
    digest = tell(problems, NOW + 2 * HOUR)
    # Its recovery is no news any more: it is broken.
    assert (digest.new, digest.recovered) == ([back], [])


def test_what_was_over_before_it_was_told_is_not_told(problems: Problems) -> None:
    problems.record(SUBJECT, "failed", "no answer", NOW)
    problems.resolve(SUBJECT, NOW + HOUR, "delivered")
    assert not problems.to_tell(NOW + HOUR, DAY)


def test_only_what_the_digest_said_is_stamped(problems: Problems) -> None:
    problems.record(SUBJECT, "failed", "no answer", NOW)
    digest = problems.to_tell(NOW, DAY)
    problems.resolve(SUBJECT, NOW + HOUR, "delivered")
    problems.record(SUBJECT, "failed", "no answer", NOW + HOUR)
    other = problems.record(SUBJECT, "failed", "disk full", NOW + HOUR)

    problems.told(digest, NOW + 2 * HOUR)

    later = problems.to_tell(NOW + 2 * HOUR, DAY)
    assert {p.text for p in later.new} == {"no answer", other.text}


def test_closing_is_by_subject_and_kind(problems: Problems) -> None:
    problems.record(SUBJECT, "failed", "no answer", NOW)
    problems.record(SUBJECT, "late", "three hours", NOW)
    problems.record("job other", "failed", "no answer", NOW)

    assert [p.kind for p in problems.resolve(SUBJECT, NOW, "arrived", kind="late")] == ["late"]
    assert problems.resolve(SUBJECT, NOW, "arrived", kind="late") == []
    assert [p.kind for p in problems.resolve(SUBJECT, NOW, "delivered")] == ["failed"]
    assert [p.subject for p in problems.open()] == ["job other"]


def test_what_is_long_over_is_forgotten_but_not_an_untold_recovery(problems: Problems) -> None:
    for number, text in enumerate(("told and over", "recovery untold", "never told")):
        problems.record(f"job {number}", "failed", text, NOW)
    problems.told(Digest(new=[p for p in problems.open() if p.text != "never told"]), NOW)
    for number in range(3):
        problems.resolve(f"job {number}", NOW + HOUR, "over")
    recovered = problems.to_tell(NOW + HOUR, DAY).recovered
    problems.told(Digest(recovered=[p for p in recovered if p.text == "told and over"]), NOW + HOUR)
    problems.record("job open", "failed", "still", NOW)

    assert problems.forget(NOW) == 0
    assert problems.forget(NOW + DAY) == 2
    assert [p.text for p in problems.to_tell(NOW + DAY, DAY).recovered] == ["recovery untold"]
    assert [p.subject for p in problems.open()] == ["job open"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("3 of 24 hours are missing", "17 of 24 hours are missing"),
        ("run 0b9d7c52-4a1e-4c57-9d55-8f1f6c0a2b11 failed", "run 5e2f0f3a-0000-4c57-9d55-8f1f6c0a2b11 failed"),
        ("object at 0x7fbef5701b20", "object at 0x7fbef5371fd0"),
        ("commit 01e568e is wrong", "commit f85c85ae is wrong"),
        ("cannot open /tmp/abc/x.duckdb: no such file", "cannot open ~/home/data/y.duckdb: no such file"),
        ("gave up after 0.52 s", "gave up after 12 seconds"),
        ("not due before 11:00:05.123", "not due before 09:30:00.000"),
        ("GET https://h/a?b=1 failed", "GET https://other:8080/x failed"),
        ("нет данных 3 ч", "Нет  данных 12 ч"),
    ],
)
def test_what_varies_does_not_make_another_problem(one: str, other: str) -> None:
    assert fingerprint("s", "k", one) == fingerprint("s", "k", other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("the facade faded", "the facade decayed"),
        ("and/or", "and"),
        ("TimeoutError: no answer", "ConnectError: no answer"),
        ("column age is missing", "column os is missing"),
    ],
)
def test_what_is_said_does(one: str, other: str) -> None:
    assert fingerprint("s", "k", one) != fingerprint("s", "k", other)


def test_a_fingerprint_is_the_same_for_ever() -> None:
    assert fingerprint("job daily_metrics", "failed", "no answer after 3 s") == "fdb3e3e97dae6dfa5d6d24da7aa45b3d"
