"""What an alert says: the first line tells all, nothing is invented, nothing breaks it, and it fits below a picture."""

import re
from dataclasses import replace
from datetime import timedelta
from importlib import resources

import pytest

from analytics_platform.alerts import telling
from analytics_platform.alerts import telling_words as words
from analytics_platform.alerts.feedback import Precision
from analytics_platform.alerts.incident import Reason
from analytics_platform.alerts.telling_views import IncidentView, LateView, WeeklyView
from analytics_platform.language import LANGUAGES, Language
from analytics_platform.messages import Text
from analytics_platform_tests.alerts import telling_cases as cases
from analytics_platform_tests.alerts.telling_cases import CARDS, LIKES, ONE, OPEN, UI, ZONE, at

every_card = pytest.mark.parametrize("case", CARDS)
every_language = pytest.mark.parametrize("code", LANGUAGES)

ENGLISH, RUSSIAN = Language("en"), Language("ru")


def plain(text: Text) -> str:
    return re.sub("[\xa0\u202f\u2009]", " ", text.plain)


def card(view: IncidentView | LateView, code: str = "en") -> list[str]:
    return plain(telling.text(view, Language(code), ZONE)).splitlines()


def notice(view: IncidentView | LateView, code: str = "en") -> str:
    return plain(telling.notice(view, Language(code), ZONE))


# ------------------------------------------------------------------------------------------------------ golden texts


def test_an_open_incident_in_english() -> None:
    assert telling.text(ONE, ENGLISH, ZONE).html == (
        "🔴 <b>Critical: Likes -62%</b> since 13:15 (Feed)\n"
        "Alert 17; for 30 min so far; figures of 13:30–13:45\n"
        "\n"
        "<b>Likes: 1,140</b> instead of 2,990; usual 2,600 – 3,400\n"
        "-62% vs expected; vs 15 min before -55%, yesterday -60%, a week ago -61%\n"
        "\n"
        "84% of the loss is OS: iOS.\n"
        "The rest is as usual.\n"
        "\n"
        f'<a href="{UI}">Course and history</a>\n'
        "To answer: <code>analytics-platform alerts feedback 17 false-alarm</code> (or real, expected, new-normal)"
    )


def test_an_open_incident_in_russian() -> None:
    assert card(replace(OPEN, explanation=("84 % потерь: ОС iOS.",), notes=("релиз 3.2",)), "ru") == [
        "🔴 Критично: Лайки -62 %, Просмотры -42 % и ещё 1 с 13:15 (Лента)",
        "Алерт 17; длится 30 мин; данные за 13:30–13:45",
        "",
        "Лайки: 1 140 вместо 2 990; обычно 2 600 – 3 400",
        "-62 % к ожидаемому; к 15 мин назад -55 %, ко вчера -60 %, к неделе назад -61 %",
        "Просмотры: 8 000 вместо 13 828; обычно 12 000 – 15 400",
        "-42 % к ожидаемому; к 15 мин назад -11 %, ко вчера -40 %, к неделе назад н/д",
        "CTR: 14,25 % вместо 21,62 %; обычно 20,00 % – 23,00 %",
        "-34 % к ожидаемому; к 15 мин назад -49 %, ко вчера -32 %, к неделе назад -34 %",
        "",
        "84 % потерь: ОС iOS.",
        "",
        "В календаре: релиз 3.2",
        "",
        "График и история",
        "Ответить: analytics-platform alerts feedback 17 false-alarm (или real, expected, new-normal)",
    ]


def test_a_closed_incident_says_how_long_it_was_and_what_it_cost() -> None:
    assert card(cases.CLOSED) == [
        "✅ Closed: Likes, Views and 1 more, 13:15–14:30 (Feed)",
        "Alert 17; lasted 1 h 15 min",
        "",
        "Likes: at worst 310 instead of 2,990 (-90%)",
        "In all about -4,520 against expectation",
        "Views: at worst 8,000 instead of 13,828 (-42%)",
        "In all about -9,000 against expectation",
        "CTR: at worst 14.25% instead of 21.62% (-34%)",
        "In all about -590 (Likes) against expectation",
        "",
        *cases.WHY,
        "",
        "In the calendar: release 3.2 at 14:00",
        "",
        "Course and history",
        "Answer: false alarm (anna)",
    ]


def test_what_is_closed_for_want_of_data_is_not_said_to_be_usual_again() -> None:
    assert card(CARDS["lost"])[1] == "Alert 17; closed after 1 h 15 min, for its data no longer comes"


def test_late_data_is_said_to_be_late_and_not_to_have_fallen() -> None:
    assert card(cases.LATE) == [
        "🕒 Data late: feed_actions since 13:05 (Feed)",
        "Alert 18; for 40 min so far",
        "",
        "feed_actions has no events since 13:05.",
        "Arriving as usual: message_actions.",
        "No metric is said to have fallen: what is missing is judged when it is there.",
        "",
        "Course and history",
    ]
    assert card(cases.LATE, "ru")[0] == "🕒 Данные опаздывают: feed_actions с 13:05 (Лента)"
    assert card(cases.THERE)[:2] == [
        "✅ Data is there again: feed_actions (Feed)",
        "Alert 18; late 13:05–14:10, 1 h 5 min",
    ]


@pytest.mark.parametrize(
    ("case", "first"),
    [
        ("open", "🔴 Critical: Likes -62%, Views -42% and 1 more since 13:15 (Feed)"),
        ("zero", "🔴 Critical: Likes at zero since 13:15 (Feed)"),
        ("slide", "🟠 Warning: Views -12%, gradually since 13:15 (Feed)"),
        ("freeze", "🔴 Critical: Likes frozen at 1,140 since 13:15 (Feed)"),
        ("held", "🔴 Critical: Likes -62% since Thu 19, 23:45 (Feed)"),
        ("recovered", "🟢 Back to usual: Likes, Views and 1 more since 14:30 (Feed)"),
        ("unknown", "🔴 Critical: Likes: n/a since 13:15 (Feed)"),
    ],
)
def test_the_first_line_tells_all(case: str, first: str) -> None:
    assert card(CARDS[case])[0] == first


def test_who_holds_it_and_until_when_is_said() -> None:
    assert card(cases.HELD)[1:4] == [
        "Alert 17; for 14 h so far; figures of 13:30–13:45",
        "Seen by anna",
        "Without a sound until 18:00",
    ]


def test_the_services_are_named_where_the_metrics_do_not_tell() -> None:
    senders = replace(LIKES, service="messenger", metric="senders")
    messages = replace(LIKES, service="messenger", metric="messages_sent")
    assert card(replace(ONE, members=(senders,)))[0] == "🔴 Critical: Messenger active users -62% since 13:15"
    assert card(replace(ONE, members=(messages, LIKES)))[0].endswith("(Messenger, Feed)")


def test_a_metric_that_nobody_named_is_told_in_its_own_words() -> None:
    assert words.metric_name("users_sent", ENGLISH) == "Users sent"
    assert words.service_name("video_calls", RUSSIAN) == "Video calls"
    assert words.series_name("likes", "age_group", "20-29", ENGLISH) == "Likes (age: 20-29)"


# ---------------------------------------------------------------------------------------------------------- notices


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        (Reason.OPENED, "Likes -62%, Views -42% and 1 more, since 13:15 (Feed)"),
        (Reason.MORE_METRICS, "Now also: Views -42% (Feed)"),
        (Reason.WORSENED, "Worse: Likes -62%, Views -42% and 1 more, since 13:15 (Feed)"),
        (Reason.REMINDER, "Not over: Likes -62%, Views -42% and 1 more, for 30 min (Feed)"),
        (Reason.REOPENED, "Again: Likes -62%, Views -42% and 1 more, since 13:15 (Feed)"),
        (Reason.RECOVERED, "Back to usual: Likes, Views and 1 more, after 30 min (Feed)"),
        (Reason.CLOSED, "Closed: Likes, Views and 1 more, after 30 min (Feed)"),
        (Reason.NEW_NORMAL, "Taken for the new normal: Likes, Views and 1 more, after 30 min (Feed)"),
        (Reason.LOST, "Closed, for its data no longer comes: Likes, Views and 1 more, after 30 min (Feed)"),
        (Reason.BY_HAND, "Closed by hand: Likes, Views and 1 more, after 30 min (Feed)"),
    ],
)
def test_a_notice_is_one_line_that_says_why(reason: Reason, said: str) -> None:
    assert notice(replace(OPEN, reason=reason)) == said


def test_notices_of_late_data_are_their_own() -> None:
    assert notice(cases.LATE) == "Data late: feed_actions, since 13:05 (Feed)"
    reminder = replace(cases.LATE, reason=Reason.REMINDER)
    assert notice(reminder) == "Data still late: feed_actions, for 40 min (Feed)"
    assert notice(cases.THERE, "ru") == "Данные снова есть: feed_actions, спустя 1 ч 5 мин (Лента)"


def test_the_title_names_what_is_still_unusual() -> None:
    usual = replace(LIKES, usual=True)
    told = card(replace(OPEN, members=(usual, cases.VIEWS)))
    assert told[0] == "🔴 Critical: Views -42% and 1 more since 13:15 (Feed)"
    assert "now within the usual range" in told


# ---------------------------------------------------------------------------------------------------- figures, times


@pytest.mark.parametrize(
    ("growth", "said"),
    [
        (-0.6187, "-62%"),
        (0.0423, "+4.2%"),
        (-0.0994, "-9.9%"),
        (-0.0996, "-10%"),
        (0.0, "0%"),
        (-0.0001, "0%"),
        (-1.0, "-100%"),
        (1.2122, "+121%"),
        (11.2, "×12"),
        (1e9, "×1,000,000,001"),
        (None, "n/a"),
        (float("nan"), "n/a"),
        (float("inf"), "n/a"),
        (float("-inf"), "n/a"),
    ],
)
def test_changes_are_as_exact_as_an_alert_needs(growth: float | None, said: str) -> None:
    assert words.size(growth, ENGLISH) == said


@pytest.mark.parametrize(
    ("minutes", "english", "russian"),
    [
        (0, "0 min", "0 мин"),
        (15, "15 min", "15 мин"),
        (60, "1 h", "1 ч"),
        (75, "1 h 15 min", "1 ч 15 мин"),
        (1440, "1 d", "1 д"),
        (3000, "2 d 2 h", "2 д 2 ч"),
    ],
)
def test_lengths_of_time(minutes: int, english: str, russian: str) -> None:
    assert words.length(timedelta(minutes=minutes), ENGLISH) == english
    assert words.length(timedelta(minutes=minutes), RUSSIAN) == russian


def test_times_carry_their_day_when_it_is_not_today() -> None:
    today = at(1, 15)
    assert words.clock(at(1), ZONE, today, ENGLISH) == "01:00"
    assert words.clock(at(23, 45, day=19), ZONE, today, ENGLISH) == "Thu 19, 23:45"
    assert words.clock(at(23, 45, day=2), ZONE, today, ENGLISH) == "Nov 2, 2026, 23:45"
    assert words.span(at(23, 45, day=19), today, ZONE, today, ENGLISH) == "Thu 19, 23:45 – 01:15"


@every_language
@every_card
def test_nothing_reads_nan_or_inf_or_none(case: str, code: str) -> None:
    view = CARDS[case]
    for said in ("\n".join(card(view, code)), notice(view, code)):
        assert not {"nan", "inf", "none", "-inf"} & set(re.findall(r"-?\w+", said.lower())), said


def test_what_is_not_known_is_said_to_be_so() -> None:
    assert card(cases.UNKNOWN)[3:5] == [
        "Likes: n/a instead of n/a",
        "n/a vs expected; vs 15 min before n/a, yesterday n/a, a week ago n/a",
    ]


def test_there_is_no_change_from_nothing() -> None:
    out_of_nothing = replace(LIKES, now=5.0, expected=0.0, low=-3.0, high=2.0, previous=0.0)
    told = card(replace(ONE, members=(out_of_nothing,)))
    assert told[0] == "🔴 Critical: Likes: 5 since 13:15 (Feed)"
    assert told[3] == "Likes: 5 instead of 0; usual 0 – 2"
    assert told[4].startswith("n/a vs expected; vs 15 min before n/a")


# ------------------------------------------------------------------------------------------------------- weekly note

WEEK = Precision(at(0, day=9), at(0, day=16), real=4, false_alarms=1, expected=1, unjudged=2)


def test_the_weekly_note_states_precision_and_what_follows_from_it() -> None:
    view = WeeklyView(WEEK, {"likes": 1.2, "ctr": 0.95, "views": 1.001}, late=1)
    assert plain(telling.weekly(view, ENGLISH, ZONE)).splitlines() == [
        "Alerts, Nov 9, 2026 – Nov 15, 2026",
        "",
        "Precision: 80% (4 real of 5 judged)",
        "Alerts: 8; real: 4, false: 1, expected: 1, new normal: 0, not judged: 2",
        "Data was late: 1",
        "CTR: alerts more easily from now on (threshold at 95%)",
        "Likes: alerts less easily from now on (threshold at 120%)",
        "",
        "Every answer makes the next alerts better: "
        "analytics-platform alerts feedback ID real|false-alarm|expected|new-normal",
    ]


def test_a_week_without_answers_or_alerts_claims_nothing() -> None:
    silent = WeeklyView(Precision(WEEK.first, WEEK.last, unjudged=2))
    assert "so their precision is not known" in telling.weekly(silent, ENGLISH, ZONE).plain
    none = telling.weekly(WeeklyView(Precision(WEEK.first, WEEK.last)), RUSSIAN, ZONE)
    assert plain(none) == "Алерты, 9 нояб. 2026 г. – 15 нояб. 2026 г.\n\nАлертов не было."


def test_every_template_is_used() -> None:
    folder = resources.files("analytics_platform") / "alerts" / "templates"
    names = {entry.name for entry in folder.iterdir() if entry.is_file()}
    assert names == {f"{name}.html.j2" for name in ("alert", "late", "line", "weekly")}


def test_an_incident_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="incident 17 has no series; an incident needs at least one"):
        replace(OPEN, members=())
