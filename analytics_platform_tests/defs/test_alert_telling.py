"""How incidents reach readers: one message that is edited, text whatever breaks, mutes, verdicts, the weekly note."""

from datetime import UTC, datetime, timedelta

import dagster as dg

from analytics_platform.alerts.feedback import Verdict
from analytics_platform.alerts.findings import Direction
from analytics_platform.alerts.incident import Kind, Mute, Reason, Status
from analytics_platform.defs.alerts import held_back, wanted
from analytics_platform.defs.office import Office
from analytics_platform.defs.telling import Teller, to_tell, week_to_tell
from analytics_platform.reports import all_reports
from analytics_platform.state.owners import Owner
from analytics_platform.state.parts import State
from analytics_platform_tests.defs.watched import QUARTER, SPIKE, Breaking, Deaf, Make, Watched


def test_a_spike_is_one_message_that_is_edited_until_it_is_closed(told: Watched) -> None:
    [incident] = told.incidents
    assert incident.kind is Kind.ANOMALY
    assert incident.direction is Direction.UP
    assert {"feed_users", "views", "likes"} <= {m.series.metric for m in incident.members}
    assert incident.started == SPIKE
    assert incident.recovered_at == SPIKE + timedelta(hours=1)
    assert incident.status is Status.CLOSED
    assert incident.id is not None
    reasons = [change.what for change in told.ledgers.incidents.history(incident.id)]
    assert (reasons[0], reasons[-1]) == (Reason.OPENED, Reason.CLOSED)
    assert Reason.RECOVERED in reasons
    [folder] = (path for path in (told.home.outbox / "alerts").iterdir() if path.name == "1")
    text = (folder / "01-text.txt").read_text("utf-8")
    assert "Closed" in text
    assert "lasted 1 h" in text
    assert "broad" in text
    assert any(path.suffix == ".png" for path in folder.iterdir())


def test_text_goes_even_when_its_explanation_cannot_be_made(watched: Make) -> None:
    home = watched()
    home.through(SPIKE, SPIKE + QUARTER)
    broken = Breaking("leaves", home.home)
    told = Teller(home.office, broken, Owner("test", "here", 1)).tell(home.moment)
    assert len(told.lines) == 1
    assert not told.troubled
    [problem] = home.ledgers.problems.open()
    assert "out of memory" in problem.text
    assert "went without it" in problem.text


def test_what_is_muted_is_judged_and_not_told(watched: Make) -> None:
    home = watched()
    home.ledgers.mutes.add(Mute(SPIKE + timedelta(days=1), service="feed"), SPIKE - timedelta(hours=1))
    told = home.through(SPIKE - QUARTER, SPIKE + timedelta(hours=4), tell=True)
    assert [line for one in told for line in one.lines] == []
    [incident] = home.incidents
    assert incident.status is Status.CLOSED
    assert to_tell(home.office, home.moment) == []
    assert not (home.home.outbox / "alerts").exists()


def test_in_quiet_hours_only_what_is_critical_is_told(watched: Make) -> None:
    home = watched(alert_rule="quiet=14:00-16:30")
    told = home.through(SPIKE - QUARTER, SPIKE + timedelta(hours=1), tell=True)
    lines = [line for one in told for line in one.lines]
    [incident] = home.incidents
    assert bool(lines) is (incident.severity.value == "critical")


def test_killed_between_handing_over_and_saying_so_the_same_card_is_handed_over_again(watched: Make) -> None:
    home = watched()
    home.through(SPIKE, SPIKE + QUARTER)
    teller = Teller(home.office, home.warehouse, Owner("test", "here", 1))
    teller.tell(home.moment)
    [incident] = home.incidents
    # As if it had been killed before the word: the ledger of incidents knows nothing, that of deliveries all.
    with home.ledgers.incidents._database.write() as con:
        from sqlalchemy import text

        con.execute(text("UPDATE incidents SET said_revision = 0"))
    teller.tell(home.moment)
    parts = [p for p in home.ledgers.deliveries.parts("alerts", str(incident.id)) if p.state is State.SENT]
    assert {p.attempts for p in parts} == {1}
    assert to_tell(home.office, home.moment) == []


def test_a_false_alarm_raises_the_threshold_and_a_verdict_is_told(told: Watched) -> None:
    home = told
    [incident] = home.incidents
    assert incident.id is not None
    after = home.ledgers.incidents.feedback(incident.id, Verdict.FALSE_ALARM, "ann", home.moment)
    assert after.reason in (Reason.JUDGED, Reason.BY_HAND)
    from analytics_platform.defs.followed import rules_of

    watch = rules_of(home.settings, home.ledgers, home.moment).watch
    assert watch.rule("views").sensitivity < 1 == watch.rule("senders").sensitivity


def test_the_note_of_the_week_goes_out_once_on_monday(told: Watched) -> None:
    home = told
    home.ledgers.incidents.feedback(1, Verdict.REAL, "ann", home.moment)
    home.tell()
    home.moment = datetime(2026, 3, 16, 10, 59, tzinfo=UTC)
    assert week_to_tell(home.office, home.moment) is None  # before REPORT_TIME
    home.moment = datetime(2026, 3, 16, 11, 0, tzinfo=UTC)
    assert week_to_tell(home.office, home.moment) is not None
    home.tell()
    text = (home.home.outbox / "alerts" / "week 2026-03-09" / "01-text.txt").read_text("utf-8")
    assert "100" in text  # percent: one incident, and it was real
    assert week_to_tell(home.office, home.moment) is None


def test_without_the_warehouse_an_alert_goes_with_what_is_stored_of_it(watched: Make) -> None:
    home = watched()
    home.through(SPIKE, SPIKE + QUARTER)
    deaf = Deaf(home.home.events, home.home.results, home.home.scratch)
    told = Teller(home.office, deaf, Owner("test", "here", 1)).tell(home.moment)
    assert not told.troubled
    [incident] = home.incidents
    text = (home.home.outbox / "alerts" / str(incident.id) / "01-text.txt").read_text("utf-8")
    lead = incident.member(incident.lead) if incident.lead else None
    assert lead is not None
    assert f"{lead.value:,.0f} instead of {lead.expected:,.0f}" in text


def test_nobody_to_tell_asks_for_no_run_and_is_the_owners_to_know(watched: Make) -> None:
    home = watched(delivery_channel="subscribers")
    home.through(SPIKE, SPIKE + QUARTER)
    office = Office(home.home, home.settings, home.ledgers, all_reports(), clock=lambda: home.moment)
    assert wanted(office, home.moment)
    with dg.DagsterInstance.ephemeral() as instance:
        why = held_back(office, instance, home.moment)
    assert "nobody gets alerts" in why
    assert [p.subject for p in home.ledgers.problems.open()] == ["alerts"]
