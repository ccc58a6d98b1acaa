"""The delivery ledger's rules, one process at a time."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from analytics_platform.redaction import BOT_TOKEN
from analytics_platform.state.database import Database
from analytics_platform.state.deliveries import Deliveries, Gone
from analytics_platform.state.owners import Owner
from analytics_platform.state.part_changes import DIED, SILENT
from analytics_platform.state.parts import LostPartError, Part, State, Wanted
from analytics_platform_tests.work import calls_of

NOW = datetime(2026, 11, 21, 11, 0, tzinfo=UTC)
MINUTE, LEASE, DAY = timedelta(minutes=1), timedelta(minutes=10), timedelta(days=1)
UNTIL = NOW + DAY
FEED = ("feed", "2026-11-20")
ABC = Owner("abc", "host", 12, "/run/abc.lock")
XYZ = Owner("xyz", "host", 13)
TEXT = Wanted("telegram", "-1001", "", "1 text", 1, "en", "d1", True)
ALBUM = Wanted("telegram", "-1001", "", "2 album", 2, "en", "d2", False)
PENDING, SENDING, SENT, UNCERTAIN, FAILED = State


@pytest.fixture
def deliveries(database: Database) -> Deliveries:
    """An empty delivery ledger."""
    return Deliveries(database)


def alive(owner: Owner) -> bool:
    return False


def dead(owner: Owner) -> bool:
    return True


def enter(deliveries: Deliveries, *wanted: Wanted, now: datetime = NOW, period: str = FEED[1]) -> list[Part]:
    """Parts of the feed, to be sent within a day."""
    return deliveries.enter("feed", period, wanted or (TEXT, ALBUM), now, now + DAY)


def begin(deliveries: Deliveries, part: Part, owner: Owner = ABC, now: datetime = NOW) -> Part | None:
    """A try, everybody else alive."""
    return deliveries.begin(part.id, owner, now, lease=LEASE, gone=alive)


def ended(deliveries: Deliveries, part: Part, state: State, now: datetime = NOW, error: str = "") -> Part:
    """The part after a whole try."""
    assert begin(deliveries, part, now=now)
    return deliveries.end(part.id, ABC, state, now, error=error)


# ----------------------------------------------------------------- entering


def test_parts_are_entered_pending_in_the_order_in_which_they_are_sent(deliveries: Deliveries) -> None:
    other = replace(TEXT, address="-1000")
    parts = enter(deliveries, ALBUM, TEXT, other, replace(TEXT, thread="7"))
    assert [(p.address, p.thread, p.part) for p in parts] == [
        ("-1000", "", "1 text"),
        ("-1001", "", "1 text"),
        ("-1001", "", "2 album"),
        ("-1001", "7", "1 text"),
    ]
    assert parts == deliveries.parts(*FEED)
    assert deliveries.find([parts[2].id, parts[0].id, 999]) == sorted((parts[2], parts[0]), key=lambda part: part.id)
    first = parts[0]
    assert first == Part(
        *(first.id, *FEED, "telegram", "-1000", "", "1 text", 1, "en", "d1", True, PENDING, False, 0, (), (), ""),
        *(NOW, NOW, UNTIL),
    )


def test_entering_again_brings_what_was_never_begun_up_to_date_and_leaves_the_rest(deliveries: Deliveries) -> None:
    gone = replace(TEXT, address="-5")
    begun_and_gone = replace(TEXT, address="-6")
    parts = {p.key: p for p in enter(deliveries, TEXT, ALBUM, gone, begun_and_gone)}
    sent = ended(deliveries, parts[TEXT.key], SENT)
    kept = ended(deliveries, parts[begun_and_gone.key], PENDING)

    later = NOW + MINUTE
    new = replace(TEXT, address="-7")
    wanted = [replace(TEXT, digest="x"), replace(ALBUM, digest="y", place=5, language="ru", repeatable=True), new]
    now = {p.key: p for p in enter(deliveries, *wanted, now=later)}

    assert set(now) == {TEXT.key, ALBUM.key, begun_and_gone.key, new.key}
    assert (now[TEXT.key], now[begun_and_gone.key]) == (sent, kept)
    album = now[ALBUM.key]
    assert (album.digest, album.place, album.language, album.repeatable) == ("y", 5, "ru", True)
    assert (album.id, album.updated_at, album.try_until) == (parts[ALBUM.key].id, later, UNTIL)
    assert (now[new.key].created_at, now[new.key].try_until) == (later, later + DAY)


def test_entering_the_same_again_changes_nothing(deliveries: Deliveries) -> None:
    parts = enter(deliveries)
    assert enter(deliveries, ALBUM, TEXT, TEXT, now=NOW + MINUTE) == parts
    with pytest.raises(ValueError, match=r"1 text of feed 2026-11-20 for telegram -1001 is wanted twice"):
        enter(deliveries, TEXT, replace(TEXT, digest="another"))
    assert deliveries.parts(*FEED) == parts


def test_any_text_can_be_an_address(deliveries: Deliveries) -> None:
    odd = replace(TEXT, address="a\0b\ud800", part="нo \0")
    [part] = enter(deliveries, odd)
    assert enter(deliveries, odd) == [part]
    assert deliveries.moved("telegram", odd.address, "Ж", NOW) == 1


def test_two_thousand_parts_are_entered_with_little_work(deliveries: Deliveries) -> None:
    wanted = [replace(w, address=f"-{n}") for n in range(1000) for w in (TEXT, ALBUM)]
    deliveries.due(NOW)  # imports and the schema
    found: list[int] = []
    first = calls_of(lambda: found.append(len(enter(deliveries, *wanted))))
    again = calls_of(lambda: found.append(len(enter(deliveries, *(replace(w, digest="new") for w in wanted)))))
    assert found == [2000, 2000]
    # 440 calls a part in both together where this was written, 550 with PostgreSQL; well under a second.
    assert first + again < 800 * len(wanted)


def test_the_number_of_a_withdrawn_part_never_becomes_anothers(deliveries: Deliveries) -> None:
    old = enter(deliveries)
    assert deliveries.withdraw(*FEED, NOW) == 2
    new = enter(deliveries, period="2026-11-21")
    assert not {p.id for p in old} & {p.id for p in new}
    assert begin(deliveries, old[0]) is None


def test_only_what_was_never_begun_is_withdrawn(deliveries: Deliveries) -> None:
    text, _ = enter(deliveries)
    tried = ended(deliveries, text, PENDING)
    [other] = enter(deliveries, TEXT, period="2026-11-21")
    assert deliveries.withdraw(*FEED, NOW) == 1
    assert deliveries.parts(*FEED) == [tried]
    assert deliveries.parts("feed", "2026-11-21") == [other]


# ----------------------------------------------------------------- one try


def test_a_part_is_begun_by_one_and_ends_as_sent(deliveries: Deliveries) -> None:
    text, _ = enter(deliveries)
    begun = begin(deliveries, text, now=NOW + MINUTE)
    assert begun
    assert [begun] == deliveries.find([text.id])
    assert (begun.state, begun.attempts, begun.owner, begun.doubtful) == (SENDING, 1, ABC, False)
    assert begun.lease_until == NOW + MINUTE + LEASE
    assert begin(deliveries, text, XYZ) is None
    assert begin(deliveries, text, ABC) is None  # another task of the same process
    assert begin(deliveries, replace(text, id=999)) is None

    sent = deliveries.end(text.id, ABC, SENT, NOW + LEASE, error="as text", message_ids=["5", "6"], file_ids=["f"])

    assert [sent] == deliveries.find([text.id])
    assert (sent.state, sent.owner, sent.lease_until, sent.sent_at) == (SENT, None, None, NOW + LEASE)
    assert (sent.message_ids, sent.file_ids, sent.error, sent.doubtful) == (("5", "6"), ("f",), "as text", False)
    assert begin(deliveries, text) is None


def test_what_is_proven_not_to_have_arrived_is_tried_again_without_doubt(deliveries: Deliveries) -> None:
    text, _ = enter(deliveries)
    assert begin(deliveries, text)
    waits = deliveries.end(text.id, ABC, PENDING, NOW, error="asked to wait", next_at=NOW + MINUTE)
    assert (waits.next_at, waits.error, waits.doubtful) == (NOW + MINUTE, "asked to wait", False)
    again = begin(deliveries, text)
    assert again
    assert (again.attempts, again.doubtful, again.next_at) == (2, False, None)


def test_a_text_of_unknown_fate_is_tried_again_doubtfully_and_an_album_is_held(deliveries: Deliveries) -> None:
    text, album = enter(deliveries)
    for part in (text, album):
        assert ended(deliveries, part, UNCERTAIN, error="no answer").doubtful
    assert begin(deliveries, album) is None
    again = begin(deliveries, text)
    assert again
    assert (again.attempts, again.doubtful) == (2, True)
    # Only this try is proven not to have arrived.
    assert deliveries.end(text.id, ABC, PENDING, NOW).doubtful


def test_repeatable_can_change_with_a_try(deliveries: Deliveries) -> None:
    text, _ = enter(deliveries)
    assert begin(deliveries, text)
    assert not deliveries.end(text.id, ABC, UNCERTAIN, NOW, as_repeatable=False).repeatable
    assert begin(deliveries, text) is None


@pytest.mark.parametrize("state", [SENT, FAILED])
def test_what_is_over_is_not_begun(deliveries: Deliveries, state: State) -> None:
    text, _ = enter(deliveries)
    over = ended(deliveries, text, state)
    assert begin(deliveries, text) is None
    assert deliveries.find([text.id]) == [over]


def test_a_try_of_somebody_else_cannot_be_ended(deliveries: Deliveries) -> None:
    text, _ = enter(deliveries)
    with pytest.raises(LostPartError, match=r"^1 text of feed .* is no longer run abc's: it is pending$"):
        deliveries.end(text.id, ABC, SENT, NOW)
    begun = begin(deliveries, text, XYZ)
    with pytest.raises(LostPartError, match=r"run abc's: it is sending, by run xyz \(try 1\)$") as caught:
        deliveries.end(text.id, ABC, SENT, NOW)
    assert caught.value.part == begun
    with pytest.raises(LostPartError, match=r"^part 999 is no longer run abc's: it is not in the ledger$"):
        deliveries.end(999, ABC, SENT, NOW)
    with pytest.raises(ValueError, match="cannot end as sending"):
        deliveries.end(text.id, XYZ, SENDING, NOW)
    assert deliveries.find([text.id]) == [begun]


def test_no_secret_is_kept(deliveries: Deliveries) -> None:
    token = f"{'1' * 9}:{'A' * 35}"
    text, album = enter(deliveries)
    failed = ended(deliveries, text, FAILED, error=f"POST /bot{token}/sendMessage: \0 no")
    [given_up] = deliveries.give_up([album.id], f"bot{token} is blocked", NOW)
    assert failed.error == f"POST /bot{BOT_TOKEN}/sendMessage: \0 no"
    assert [p.error for p in deliveries.parts(*FEED)] == [f"POST /bot{BOT_TOKEN}/sendMessage:   no", given_up.error]
    assert given_up.error == f"bot{BOT_TOKEN} is blocked"


# -------------------------------------------------------- processes that ended


@pytest.mark.parametrize(("gone", "later", "why"), [(dead, MINUTE, DIED), (alive, LEASE, SILENT)])
def test_what_a_process_left_behind_is_of_unknown_fate(
    deliveries: Deliveries, gone: Gone, later: timedelta, why: str
) -> None:
    text, album = enter(deliveries)
    for part in (text, album):
        assert begin(deliveries, part)
    assert deliveries.release_dead(NOW + LEASE - MINUTE, alive) == []

    left = deliveries.release_dead(NOW + later, gone)

    assert left == deliveries.parts(*FEED)
    assert [(p.state, p.doubtful, p.error, p.attempts) for p in left] == [(UNCERTAIN, True, why, 1)] * 2
    assert deliveries.release_dead(NOW + later, gone) == []
    again = begin(deliveries, text, XYZ)
    assert again
    assert (again.doubtful, again.owner) == (True, XYZ)
    assert begin(deliveries, album, XYZ) is None


@pytest.mark.parametrize(("gone", "later"), [(dead, MINUTE), (alive, LEASE)])
def test_a_leftover_text_is_taken_over_at_once_and_an_album_becomes_held(
    deliveries: Deliveries, gone: Gone, later: timedelta
) -> None:
    text, album = enter(deliveries)
    for part in (text, album):
        assert begin(deliveries, part)
    taken = deliveries.begin(text.id, XYZ, NOW + later, lease=LEASE, gone=gone)
    assert taken
    assert (taken.owner, taken.attempts, taken.doubtful) == (XYZ, 2, True)
    assert deliveries.begin(album.id, XYZ, NOW + later, lease=LEASE, gone=gone) is None
    [held] = deliveries.find([album.id])
    assert (held.state, held.doubtful, held.attempts) == (UNCERTAIN, True, 1)
    with pytest.raises(LostPartError, match=r"it is sending, by run xyz \(try 2\)"):
        deliveries.end(text.id, ABC, SENT, NOW + later)


def test_one_process_is_asked_after_once_however_many_parts_it_had(deliveries: Deliveries) -> None:
    for part in enter(deliveries):
        assert begin(deliveries, part)
    asked: list[Owner] = []

    def gone(owner: Owner) -> bool:
        asked.append(owner)
        return True

    assert len(deliveries.release_dead(NOW, gone)) == 2
    assert asked == [ABC]


@pytest.mark.parametrize("state", [SENT, PENDING, FAILED, UNCERTAIN])
def test_a_late_answer_is_better_than_doubt(deliveries: Deliveries, state: State) -> None:
    text, album = enter(deliveries)
    for part in (text, album):
        assert begin(deliveries, part)
    deliveries.release_dead(NOW + LEASE, alive)
    for part in (text, album):
        late = deliveries.end(part.id, ABC, state, NOW + LEASE, message_ids=["5"], error="what it says")
        assert [late] == deliveries.find([part.id])
        assert (late.state, late.error, late.owner) == (state, "what it says", None)
        assert late.message_ids == (("5",) if state is SENT else ())
        # The doubt was about this try alone.
        assert late.doubtful == (state is UNCERTAIN)
        with pytest.raises(LostPartError):
            deliveries.end(part.id, ABC, SENT, NOW + LEASE)


def test_a_late_answer_says_nothing_of_the_tries_before(deliveries: Deliveries) -> None:
    text, _ = enter(deliveries)
    ended(deliveries, text, UNCERTAIN)
    assert begin(deliveries, text)
    deliveries.release_dead(NOW + LEASE, alive)
    late = deliveries.end(text.id, ABC, PENDING, NOW + LEASE)
    assert (late.state, late.doubtful) == (PENDING, True)


def test_a_late_answer_comes_too_late_once_somebody_has_decided(deliveries: Deliveries) -> None:
    parts = enter(deliveries)
    for part in parts:
        assert begin(deliveries, part)
    deliveries.release_dead(NOW + LEASE, alive)
    deliveries.again([parts[0].id], NOW, UNTIL)
    deliveries.give_up([parts[1].id], "enough", NOW, states=(UNCERTAIN,))
    for part in parts:
        with pytest.raises(LostPartError):
            deliveries.end(part.id, ABC, SENT, NOW + LEASE)


def test_the_answer_of_one_try_is_not_taken_for_the_next_ones(deliveries: Deliveries) -> None:
    text, _ = enter(deliveries)
    assert begin(deliveries, text)
    second = begin(deliveries, text, now=NOW + LEASE)
    assert second
    assert second.attempts == 2
    with pytest.raises(LostPartError, match=r"by run abc \(try 2\)"):
        deliveries.end(text.id, ABC, PENDING, NOW + LEASE, attempt=1)
    assert deliveries.end(text.id, ABC, SENT, NOW + LEASE, attempt=2).doubtful
