"""The simulated site: its truth against its rows, told once more; what is written, what is never touched."""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from pydantic import SecretStr

from analytics_platform.funnels.person import normal
from analytics_platform.funnels.plan import FunnelType
from analytics_platform.simulate.modx import (
    FINISHED,
    Site,
    SiteExistsError,
    SiteWriteError,
    Tables,
    add_payments,
    write_site,
)
from analytics_platform.sources.modx import ModxSite, parse_names
from analytics_platform_tests.mysql_service import MariaDB

BERLIN = ZoneInfo("Europe/Berlin")
MONTH = timedelta(days=30)
LANGUAGE, OTHER = FunnelType.LANGUAGE, FunnelType.NON_LANGUAGE
SITE = Site(seed=11, people=300, results=1_200, payments=200, zone=BERLIN)


def told(site: Site, moment: datetime, statuses: Collection[str]) -> dict[FunnelType, list[tuple[str, int]]]:
    """The candidates of each funnel (e-mail, result) from the rows alone, row by row."""
    languages = {key for (key,) in site.language_rows()}
    funnel_of = {test: LANGUAGE if language in languages else OTHER for test, language in site.test_rows()}
    found: dict[FunnelType, dict[str, tuple[datetime, int]]] = {LANGUAGE: {}, OTHER: {}}
    for part in site.result_rows():
        for key, email, test, wall, status in part:
            address = normal(email)
            if address is None or wall is None or test not in funnel_of or (statuses and status not in statuses):
                continue
            taken_at = wall.replace(tzinfo=site.zone).astimezone(UTC)
            if taken_at >= moment - MONTH:
                people = found[funnel_of[test]]
                people[address] = max(people.get(address, (taken_at, key)), (taken_at, key))
    newest = {funnel: sorted(people.items(), key=lambda item: item[1])[::-1] for funnel, people in found.items()}
    return {funnel: [(email, key) for email, (_, key) in people] for funnel, people in newest.items()}


@pytest.mark.parametrize("statuses", [(), (FINISHED,), (FINISHED, "started")])
@pytest.mark.parametrize("zone", [ZoneInfo("UTC"), BERLIN, ZoneInfo("Australia/Lord_Howe")])
def test_the_truth_is_what_the_rows_say(zone: ZoneInfo, statuses: tuple[str, ...]) -> None:
    # These days hold autumn in Berlin and spring on Lord Howe Island, by half an hour.
    site = Site(seed=4, people=120, results=800, payments=10, zone=zone)
    for moment in (site.until, site.until - timedelta(days=7)):
        people = site.candidates(moment, MONTH, frozenset(statuses))
        expected = told(site, moment, statuses)
        assert {kind: [(p.email, p.result_id) for p in found] for kind, found in people.items()} == expected
        assert all(expected.values())


def test_the_same_seed_gives_the_same_site_and_another_one_another() -> None:
    def rows(site: Site) -> list[object]:
        return [*site.test_rows(), *site.language_rows(), *site.certificate_rows(), *site.result_rows()]

    assert rows(Site(seed=11)) == rows(Site(seed=11))
    assert rows(Site(seed=11)) != rows(Site(seed=12))


def test_what_a_real_site_has_is_planted() -> None:
    rows = [row for part in SITE.result_rows() for row in part]
    emails = [email for _, email, _, _, _ in rows]
    assert {None, "", "   "} <= set(emails)
    assert any(email and email.isupper() for email in emails)
    assert any(email and email.strip() != email and normal(email) for email in emails)
    assert any(email and email.strip() and normal(email) is None for email in emails)
    there = {test for test, _ in SITE.test_rows()}
    assert any(test not in there for _, _, test, _, _ in rows)
    assert any(wall is None for _, _, _, wall, _ in rows)
    assert all(people for people in SITE.bought(SITE.until).values())
    assert {language for _, language in SITE.test_rows()} > {None, 0}


def test_earlier_buyers_are_customers_and_a_batch_takes_the_newest() -> None:
    all_of_them = SITE.entering(SITE.until)
    for funnel, (entered, customers) in all_of_them.items():
        buyers = SITE.bought(SITE.until)[funnel]
        assert customers
        assert all(person.email in buyers for person in customers)
        assert not any(person.email in buyers for person in entered)
        newest = SITE.candidates(SITE.until)[funnel][:10]
        few, few_customers = SITE.entering(SITE.until, batch=10)[funnel]
        assert sorted(few + few_customers, key=lambda person: person.email) == sorted(newest, key=lambda p: p.email)


@pytest.mark.parametrize("entered_at", [SITE.until, SITE.until + timedelta(microseconds=250)])
def test_later_purchases_lie_within_the_window_and_the_others_count_for_nothing(entered_at: datetime) -> None:
    entered = [(person.email, kind) for kind, (people, _) in SITE.entering(SITE.until).items() for person in people]
    later = SITE.later(entered, entered_at, MONTH)
    first: dict[tuple[str, FunnelType], datetime] = {}
    for paid in later.payments:
        email = normal(paid.email)
        if paid.status == 2 and email is not None and entered_at <= paid.paid_at < entered_at + MONTH:
            first[email, paid.funnel] = min(paid.paid_at, first.get((email, paid.funnel), paid.paid_at))
    assert {key: at for key, at in first.items() if key in set(entered)} == later.purchased
    assert 0.2 < len(later.purchased) / len(entered) < 0.4
    assert {paid.status for paid in later.payments} == {1, 2}
    last = max(later.purchased.values())
    assert last == entered_at.replace(microsecond=0) + MONTH - timedelta(seconds=0 if entered_at.microsecond else 1)
    assert all(paid.paid_at.microsecond == 0 for paid in later.payments)


def test_a_site_is_never_written_over_another_one(mariadb: MariaDB) -> None:
    url = SecretStr(mariadb.empty_database("modx_there"))
    with mariadb.connect("modx_there") as con, con.cursor() as cursor:
        cursor.execute("CREATE TABLE modx_cert_test (id INT)")
        with pytest.raises(SiteExistsError, match="has a table modx_cert_test already"):
            write_site(url, Site(), parse_names())
        cursor.execute("SHOW TABLES")
        assert cursor.fetchall() == (("modx_cert_test",),)


def test_an_account_that_may_only_read_cannot_write_a_site(mariadb: MariaDB) -> None:
    mariadb.empty_database("modx_there")
    with pytest.raises(SiteWriteError, match=r"CREATE command denied .* an account that may write") as raised:
        write_site(SecretStr(mariadb.url("modx_there", "reader")), Site(), parse_names())
    assert raised.value.__cause__ is None
    assert mariadb.password not in str(raised.value)
    nowhere = SecretStr(f"mysql://tester:{mariadb.password}@127.0.0.1:1/modx_there")
    with pytest.raises(SiteWriteError, match="Can't connect"):
        add_payments(nowhere, parse_names(), [], BERLIN)


@pytest.mark.parametrize("times", ["datetime", "timestamp", "seconds"])
def test_later_payments_reach_the_written_site(mariadb: MariaDB, times: str) -> None:
    url, names, tables = SecretStr(mariadb.empty_database("modx_later")), parse_names("x_"), Tables(times=times)
    site = Site(people=60, results=200, payments=20, zone=BERLIN)
    seen: list[tuple[int, int]] = []
    write_site(url, site, names, tables, progress=lambda done, whole: seen.append((done, whole)))
    assert seen == [(200, 200)]
    read = ModxSite(url, names, BERLIN)
    before = list(read.payments())
    entered = [(p.email, kind) for kind, (people, _) in site.entering(site.until).items() for p in people]
    later = site.later(entered, site.until)
    assert add_payments(url, names, later.payments, BERLIN, tables) == len(later.payments)
    added = {(normal(p.email), p.funnel, p.paid_at) for p in read.payments()} - {
        (normal(p.email), p.funnel, p.paid_at) for p in before
    }
    assert added == {(normal(p.email), p.funnel, p.paid_at) for p in later.payments if p.status == 2}
    assert add_payments(url, names, [], BERLIN, tables) == 0
