"""Names of the site's tables and columns: prefix, mapping, what cannot be a name."""

import re

import pytest

from analytics_platform.sources.modx_names import TABLES, parse_names


def test_without_settings_names_are_those_of_the_documentation() -> None:
    names = parse_names()
    assert [names.table(table) for table in TABLES] == [
        "simpletest_users",
        "simpletest_test",
        "simpletest_lang",
        "modx_cert_payment",
        "modx_cert_result",
        "modx_cert_users",
        "modx_cert_test",
    ]
    assert names.column("simpletest_users.Datep") == "Datep"


def test_the_prefix_goes_before_the_certificates_tables_only() -> None:
    names = parse_names("site7_")
    assert names.table("cert_payment") == "site7_cert_payment"
    assert names.table("simpletest_users") == "simpletest_users"
    assert parse_names("").table("cert_test") == "cert_test"


def test_a_mapping_names_tables_and_columns_in_any_case_and_with_the_prefix() -> None:
    names = parse_names(
        "x_",
        {
            "SimpleTest_Users": "quiz",
            "simpletest_users.datep": "taken_on",
            "x_cert_users": "buyers",
            "cert_test.type": "k",
        },
    )
    assert names.table("simpletest_users") == "quiz"
    assert names.column("simpletest_users.Datep") == "taken_on"
    assert names.table("cert_users") == "buyers"
    assert names.column("cert_test.type") == "k"


@pytest.mark.parametrize(
    ("prefix", "mapping", "sentence"),
    [
        ("modx-", {}, "the prefix of the site's tables is letters, digits and _ only"),
        ("modx_\n", {}, "the prefix of the site's tables is letters, digits and _ only"),
        ("", {"simpletest_user": "x"}, "'simpletest_user' is no table or column that is read"),
        ("", {"simpletest_users.Mail": "x"}, "simpletest_users has Id, Email, TestId, Datep, Status"),
        ("", {"simpletest_users": "a`; DROP TABLE b"}, "cannot be the name of simpletest_users"),
        ("", {"simpletest_users": ""}, "cannot be the name of simpletest_users"),
        ("", {"simpletest_users": "x" * 65}, "at most 64"),
        ("", {"simpletest_users.Id": "other.Id"}, "cannot be the name of simpletest_users.Id"),
        ("m_", {"cert_test": "a", "m_cert_test": "b"}, "cert_test is given two names, 'a' and 'b'"),
    ],
)
def test_what_cannot_be_meant_is_refused(prefix: str, mapping: dict[str, str], sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        parse_names(prefix, mapping)
