"""`funnel generate` and what `doctor` says of funnels."""

from pathlib import Path

from analytics_platform.defs.claims import now
from analytics_platform.funnels.plan import ATTRIBUTES
from analytics_platform.funnels.records import NewEntry
from analytics_platform_tests import funnel_home
from analytics_platform_tests.brevo_server import BrevoServer
from analytics_platform_tests.cli.conftest import Done, Run
from analytics_platform_tests.funnel_home import LANGUAGE, NOWHERE, FunnelHome, GeneratedSite, connected
from analytics_platform_tests.mysql_service import MariaDB

# The fixtures of these tests.
site, brevo, place = funnel_home.site, funnel_home.brevo, funnel_home.place


# ----------------------------------------------------------------------------- generate


def test_a_site_is_generated_into_an_empty_database_and_bought_from(
    mariadb: MariaDB, brevo: BrevoServer, tmp_path: Path, run: Run
) -> None:
    settings = connected(None, brevo, MODX_URL=mariadb.empty_database("funnels_generated"), FUNNEL_BATCH=4)
    place = FunnelHome(tmp_path / "home", settings).settled()
    words = ("funnel", "generate", "--people", 30, "--results", 60, "--payments", 10, "--home", place.path)
    done = run(*words)
    assert done.code == 0, done.err
    assert done.out.startswith("60 tests and 10 orders of the last 60 days in database funnels_generated on ")
    refused = run(*words)
    assert refused.code == 1
    assert "already, which may be a real site's; name an empty database" in refused.err
    assert run(*words, "--results", 20).code == 1

    assert run("funnel", "generate", "--buyers", 1, "--home", place.path).out == "0 certificates bought now\n"
    assert run("funnel", "sync", "--home", place.path).code == 0
    entered = [entry for entry in place.entries() if entry.customer_since is None]
    with place.lease() as kept:
        real = [NewEntry("somebody@mail.example", LANGUAGE, 1, 1, 7)]
        place.ledger.enter(kept.now(), real, now())
    bought = run("funnel", "generate", "--buyers", 1, "--home", place.path)
    assert bought.out == f"{len(entered)} certificates bought now\n"
    assert run("funnel", "sync", "--home", place.path).code == 0
    found = {entry.email for entry in place.entries() if entry.purchased_at}
    assert found == {entry.email for entry in entered}, "nobody whose address could be real"


def test_an_account_that_only_reads_can_generate_nothing(mariadb: MariaDB, tmp_path: Path, run: Run) -> None:
    mariadb.empty_database("funnels_read_only")
    place = FunnelHome(
        tmp_path / "home", connected(None, None, MODX_URL=mariadb.url("funnels_read_only", "reader"))
    ).settled()
    for words in (("--people", 5, "--results", 9), ("--buyers", 0.5)):
        done = run("funnel", "generate", *words, "--home", place.path)
        assert done.code == 1
        assert done.err.splitlines()[-1].startswith("Error: ")
        assert "Traceback" not in done.err
        assert not any(secret in done.err for secret in place.settings.secrets)


# ------------------------------------------------------------------------------- doctor


def findings(done: Done) -> list[str]:
    return [line.strip() for line in done.out.splitlines() if "funnels: " in line]


def test_doctor_finds_everything_in_order(place: FunnelHome, run: Run) -> None:
    found = findings(run("doctor", "--home", place.path))
    assert not any(line.startswith("PROBLEM") for line in found)
    for said in (
        "ok      funnels: APP_DRY_RUN is false, syncs write",
        "ok      funnels: Brevo account Stand-in Ltd",
        "ok      funnels: language leads to list 7, Language tests",
        "ok      funnels: non_language leads to list 8, Other tests",
        f"ok      funnels: Brevo has the contact attributes {', '.join(ATTRIBUTES)}",
    ):
        assert said in found
    assert any(line.endswith("state.sqlite: not made yet, the first sync that writes does it") for line in found)
    assert not place.home.state.exists() or not place.ledger.exists()


def test_doctor_names_what_is_wrong_each_with_its_remedy(
    place: FunnelHome, site: GeneratedSite, mariadb: MariaDB, brevo: BrevoServer, run: Run
) -> None:
    del brevo.attributes["CERTIFICATE_PURCHASED_AT"]
    place.but(MODX_URL=mariadb.url(site.name), BREVO_LANGUAGE_LIST_ID=99, APP_DRY_RUN=None).settled()
    done = run("doctor", "--home", place.path)
    assert done.code == 1
    found = findings(done)
    assert "note    funnels: APP_DRY_RUN is true, so syncs only say what they would do" in found
    assert any(line.startswith("note    funnels: the account may do more than read (") for line in found)
    assert any(line.startswith("PROBLEM funnels: BREVO_LANGUAGE_LIST_ID: ") and "number 99" in line for line in found)
    assert "PROBLEM funnels: Brevo has no contact attribute CERTIFICATE_PURCHASED_AT" in found
    assert "ok      funnels: non_language leads to list 8, Other tests" in found
    assert "@" not in "".join(found)


def test_doctor_tells_a_wrong_key_and_a_site_that_is_down(place: FunnelHome, run: Run) -> None:
    place.but(MODX_URL=NOWHERE, BREVO_API_KEY="xkeysib-of-somebody-else").settled()
    done = run("doctor", "--home", place.path)
    problems = [line for line in findings(done) if line.startswith("PROBLEM")]
    assert len(problems) == 2
    assert "127.0.0.1:1" in problems[0]
    assert "BREVO_API_KEY" in problems[1]
    assert not any(word in done.out for word in ("of-the-site", "xkeysib"))


def test_doctor_asks_for_no_key_where_nobody_enters(site: GeneratedSite, tmp_path: Path, run: Run) -> None:
    place = FunnelHome(tmp_path / "home", connected(site, None)).settled()
    found = findings(run("doctor", "--home", place.path))
    assert not any(line.startswith("PROBLEM") for line in found)
    assert any("are 0, so nobody enters a funnel" in line for line in found)
