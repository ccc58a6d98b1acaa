"""What goes wrong between us and a site's database, with a real MariaDB: one sentence, no secret, the right remedy."""

from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
from pydantic import SecretStr

from analytics_platform.funnels.plan import FunnelType
from analytics_platform.simulate.modx import Site, write_site
from analytics_platform.sources import modx_sql
from analytics_platform.sources.modx import ModxSite, SiteBusyError, SiteError, parse_names
from analytics_platform.sources.modx_client import Client
from analytics_platform_tests.mysql_service import MariaDB

UTC_ZONE = ZoneInfo("UTC")
BOTH = tuple(FunnelType)
NAMES = parse_names()
DATABASE = "modx_errors"
SITE = Site(people=60, results=200, payments=20)
SINCE = SITE.until - timedelta(days=30)


@pytest.fixture
def site(mariadb: MariaDB) -> ModxSite:
    """A simulated site, written anew."""
    write_site(SecretStr(mariadb.empty_database(DATABASE)), SITE, NAMES)
    return ModxSite(SecretStr(mariadb.url(DATABASE, "reader")), NAMES, UTC_ZONE)


def test_a_session_cannot_write_whoever_it_belongs_to(mariadb: MariaDB, site: ModxSite) -> None:
    client = Client(SecretStr(mariadb.url(DATABASE)), 60)
    statements = (
        "DELETE FROM simpletest_lang",
        "INSERT INTO simpletest_lang VALUES (99)",
        "DROP TABLE simpletest_lang",
    )
    for statement in statements:
        with client.session() as session, pytest.raises(SiteError, match="READ ONLY"):
            session.ask(statement)
    assert list(site.taken(SINCE, BOTH))


def test_a_connection_that_is_lost_while_reading_says_so(
    mariadb: MariaDB, site: ModxSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(modx_sql, "FIRST_PAGE", 3)
    taken = site.taken(SINCE, BOTH)
    next(taken)
    with mariadb.connect() as admin, admin.cursor() as cursor:
        cursor.execute("SELECT id FROM information_schema.processlist WHERE user = 'reader' AND db = %s", [DATABASE])
        for (number,) in cursor.fetchall():
            cursor.execute(f"KILL CONNECTION {number:d}")
    with pytest.raises(SiteBusyError, match="does not answer now"):
        list(taken)
    assert list(site.taken(SINCE, BOTH))


def test_a_locked_table_is_waited_for_and_then_told(mariadb: MariaDB, site: ModxSite) -> None:
    impatient = ModxSite(SecretStr(mariadb.url(DATABASE, "reader")), NAMES, UTC_ZONE, timeout_seconds=0.3)
    with mariadb.connect(DATABASE) as other, other.cursor() as cursor:
        cursor.execute("LOCK TABLES simpletest_lang WRITE")
        with pytest.raises(SiteBusyError, match="does not answer now"):
            list(impatient.taken(SINCE, BOTH))
    assert list(impatient.taken(SINCE, BOTH))


def test_what_the_server_refuses_is_one_sentence_without_a_secret(mariadb: MariaDB, site: ModxSite) -> None:
    port, password = mariadb.port, mariadb.password
    cases = {
        f"mysql://reader:wr%40ng@127.0.0.1:{port}/{DATABASE}": "the user or the password is not accepted",
        f"mysql://reader:{password}@127.0.0.1:{port}/nowhere": "there is no such database",
        f"mysql://reader:{password}@127.0.0.1:1/{DATABASE}": "does not answer now",
        f"mysql://reader:{password}@127.0.0.1:{port}/{DATABASE}?ssl_ca=/nowhere.pem": "a file of a certificate",
    }
    for url, expected in cases.items():
        with pytest.raises(SiteError, match=expected) as raised:
            list(ModxSite(SecretStr(url), NAMES, UTC_ZONE).payments())
        assert raised.value.__cause__ is None
        assert not any(secret in str(raised.value) for secret in (password, "wr@ng", "wr%40ng", "\n"))
        assert isinstance(raised.value, SiteBusyError) == ("answer" in expected)
    assert password not in repr(site) + site.place


def test_what_the_server_says_is_told_without_anybodys_address(mariadb: MariaDB, site: ModxSite) -> None:
    client = Client(SecretStr(mariadb.url(DATABASE)), 60)
    with client.session() as session, pytest.raises(SiteError) as raised:
        session.ask("SELECT 1 FROM simpletest_users WHERE Email = Somebody@example.org")
    assert "<address " in str(raised.value)
    assert "omebody" not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://reader:secret1@host/site", "neither mysql:// nor mariadb://"),
        ("mysql://reader:sec@ret1@host/site", "write them as %40"),
        ("mysql://reader:secret1@host", "names no database"),
        ("mysql:///site", "names no host"),
        ("mysql://reader:secret1@host:port/site", "is no address"),
        ("mysql://reader:secret1@host/site?local_infile=1", "an option that is not known"),
        ("secret1", "is no address"),
    ],
)
def test_an_address_that_cannot_be_right_is_refused_without_repeating_it(url: str, expected: str) -> None:
    with pytest.raises(SiteError, match=expected) as raised:
        ModxSite(SecretStr(url), NAMES, UTC_ZONE)
    assert "secret1" not in str(raised.value)
    assert "ret1" not in str(raised.value)
