"""Addresses: who is who, and what stands for them where they must not be read."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics_platform.funnels.person import hashed, masked, normal

_SIGNS = st.characters(codec="utf-8")


@pytest.mark.parametrize(
    ("written", "known"),
    [
        ("ada@example.org", "ada@example.org"),
        ("  Ada.Lovelace@Example.ORG\r\n", "ada.lovelace@example.org"),
        ("\u00a0\u200bada@example.org\ufeff \u2060", "ada@example.org"),
        ("o'brien+tests@example.org", "o'brien+tests@example.org"),
        ("JU\u0308RGEN@B\u00dcCHER.example", "jürgen@bücher.example"),
        ("a@b.c", "a@b.c"),
        ("ПОЧТА@пример.рф", "почта@пример.рф"),
        ("a" * 64 + "@example.org", "a" * 64 + "@example.org"),
        ("a@" + "b" * 248 + ".org", "a@" + "b" * 248 + ".org"),
    ],
)
def test_an_address_is_trimmed_composed_and_lower_cased(written: str, known: str) -> None:
    assert normal(written) == known
    assert normal(known) == known


@pytest.mark.parametrize(
    "written",
    [
        None,
        "",
        " \u200b\u00a0",
        "nobody",
        "@example.org",
        "ada@",
        "ada@localhost",
        "ada@example..org",
        "ada@.example.org",
        "ada@example.org.",
        "ada@@example.org",
        "ada@example.org, eve@example.org",
        "ada@example.org;eve",
        "ada lovelace@example.org",
        "ada\u00a0lovelace@example.org",
        "ada\u200b@example.org",
        "ada\x00@example.org",
        "ada@exa\nmple.org",
        "Ada <ada@example.org>",
        '"ada"@example.org',
        "ada@exam_ple.org",
        "ada@exämple@org.x",
        "j\u200bürgen@example.org",
        "ada\ud800@example.org",
        "a" * 65 + "@example.org",
        "ü" * 33 + "@example.org",
        "a@" + "b" * 249 + ".org",
        "a@" + "ü" * 125 + ".org",
    ],
)
def test_what_is_no_address_is_nobody(written: str | None) -> None:
    assert normal(written) is None


def test_capital_letters_and_blanks_do_not_make_another_person() -> None:
    assert normal(" Ada@Example.org ") == normal("ada@EXAMPLE.ORG")


def test_the_hash_is_twelve_hex_digits_and_does_not_change_between_releases() -> None:
    assert hashed("ada@example.org") == "cfe00dde46ef"


_ADA = f"<address {hashed('ada@example.org')}>"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("ada@example.org", _ADA),
        ("Cannot write to Ada@Example.org.", f"Cannot write to {_ADA}."),
        ("'ada@example.org', \"ADA@example.org\"", f"'{_ADA}', \"{_ADA}\""),
        ("Ada <ada@example.org>", f"Ada <{_ADA}>"),
        ("(1062, \"Duplicate entry 'ada@example.org-language-1' for key 'x'\")",
         f"(1062, \"Duplicate entry '{_ADA}-language-1' for key 'x'\")"),
        ("Duplicate entry 'ada@example.org-non_language-12'", f"Duplicate entry '{_ADA}-non_language-12'"),
        ("DETAIL: Key (email, funnel)=(ada@example.org, language)", f"DETAIL: Key (email, funnel)=({_ADA}, language)"),
        ('{"email":"ada@example.org","listIds":[1]}', f'{{"email":"{_ADA}","listIds":[1]}}'),
        ("{'email': 'ada@example.org'}", f"{{'email': '{_ADA}'}}"),
        ("/contacts/ada%40example.org?type=email", f"{_ADA}?type=email"),
        ("mailto:ada@example.org", f"mailto:{_ADA}"),
        ("email=ada@example.org&x=1", f"{_ADA}&x=1"),
        ("two: ada@example.org,ada@example.org", f"two: {_ADA},{_ADA}"),
        ("ada@example.org/ada@example.org", f"{_ADA}{_ADA}"),
        ("ada@example.org's entry, ada@example.org!", f"{_ADA}'s entry, {_ADA}!"),
        ("'ada@example.org-language-NULL'", f"'{_ADA}-language-NULL'"),
    ],
)  # fmt: skip
def test_an_address_is_masked_wherever_it_stands(text: str, told: str) -> None:
    assert masked(text) == told


def test_an_apostrophe_within_an_address_does_not_end_it() -> None:
    assert masked("'o'brien@example.org'") == f"'<address {hashed(chr(111) + chr(39) + 'brien@example.org')}>'"


def test_an_address_that_json_spells_with_escapes_is_masked() -> None:
    assert masked(json.dumps({"email": "jürgen@bücher.example"})) == json.dumps(
        {"email": f"<address {hashed('jürgen@bücher.example')}>"}
    )


def test_an_address_with_a_plus_in_a_link_is_masked() -> None:
    assert hashed("ada+x@example.org") in masked("GET /v3/contacts/ada%2Bx%40example.org")


def test_an_address_that_was_cut_short_is_masked() -> None:
    assert "ada" not in masked("Duplicate entry 'ada@exam' for key")
    assert "ada" not in masked("ada@_example.org ada@@example.org eve@ada@example.org")


def test_a_long_text_of_nothing_but_addresses_is_masked_at_once() -> None:
    assert "ada" not in masked("ada@x.org/" * 50_000)
    assert masked("ada@example.org, " * 1_000) == f"{_ADA}, " * 1_000


def test_an_address_is_masked_by_itself_where_the_domain_has_the_funnels_word() -> None:
    assert masked("'a@my-language.org'") == f"'<address {hashed('a@my-language.org')}>'"


def test_the_account_of_a_database_and_handles_stay_readable() -> None:
    for text in ("Access denied for user 'modx'@'localhost' (using password: YES)", "write to @analytics", "5 @ 3"):
        assert masked(text) == text


@settings(max_examples=60, deadline=None)
@given(st.text(_SIGNS, max_size=12), st.text(_SIGNS, max_size=12))
def test_normalising_twice_changes_nothing_and_no_address_survives_masking(local: str, domain: str) -> None:
    address = normal(f"{local}a@{domain}b.org")
    if address is not None:
        assert normal(address) == address
        for text in (f"x '{address}' y", f'{{"a":"{address}"}}', json.dumps([address])):
            assert address not in masked(text)


@settings(max_examples=40, deadline=None)
@given(st.text(_SIGNS, max_size=60))
def test_a_text_without_an_at_sign_stays_as_it_is(text: str) -> None:
    clean = text.replace("@", "").replace("%40", "")
    assert masked(clean) == clean
