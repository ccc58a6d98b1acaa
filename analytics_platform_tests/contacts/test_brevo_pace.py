"""How fast Brevo is asked: as its headers say, and never faster than ten a second. No test here waits."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise

import pytest

from analytics_platform.contacts.base import Contact, ContactsBusyError
from analytics_platform.contacts.brevo import Brevo
from analytics_platform.contacts.brevo_pace import Pace, asked
from analytics_platform_tests.brevo_faults import Fault
from analytics_platform_tests.brevo_kept import Limit
from analytics_platform_tests.brevo_server import BrevoServer
from analytics_platform_tests.contacts.conftest import HandClock

DATE = "Sun, 01 Mar 2026 12:00:00 GMT"
MOMENT = 1772366400  # the same


def limits(remaining: object, reset: object) -> dict[str, str]:
    return {"x-sib-ratelimit-remaining": str(remaining), "x-sib-ratelimit-reset": str(reset)}


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [
        (201, {}, None),
        (201, limits(5, 3000), None),
        (201, limits(0, 7), 7),
        (429, limits(0, 7), 7),
        (429, {"x-sib-ratelimit-reset": "7"}, 7),
        (429, limits(20_000, 3000), None),  # another limit than the hour's
        (429, limits(0, 3000) | {"retry-after": "2"}, 2),
        (503, {"retry-after": "9"}, 9),
        (500, {"retry-after": "9"}, None),
        (429, {"retry-after": "Sun, 01 Mar 2026 12:00:30 GMT", "date": DATE}, 30),
        (429, {"retry-after": "Sun, 01 Mar 2026 12:00:30 GMT"}, None),
        (429, {"retry-after": "Sun, 01 Mar 2026 11:00:00 GMT", "date": DATE}, 0),
        (429, limits(0, MOMENT + 12) | {"date": DATE}, 12),
        (429, limits("none", "soon"), None),
        (429, limits(0, "nan"), None),
        (429, limits(0, -4), None),
        (429, limits(0, 3601), 3600),  # no window is longer than an hour
        (201, limits(0, 900_000_000), 3600),
        (429, limits(0, 1e300) | {"date": DATE}, 3600),
        (503, {"retry-after": "999999999"}, 3600),
        (503, {"retry-after": "Fri, 31 Dec 9999 23:59:59 GMT", "date": DATE}, 3600),
        (503, {"retry-after": "Fri, 31 Dec 99999 23:59:59 GMT", "date": DATE}, None),
    ],
)
def test_what_an_answer_says_of_the_pace(status: int, headers: Mapping[str, str], seconds: float | None) -> None:
    assert asked(status, headers) == seconds


def test_each_group_of_paths_is_held_by_itself() -> None:
    pace = Pace()
    pace.sent(10)
    assert pace.told("contacts", 429, limits(0, 30), 10) == 30
    assert pace.wait("contacts", 15) == 25
    assert pace.wait("processes", 15) == 0
    assert pace.told("contacts", 201, limits(3, 2), 15) is None
    assert pace.wait("contacts", 15) == 25


def test_no_more_than_ten_requests_go_in_a_second(server: BrevoServer, brevo: Brevo) -> None:
    for number in range(25):
        brevo.upsert(Contact(f"a{number}@example.com"))
    moments = [one.at for one in server.requests]
    assert min(later - earlier for earlier, later in pairwise(moments)) == pytest.approx(0.1)
    assert moments[-1] - moments[0] == pytest.approx(2.4)


def test_a_window_that_is_used_up_is_waited_for_before_it_is_refused(server: BrevoServer, brevo: Brevo) -> None:
    server.limit, server.enforced = Limit(3, 20), True
    for number in range(7):
        brevo.upsert(Contact(f"a{number}@example.com"))
    begun = server.requests[0].at
    assert [round(one.at - begun, 1) for one in server.requests] == [0, 0.1, 0.2, 20.2, 20.3, 20.4, 40.4]
    assert server.too_many == 0
    assert len(server.contacts) == 7


def test_another_user_of_the_key_may_use_it_up_first(server: BrevoServer, brevo: Brevo, clock: HandClock) -> None:
    server.limit, server.enforced = Limit(2, 20), True
    with_other = Brevo(server.api_key, server.url, sleep=clock.sleep, clock=clock)
    for client, name in [(brevo, "a"), (with_other, "b"), (brevo, "c")]:
        client.upsert(Contact(f"{name}@example.com"))
    with_other.close()
    assert server.too_many == 1
    assert sorted(server.contacts) == ["a@example.com", "b@example.com", "c@example.com"]


@pytest.mark.parametrize("fault", [Fault("limit_reached", value=17), Fault("retry_after", value=17)])
def test_the_time_that_brevo_asks_for_is_waited_and_no_longer(server: BrevoServer, brevo: Brevo, fault: Fault) -> None:
    server.faults.append(replace(fault))
    brevo.upsert(Contact("a@example.com"))
    first, second = server.requests
    assert second.at - first.at == pytest.approx(17)


def test_without_a_word_it_waits_longer_each_time(server: BrevoServer, brevo: Brevo) -> None:
    server.faults.append(Fault("too_many", times=3))
    brevo.upsert(Contact("a@example.com"))
    moments = [one.at for one in server.requests]
    assert [later - earlier for earlier, later in pairwise(moments)] == pytest.approx([1.25, 2.25, 4.25])


@pytest.mark.parametrize("fault", [Fault("limit_reached", value=1800), Fault("retry_after", value=1800)])
def test_a_long_wait_is_left_to_the_caller_and_nothing_is_sent_before(
    server: BrevoServer, brevo: Brevo, clock: HandClock, fault: Fault
) -> None:
    server.faults.append(replace(fault))
    with pytest.raises(ContactsBusyError) as caught:
        brevo.upsert(Contact("a@example.com"))
    assert caught.value.retry_after_seconds == 1800
    clock.now += 100

    with pytest.raises(ContactsBusyError) as caught:
        brevo.upsert(Contact("b@example.com"))
    assert caught.value.retry_after_seconds == pytest.approx(1700)
    assert len(server.requests) == 1
    assert clock.slept == []

    brevo.account()
    clock.now += 1700
    brevo.upsert(Contact("b@example.com"))
    assert [one.path for one in server.requests] == ["/contacts", "/account", "/contacts"]


def test_a_service_that_is_down_may_say_for_how_long(server: BrevoServer, brevo: Brevo) -> None:
    server.faults.append(Fault("unavailable", value=40))
    brevo.upsert(Contact("a@example.com"))
    assert server.requests[1].at - server.requests[0].at == pytest.approx(40)
