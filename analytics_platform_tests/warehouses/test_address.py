"""WAREHOUSE_URL: what it means, and that nothing of a wrong one is repeated."""

from pathlib import Path
from traceback import format_exception
from urllib.parse import quote

import pytest

from analytics_platform.warehouses.address import ClickHouseAddress, DuckDBAddress, parse

SECRET = "s3cr:t/@#?%"  # everything that has a meaning of its own in an address


@pytest.mark.parametrize(
    ("url", "folder"),
    [
        ("duckdb:///data/warehouse", "/data/warehouse"),
        ("duckdb:////data/warehouse", "/data/warehouse"),
        ("  duckdb:///data/my%20%D0%B4%D0%BE%D0%BC  ", "/data/my дом"),
    ],
)
def test_a_folder_is_named_from_the_root(url: str, folder: str) -> None:
    assert parse(url) == DuckDBAddress(Path(folder))


def test_a_server_without_anything_else_is_the_default_user_without_encryption() -> None:
    assert parse("clickhouse://db.example.net/analytics") == ClickHouseAddress("db.example.net", 8123, "analytics")


def test_encryption_changes_the_port_unless_it_is_named() -> None:
    secure = parse("clickhouse://db.example.net/analytics?secure=true")
    named = parse("clickhouse://db.example.net:9443/analytics?secure=1&verify=off&ca_cert=/etc/ca.pem")
    assert secure == ClickHouseAddress("db.example.net", 8443, "analytics", secure=True)
    assert named == ClickHouseAddress(
        "db.example.net", 9443, "analytics", secure=True, verify=False, ca_cert="/etc/ca.pem"
    )


def test_user_password_and_database_are_read_as_they_were_quoted() -> None:
    user, database = "ana lyst", "my-db 2"
    found = parse(f"clickhouse://{quote(user)}:{quote(SECRET, safe='')}@[::1]:8124/{quote(database)}/")
    assert isinstance(found, ClickHouseAddress)
    assert (found.host, found.port) == ("::1", 8124)
    assert (found.user, found.password, found.database) == (user, SECRET, database)


def test_an_address_says_itself_without_the_password() -> None:
    found = parse(f"clickhouse://ana:{quote(SECRET, safe='')}@db.example.net/analytics")
    assert str(found) == "db.example.net:8123"
    assert "s3cr" not in repr(found)
    assert "ana" in repr(found)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "neither clickhouse:// nor duckdb:///"),
        ("warehouse.duckdb", "neither clickhouse:// nor duckdb:///"),
        ("postgresql://ana:s3cret@host/db", "neither clickhouse:// nor duckdb:///"),
        ("clickhouse://ana:s3cret@:8123/db", "names no host"),
        ("clickhouse:///db", "names no host"),
        ("clickhouse://ana:s3cret@host:8123", "names no database"),
        ("clickhouse://ana:s3cret@host:8123/", "names no database"),
        ("clickhouse://ana:s3cret@host:8123/one/two", "names no database"),
        ("clickhouse://ana:s3cret@host:port/db", "no address"),
        ("clickhouse://ana:s3cret@host:99999/db", "no address"),
        ("clickhouse://ana:s3cret@[::1/db", "no address"),
        ("clickhouse://ana:s3cret@host/db?tls=1", "no option 'tls'; there are secure, verify, ca_cert"),
        ("clickhouse://ana:s3cret@host/db?secure=maybe", "secure is true or false"),
        ("clickhouse://ana:s3cret@host/db?verify=s3cret", "verify is true or false"),
        # Not quoted, a password ends at its first sign with a meaning; what is left of it must not pass for an address.
        ("clickhouse://ana:1234/s3cret@host:8123/db", "%2F"),
        ("clickhouse://ana:1234/s3cret@host", "%2F"),
        ("clickhouse://ana:1234#s3cret@host:8123/db", "%23"),
        ("clickhouse://ana:1234?s3cret@host:8123/db", "%3F"),
        ("clickhouse://ana:s3cret/1234@host:8123/db", "no address"),
        ("duckdb://relative/folder", "from the root"),
        ("duckdb:///", "names no folder"),
        ("duckdb:///data/events.duckdb", "not a file"),
    ],
)
def test_a_wrong_address_is_one_sentence_that_repeats_nothing(url: str, said: str) -> None:
    with pytest.raises(ValueError) as found:  # noqa: PT011 - what it says is compared below
        parse(url)
    assert said in str(found.value)
    assert "\n" not in str(found.value)
    shown = "".join(format_exception(found.value)).replace(str(found.value), "")
    assert "s3cret" not in str(found.value)
    # The traceback quotes lines of code, and none of them has the address in it; nor is there a second error behind.
    assert "During handling" not in shown
    assert "s3cret" not in repr(found.value.__cause__)
