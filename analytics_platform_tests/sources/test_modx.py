"""Tests and payments of a site, read from a real MariaDB: every charset, engine and type of time that sites have."""

from collections.abc import Callable, Generator, Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from pydantic import SecretStr

from analytics_platform.funnels.person import normal
from analytics_platform.funnels.plan import FunnelType
from analytics_platform.funnels.records import Payment, Taken
from analytics_platform.simulate.modx import FINISHED, Paid, Person, Site, Tables, add_payments, write_site
from analytics_platform.sources import modx_sql
from analytics_platform.sources.modx import LeftOut, ModxSite, SiteError, parse_names
from analytics_platform_tests.mysql_service import MariaDB

BERLIN = ZoneInfo("Europe/Berlin")
UTC_ZONE = ZoneInfo("UTC")
MONTH = timedelta(days=30)
BOTH = tuple(FunnelType)
NAMES = parse_names()
DATABASE = "modx_reading"
# Its sixty days hold the hour that Berlin's clocks show twice.
SITE = Site(seed=3, people=150, results=700, payments=120, zone=BERLIN)
LANGUAGE, OTHER = FunnelType.LANGUAGE, FunnelType.NON_LANGUAGE


def opened(mariadb: MariaDB, zone: ZoneInfo = UTC_ZONE, *, user: str = "reader", **options: object) -> ModxSite:
    """The site in `DATABASE`, by an account that can only read."""
    statuses = frozenset(str(options.pop("statuses", "")).split())
    return ModxSite(SecretStr(mariadb.url(DATABASE, user)), NAMES, zone, statuses=statuses)


@pytest.fixture(scope="module")
def _written(mariadb: MariaDB) -> None:
    write_site(SecretStr(mariadb.empty_database(DATABASE)), SITE, NAMES)


@pytest.fixture
def site(mariadb: MariaDB, _written: None) -> ModxSite:
    """The simulated site, as it was written."""
    return opened(mariadb, BERLIN)


Ask = Callable[..., None]


@pytest.fixture(scope="module")
def ask(mariadb: MariaDB) -> Iterator[Ask]:
    """Runs statements in an empty database with the seven tables, whose columns are of the simplest kind."""
    name = "modx_by_hand"
    mariadb.empty_database(name)
    with mariadb.connect(name) as con, con.cursor() as cursor:

        def run(*statements: str) -> None:
            for statement in ("SET sql_mode = ''", *statements):
                cursor.execute(statement)

        yield run


def by_hand(mariadb: MariaDB, zone: ZoneInfo = UTC_ZONE) -> ModxSite:
    """The site of the fixture `ask`."""
    return ModxSite(SecretStr(mariadb.url("modx_by_hand", "reader")), NAMES, zone)


def make(ask: Ask, time: str = "DATETIME", key: str = "INT PRIMARY KEY") -> None:
    """Seven empty tables."""
    tables = {
        "simpletest_users": f"Id INT PRIMARY KEY, Email VARCHAR(255), TestId INT, Datep {time} NULL, Status INT",
        "simpletest_test": f"Id {key}, LangId INT",
        "simpletest_lang": "Id INT PRIMARY KEY",
        "modx_cert_payment": f"id INT PRIMARY KEY, id_result INT, id_status INT, datetime_payment {time} NULL",
        "modx_cert_result": "id INT PRIMARY KEY, id_user INT, id_test INT",
        "modx_cert_users": "id INT PRIMARY KEY, email VARCHAR(255)",
        "modx_cert_test": "id INT PRIMARY KEY, type INT",
    }
    for table, columns in tables.items():
        ask(f"DROP TABLE IF EXISTS {table}", f"CREATE TABLE {table} ({columns})")
    ask(
        "INSERT INTO simpletest_lang VALUES (1)", "INSERT INTO simpletest_test VALUES (1, 1), (2, NULL), (3, 0), (4, 9)"
    )


def chosen(taken: Iterator[Taken]) -> dict[FunnelType, list[Person]]:
    """The newest test of each person by funnel, as the simulated site tells it."""
    found: dict[FunnelType, dict[str, Person]] = {funnel: {} for funnel in FunnelType}
    for test in taken:
        if (email := normal(test.email)) is not None:
            found[test.funnel].setdefault(email, Person(email, test.result_id, test.test_id, test.taken_at))
    return {funnel: list(people.values()) for funnel, people in found.items()}


def bought(payments: Iterator[Payment], before: datetime) -> dict[FunnelType, dict[str, datetime]]:
    """The first payment of each person before a moment, as the simulated site tells it."""
    first: dict[FunnelType, dict[str, datetime]] = {funnel: {} for funnel in FunnelType}
    for payment in payments:
        email = normal(payment.email)
        if email is not None and payment.paid_at < before:
            first[payment.funnel][email] = min(payment.paid_at, first[payment.funnel].get(email, payment.paid_at))
    return first


# ------------------------------------------------------------ what is read


@pytest.mark.parametrize("statuses", ["", FINISHED, f"{FINISHED} started"])
def test_candidates_are_exactly_those_of_the_site(mariadb: MariaDB, site: ModxSite, statuses: str) -> None:
    moment = SITE.until - timedelta(days=3, minutes=7)
    read = opened(mariadb, BERLIN, statuses=statuses)
    assert chosen(read.taken(moment - MONTH, BOTH)) == SITE.candidates(moment, MONTH, frozenset(statuses.split()))


def test_payments_are_exactly_those_of_the_site(site: ModxSite) -> None:
    for days in (0, 20):
        moment = SITE.until - timedelta(days=days)
        assert bought(site.payments(), moment) == SITE.bought(moment)
    assert sum(map(len, SITE.bought(SITE.until).values())) > 30


@pytest.mark.parametrize(
    "tables",
    [
        Tables("utf8mb4", "utf8mb4_unicode_ci", "utf8mb4", "utf8mb4_general_ci", index=False),
        Tables("latin1", "latin1_german1_ci", "utf8mb3", "utf8mb3_bin", engine="MyISAM", times="timestamp"),
        Tables("utf8mb3", "", "latin1", "latin1_bin", engine="Aria", times="seconds", status=False),
    ],
    ids=lambda tables: f"{tables.charset}-{tables.engine}-{tables.times}",
)
def test_charsets_engines_and_types_of_time_may_be_mixed(mariadb: MariaDB, tables: Tables) -> None:
    url = SecretStr(mariadb.empty_database("modx_mixed"))
    small = Site(seed=8, people=40, results=150, payments=40, zone=BERLIN, timeless=0.05)
    names = parse_names("", {"simpletest_users": "quiz_results", "simpletest_users.Datep": "order"})
    write_site(url, small, names, tables)
    site = ModxSite(url, names, BERLIN)
    with site.reading():
        assert chosen(site.taken(small.until - MONTH, BOTH)) == small.candidates(small.until)
        assert bought(site.payments(), small.until) == small.bought(small.until)
        assert site.taken_counts(small.until - MONTH).no_time > 0


def test_tests_come_newest_first_page_after_page_none_twice_and_none_left_out(
    site: ModxSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    since = SITE.until - timedelta(days=40)
    at_once = list(site.taken(since, BOTH))
    monkeypatch.setattr(modx_sql, "FIRST_PAGE", 3)
    paged = list(site.taken(since, BOTH))
    assert paged == at_once
    assert [(test.taken_at, test.result_id) for test in paged] == sorted(
        ((test.taken_at, test.result_id) for test in paged), reverse=True
    )
    assert len(paged) > 3 + 12 + 48


def test_many_tests_of_one_second_are_paged_by_their_ids(
    mariadb: MariaDB, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(ask)
    rows = ", ".join(f"({n}, 'p{n}@example.org', 1, '2026-11-19 10:00:00', 1)" for n in range(1, 41))
    ask(f"INSERT INTO simpletest_users VALUES {rows}")
    monkeypatch.setattr(modx_sql, "FIRST_PAGE", 7)
    taken = by_hand(mariadb).taken(datetime(2026, 11, 1, tzinfo=UTC), BOTH)
    assert [test.result_id for test in taken] == list(range(40, 0, -1))


def test_only_the_funnels_asked_for_are_read(site: ModxSite) -> None:
    both = chosen(site.taken(SITE.until - MONTH, BOTH))
    assert chosen(site.taken(SITE.until - MONTH, [OTHER])) == {LANGUAGE: [], OTHER: both[OTHER]}
    assert list(site.taken(SITE.until - MONTH, [])) == []


def test_a_window_begins_at_its_very_moment(site: ModxSite) -> None:
    everything = list(site.taken(SITE.until - timedelta(days=90), BOTH))
    moment = everything[100].taken_at
    assert list(site.taken(moment, BOTH)) == [test for test in everything if test.taken_at >= moment]
    late = moment + timedelta(microseconds=1)
    assert list(site.taken(late, BOTH)) == [test for test in everything if test.taken_at > moment]


def test_what_is_no_test_no_time_or_no_address_is_left_out_and_counted(mariadb: MariaDB, ask: Ask) -> None:
    make(ask)
    ask(
        "INSERT INTO simpletest_users VALUES "
        "(1, 'a@example.org', 1, '2026-11-19 10:00:00', 1), (2, ' B@Example.org ', 2, '2026-11-19 11:00:00', 1), "
        "(3, 'c@example.org', 3, '2026-11-19 12:00:00', NULL), (4, 'd@example.org', 4, '2026-11-19 13:00:00', 1), "
        "(5, NULL, 1, '2026-11-19 10:00:00', 1), (6, '', 1, '2026-11-19 10:00:00', 1), "
        "(7, '  ', 99, '2026-11-19 10:00:00', 1), (8, 'e@example.org', 99, '2026-11-19 10:00:00', 1), "
        "(9, 'f@example.org', NULL, '2026-11-19 10:00:00', 1), (10, 'g@example.org', 1, NULL, 1), "
        "(11, 'h@example.org', 1, '0000-00-00 00:00:00', 1), (12, 'i@example.org', 1, '2026-10-01 00:00:00', 1)"
    )
    site = by_hand(mariadb)
    since = datetime(2026, 11, 1, tzinfo=UTC)
    assert [(test.result_id, test.email, test.funnel) for test in site.taken(since, BOTH)] == [
        (4, "d@example.org", OTHER),  # of a language that does not exist
        (3, "c@example.org", OTHER),
        (2, " B@Example.org ", OTHER),
        (1, "a@example.org", LANGUAGE),
    ]
    assert site.taken_counts(since) == LeftOut(tests=9, blank=3, no_test=2, no_time=2)


def test_a_test_whose_id_is_there_twice_counts_once(mariadb: MariaDB, ask: Ask) -> None:
    make(ask, key="INT")
    ask(
        "INSERT INTO simpletest_test VALUES (2, 1)",
        "INSERT INTO simpletest_users VALUES (1, 'a@example.org', 2, '2026-11-19 10:00:00', 1)",
    )
    taken = list(by_hand(mariadb).taken(datetime(2026, 11, 1, tzinfo=UTC), BOTH))
    assert [(test.result_id, test.funnel) for test in taken] == [(1, LANGUAGE)]


def test_a_word_for_a_status_does_not_pass_for_the_number_0(mariadb: MariaDB, ask: Ask) -> None:
    make(ask)
    ask(
        "INSERT INTO simpletest_users VALUES (1, 'a@example.org', 1, '2026-11-19 10:00:00', 0), "
        "(2, 'b@example.org', 1, '2026-11-19 10:00:00', 2)"
    )
    url = SecretStr(mariadb.url("modx_by_hand", "reader"))
    for status, expected in (("done", []), ("2", [2]), ("0", [1])):
        site = ModxSite(url, NAMES, UTC_ZONE, statuses=frozenset({status}))
        assert [test.result_id for test in site.taken(datetime(2026, 11, 1, tzinfo=UTC), BOTH)] == expected


@pytest.mark.parametrize(("kind", "one"), [("VARCHAR(10)", "'1a'"), ("BIT(2)", "1"), ("DECIMAL(3, 1)", "1")])
def test_the_kind_of_a_certificate_may_be_held_as_text_or_bits(mariadb: MariaDB, ask: Ask, kind: str, one: str) -> None:
    make(ask)
    ask(
        f"ALTER TABLE modx_cert_test MODIFY type {kind}",
        f"INSERT INTO modx_cert_test VALUES (1, {one}), (2, 2), (3, 0), (4, NULL)",
        "INSERT INTO modx_cert_users VALUES (1, 'a@example.org')",
        *(f"INSERT INTO modx_cert_result VALUES ({test}, 1, {test})" for test in (1, 2, 3, 4)),
        *(f"INSERT INTO modx_cert_payment VALUES ({test}, {test}, 2, '2026-11-19 10:00')" for test in (1, 2, 3, 4)),
    )
    assert sorted(payment.funnel for payment in by_hand(mariadb).payments()) == [LANGUAGE, OTHER]


@pytest.mark.parametrize(
    ("kind", "written", "expected"),
    [
        ("DATETIME", "'2026-07-01 12:00:00'", datetime(2026, 7, 1, 10, tzinfo=UTC)),
        ("DATETIME(6)", "'2026-07-01 12:00:00.25'", datetime(2026, 7, 1, 10, 0, 0, 250_000, tzinfo=UTC)),
        ("DATETIME", "'2026-10-25 02:30:00'", datetime(2026, 10, 25, 0, 30, tzinfo=UTC)),  # shown twice: the first time
        ("DATETIME", "'2026-03-29 02:30:00'", datetime(2026, 3, 29, 1, 30, tzinfo=UTC)),  # no clock shows it
        ("DATE", "'2026-07-01'", datetime(2026, 6, 30, 22, tzinfo=UTC)),
        ("TIMESTAMP", "FROM_UNIXTIME(1782900000)", datetime.fromtimestamp(1782900000, UTC)),
        ("INT", "1782900000", datetime.fromtimestamp(1782900000, UTC)),
        ("BIGINT UNSIGNED", "1782900000", datetime.fromtimestamp(1782900000, UTC)),
        ("DATETIME", "'2026-00-10 00:00:00'", None),
        ("DATE", "0", None),
        ("TIMESTAMP", "0", None),
        ("INT", "0", None),
    ],
)
def test_every_type_of_time_is_read_as_the_moment_it_means(
    mariadb: MariaDB, ask: Ask, kind: str, written: str, expected: datetime | None
) -> None:
    make(ask, kind)
    ask(
        f"INSERT INTO simpletest_users VALUES (1, 'a@example.org', 1, {written}, 1)",
        "INSERT INTO modx_cert_test VALUES (1, 1)",
        "INSERT INTO modx_cert_users VALUES (1, 'a@example.org')",
        "INSERT INTO modx_cert_result VALUES (1, 1, 1)",
        f"INSERT INTO modx_cert_payment VALUES (1, 1, 2, {written})",
    )
    site = by_hand(mariadb, BERLIN)
    since = datetime(2000, 1, 1, tzinfo=UTC) if expected is None else expected
    wanted = [] if expected is None else [expected]
    assert [test.taken_at for test in site.taken(since, BOTH)] == wanted
    assert [payment.paid_at for payment in site.payments()] == wanted
    if expected is not None:
        assert list(site.taken(expected + timedelta(microseconds=1), BOTH)) == []
        assert site.taken_counts(expected - timedelta(days=1)).tests == 1
    else:
        assert site.taken_counts(since).no_time == (written == "0")


# ------------------------------------------------------------ how it is read


def test_all_reads_of_one_block_see_one_moment(mariadb: MariaDB, site: ModxSite) -> None:
    paid = [Paid("late@example.org", LANGUAGE, SITE.until)]
    with site.reading():
        before = sum(1 for _ in site.payments())
        assert add_payments(SecretStr(mariadb.url(DATABASE)), NAMES, paid, BERLIN) == 1
        assert sum(1 for _ in site.payments()) == before
    assert sum(1 for _ in site.payments()) == before + 1


def test_a_server_in_any_mode_is_read_the_same(mariadb: MariaDB, site: ModxSite) -> None:
    expected = list(site.taken(SITE.until - MONTH, BOTH))
    with mariadb.connect() as admin, admin.cursor() as cursor:
        cursor.execute("SELECT @@GLOBAL.sql_mode")
        ((usual,),) = cursor.fetchall()
        try:
            cursor.execute("SET GLOBAL sql_mode = 'ANSI,STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,TRADITIONAL'")
            strict = opened(mariadb, BERLIN)
            assert list(strict.taken(SITE.until - MONTH, BOTH)) == expected
            assert strict.taken_counts(SITE.until - MONTH).no_time > 0
        finally:
            cursor.execute("SET GLOBAL sql_mode = %s", [usual])


def test_whoever_stops_early_can_go_on_reading(site: ModxSite) -> None:
    with site.reading():
        taken = site.taken(SITE.until - MONTH, BOTH)
        next(taken)
        assert isinstance(taken, Generator)
        taken.close()
        assert sum(1 for _ in site.payments()) > 50
    next(site.taken(SITE.until - MONTH, BOTH))
    assert sum(1 for _ in site.payments()) > 50


def test_one_read_must_be_over_before_the_next_begins(site: ModxSite) -> None:
    with site.reading():
        taken = site.taken(SITE.until - MONTH, BOTH)
        next(taken)
        with pytest.raises(RuntimeError, match="still being read"):
            next(site.payments())
    with pytest.raises(RuntimeError, match="left before all rows were taken"):
        list(taken)


def test_a_moment_without_a_zone_is_refused_at_once(site: ModxSite) -> None:
    with pytest.raises(ValueError, match="time zone"):
        site.taken(SITE.until.replace(tzinfo=None), BOTH)


def test_mariadb_and_options_are_understood(mariadb: MariaDB, site: ModxSite) -> None:
    url = mariadb.url(DATABASE, "reader").replace("mysql+pymysql", "mariadb") + "?charset=latin1"
    assert list(ModxSite(SecretStr(url), NAMES, BERLIN).taken(SITE.until - MONTH, BOTH)) == list(
        site.taken(SITE.until - MONTH, BOTH)
    )


def test_a_missing_table_or_column_says_which_setting_names_another(mariadb: MariaDB, ask: Ask) -> None:
    make(ask)
    ask("ALTER TABLE simpletest_users DROP COLUMN Status", "DROP TABLE modx_cert_users")
    site = by_hand(mariadb)
    with pytest.raises(SiteError, match=r"table modx_cert_users is not in .* MODX_MAPPING \(cert_users=its name\)"):
        list(site.payments())
    ask("CREATE TABLE modx_cert_users (id INT, email INT)")
    with pytest.raises(SiteError, match=r"modx_cert_users\.email \(int\) is not text"):
        list(site.payments())
    ask("ALTER TABLE modx_cert_users MODIFY email TEXT")
    assert list(site.payments()) == []
    url = SecretStr(mariadb.url("modx_by_hand", "reader"))
    with pytest.raises(SiteError, match="or empty MODX_TEST_STATUSES"):
        next(ModxSite(url, NAMES, UTC_ZONE, statuses=frozenset({"1"})).payments())
