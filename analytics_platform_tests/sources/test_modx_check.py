"""What `doctor` is told of a site, each by a site that is like that, in a real MariaDB."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
from pydantic import SecretStr

from analytics_platform.simulate.modx import Site, Tables, write_site
from analytics_platform.sources.modx import ModxSite, SiteFinding, parse_names
from analytics_platform_tests.mysql_service import MariaDB

UTC_ZONE, TOKYO = ZoneInfo("UTC"), ZoneInfo("Asia/Tokyo")
DATABASE = "modx_check"
# Its newest test was taken minutes before the end.
SITE = Site(seed=2, people=100, results=1_500, payments=30, zone=UTC_ZONE)
NOW = SITE.until
Ask = Callable[..., None]


@pytest.fixture(scope="module")
def _kept(mariadb: MariaDB) -> None:
    write_site(SecretStr(mariadb.empty_database(DATABASE)), SITE, parse_names())


@pytest.fixture
def ask(mariadb: MariaDB, _kept: None) -> Iterator[Ask]:
    """Runs statements in the site's database."""
    with mariadb.connect(DATABASE) as con, con.cursor() as cursor:

        def run(*statements: str) -> None:
            for statement in statements:
                cursor.execute(statement)

        yield run


def checked(
    mariadb: MariaDB, *, user: str = "reader", zone: ZoneInfo = UTC_ZONE, statuses: str = "", **mapping: str
) -> list[SiteFinding]:
    """The findings of the site in `DATABASE`; `mapping` with __ for the dot."""
    names = parse_names("modx_", {key.replace("__", "."): name for key, name in mapping.items()})
    url = SecretStr(mariadb.url(DATABASE, user))
    return list(ModxSite(url, names, zone, statuses=frozenset(statuses.split())).check(NOW))


def only(findings: list[SiteFinding], part: str) -> SiteFinding:
    """The one finding that says so."""
    (found,) = [finding for finding in findings if part in finding.what]
    return found


def test_a_site_as_it_should_be_has_no_problem(mariadb: MariaDB, ask: Ask) -> None:
    findings = checked(mariadb, statuses="finished")
    assert {finding.state for finding in findings if "without a time" not in finding.what} == {"ok"}
    assert f"database {DATABASE} on 127.0.0.1:{mariadb.port} answers: MariaDB" in findings[0].what
    assert only(findings, "table simpletest_users").what == (
        "table simpletest_users has Id, Email, TestId, Datep, Status"
    )
    assert only(findings, "the account").what == "the account can read and not write"
    assert "'finished': " in only(findings, "tests taken in the last 30 days").what
    assert only(findings, "has an index").state == "ok"
    assert mariadb.password not in repr(findings)


def test_an_account_that_may_write_is_told(mariadb: MariaDB, ask: Ask) -> None:
    found = only(checked(mariadb, user="tester"), "the account")
    assert (found.state, found.remedy) == ("note", "give it SELECT only, on the tables named above")
    ask(
        f"CREATE OR REPLACE USER partly@'%' IDENTIFIED BY '{mariadb.password}'",
        f"GRANT SELECT ON `{DATABASE}`.* TO partly@'%'",
        f"GRANT SELECT (`id`), UPDATE (`id`) ON `{DATABASE}`.modx_cert_test TO partly@'%'",
    )
    assert "(UPDATE)" in only(checked(mariadb, user="partly"), "the account").what


def test_tables_and_columns_that_may_not_be_read_are_named(mariadb: MariaDB, ask: Ask) -> None:
    granted = [
        f"GRANT SELECT ON `{DATABASE}`.{table} TO barely@'%'"
        for table in ("simpletest_test", "simpletest_lang", "modx_cert_payment", "modx_cert_result", "modx_cert_test")
    ]
    ask(
        f"CREATE OR REPLACE USER barely@'%' IDENTIFIED BY '{mariadb.password}'",
        *granted,
        f"GRANT SELECT (Id, Email, TestId, Status) ON `{DATABASE}`.simpletest_users TO barely@'%'",
    )
    problems = [finding for finding in checked(mariadb, user="barely") if finding.state == "problem"]
    assert [finding.what.partition(",")[0] for finding in problems] == [
        "column Datep is not in table simpletest_users",
        f"table modx_cert_users is not in database {DATABASE}",
    ]
    assert problems[0].remedy == "name it in MODX_MAPPING (simpletest_users.Datep=its name)"
    assert "MODX_PREFIX or MODX_MAPPING (cert_users=its name), or grant SELECT" in problems[1].remedy


def test_a_name_that_is_wrong_shows_the_tables_that_are_like_it(mariadb: MariaDB, ask: Ask) -> None:
    found = only(checked(mariadb, cert_payment="cert_payment"), "table cert_payment")
    assert (found.state, "(there is modx_cert_payment)" in found.what) == ("problem", True)
    assert only(checked(mariadb, simpletest_users__Datep="Email"), "Email").what == (
        "column simpletest_users.Email (varchar) is not DATETIME, TIMESTAMP, DATE or an integer"
    )
    assert only(checked(mariadb, cert_result__id_user="nothing"), "nothing").state == "problem"


def test_a_status_that_no_test_has_is_told_and_its_column_is_needed_for_it_only(mariadb: MariaDB, ask: Ask) -> None:
    assert only(checked(mariadb, statuses="FINISHED started"), "no test of").what == (
        "no test of the last 30 days has the status 'FINISHED'"
    )
    ask("ALTER TABLE simpletest_users RENAME COLUMN Status TO State")
    try:
        assert {finding.state for finding in checked(mariadb)} == {"ok", "note"}
        found = only(checked(mariadb, statuses="finished"), "column Status")
        assert (found.state, found.remedy) == (
            "problem",
            "name it in MODX_MAPPING (simpletest_users.Status=its name), or empty MODX_TEST_STATUSES",
        )
    finally:
        ask("ALTER TABLE simpletest_users RENAME COLUMN State TO Status")


def test_the_newest_test_in_the_future_means_a_wrong_zone(mariadb: MariaDB, ask: Ask) -> None:
    assert only(checked(mariadb), "the newest test").state == "ok"
    west = only(checked(mariadb, zone=ZoneInfo("America/New_York")), "the newest test")
    assert (west.state, west.remedy) == ("problem", "set MODX_TIMEZONE to the zone of the site's clock")
    assert only(checked(mariadb, zone=TOKYO), "the newest test").state == "ok"


def test_a_typing_mistake_of_years_is_no_wrong_zone(mariadb: MariaDB, ask: Ask) -> None:
    ask("INSERT INTO simpletest_users (Id, Datep) VALUES (99999, '2062-01-01')")
    try:
        findings = checked(mariadb)
    finally:
        ask("DELETE FROM simpletest_users WHERE Id = 99999")
    assert only(findings, "the newest test").state == "ok"
    assert only(findings, "dated more than a day from now: 1").state == "note"


def test_an_id_that_means_something_else_is_told(mariadb: MariaDB, ask: Ask) -> None:
    assert only(checked(mariadb), "with a language").what == "tests to be taken: 40, with a language: 20"
    ask("ALTER TABLE simpletest_test ADD newid INT NOT NULL DEFAULT 0")
    try:
        found = only(checked(mariadb, simpletest_test__Id="newid"), "have no row in simpletest_test")
    finally:
        ask("ALTER TABLE simpletest_test DROP newid")
    assert found.state == "note"
    assert found.remedy.startswith("check that newid is what TestId means")


def test_what_makes_a_site_slow_or_inexact_is_a_note(mariadb: MariaDB) -> None:
    url = SecretStr(mariadb.empty_database("modx_check_old"))
    tables = Tables("latin1", engine="MyISAM", index=False)
    write_site(url, Site(people=5, results=20, payments=5), parse_names(), tables)
    with mariadb.connect("modx_check_old") as con, con.cursor() as cursor:
        cursor.execute("ALTER TABLE modx_cert_payment MODIFY datetime_payment DATE NULL")
        cursor.execute("CREATE INDEX of_no_use ON simpletest_users (TestId, Datep)")
    findings = list(ModxSite(url, parse_names(), UTC_ZONE).check(NOW + timedelta(days=400)))
    for part in ("has no index", "not of InnoDB", "is a DATE", "no test was taken in the last 30 days"):
        assert only(findings, part).state == "note"
        assert only(findings, part).remedy
    assert "simpletest_users in latin1_swedish_ci" in only(findings, "e-mails").what
    assert {finding.state for finding in findings} == {"ok", "note"}


def test_a_site_that_does_not_answer_is_one_problem(mariadb: MariaDB) -> None:
    url = SecretStr(f"mysql://reader:{mariadb.password}@127.0.0.1:1/{DATABASE}")
    (found,) = ModxSite(url, parse_names(), UTC_ZONE).check(NOW)
    assert (found.state, found.remedy) == ("problem", "try again when it answers")
    assert "does not answer now" in found.what


@pytest.mark.usefixtures("_kept")
def test_without_a_moment_the_servers_clock_counts(mariadb: MariaDB) -> None:
    url = SecretStr(mariadb.url(DATABASE, "reader"))
    findings = list(ModxSite(url, parse_names(), UTC_ZONE).check(window=timedelta(days=3_600)))
    assert only(findings, "tests taken in the last 3600 days").state == "ok"
