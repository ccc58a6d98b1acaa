"""The app report's text, against the documented sample worked out by hand, and what it sends in which order."""

import re
from collections.abc import Sequence
from dataclasses import replace
from zoneinfo import ZoneInfo

import pytest

from analytics_platform.channels.telegram_text import ENTITY_LIMIT, TEXT_LIMIT, split_html, width
from analytics_platform.language import LANGUAGES, Language
from analytics_platform.messages import Album, Document, Message, Text
from analytics_platform.metrics.app import AppFrame, Audience, Figures, Retention, Service, Slice
from analytics_platform.metrics.moves import Move, StandOut, moves, stands_out
from analytics_platform.reports import app_csv, app_figures
from analytics_platform.reports.app_daily import REPORT, AppInputs
from analytics_platform.reports.base import Number, Rendering, Row
from analytics_platform_tests.reports.app_sample import (
    APP,
    CHAT,
    DAY,
    DAYS,
    FEED,
    TODAY,
    WEEK_AGO,
    frame,
    scaled,
    sliced,
)

MOSCOW = ZoneInfo("Europe/Moscow")
ROWS: list[Row] = [
    {"event_date": DAYS[k], "service": "app", "dimension": "total", "dimension_value": "total", "dau": 2, "actions": 7}
    | dict.fromkeys(("views", "likes", "active_posts", "new_users", "new_posts"))
    for k in (3, 30)
]


def composed(of: AppFrame, code: str = "en") -> Sequence[Message]:
    rendering = Rendering(Language(code), MOSCOW)
    drawn = {
        "feed.png": b"2",
        "app.png": b"1",
        "charts.pdf": b"%PDF",
        "table.csv": app_csv.write(ROWS, rendering.language, bom=True),
    }
    return REPORT.compose(AppInputs(of, ROWS), drawn, rendering)


def said(of: AppFrame, code: str = "en") -> str:
    text = composed(of, code)[0]
    assert isinstance(text, Text)
    return re.sub("[\xa0\u202f]", " ", text.plain)


RULE = "—" * 14

ENGLISH = f"""\
The app: figures for Oct 20, 2023
Nothing unusual: every figure is within its usual range.

All-time users = 140,061
All-time actions = 52,578,384

Format: figure = value (% vs Oct 19, 2023; % vs Oct 13, 2023)

App
{RULE}
1. DAU = 20,200 (-1.83%, -0.27%)
2. Actions = 764,882 (+9.09%, +2.17%)
3. Actions per user = 38 (+11.12%, +2.45%)

Feed
{RULE}
4. DAU = 18,379 (-1.75%, -0.65%)
5. Views = 623,236 (+9.45%, +2.17%)
6. Likes = 128,754 (+8.47%, +2.19%)
7. CTR = 20.66% (-0.89%, +0.02%)
8. Active posts = 220 (+2.33%, -1.79%)
9. Actions = 751,990 (+9.28%, +2.17%)
10. Actions per user = 41 (+11.22%, +2.85%)
11. Actions per post = 3,418 (+6.79%, +4.03%)
12. New users = 1,064 (+3.10%, -3.27%)
13. New posts = 90 (+5.88%, +2.27%)

Chat
{RULE}
14. DAU = 2,060 (-2.88%, +3.00%)
15. Messages = 12,892 (-0.93%, +2.32%)
16. Messages per user = 6 (+2.00%, -0.66%)
17. New users = 417 (-3.25%, +2.96%)

Audience (% vs Oct 13, 2023)
{RULE}
Both feed and chat = 239 (1.18% of DAU)
Active in 7 days = 61,240 (+1.87%)
– retained = 41,005
– new = 6,210
– returned = 14,025
Gone since the week before = 13,320
Stickiness (DAU / MAU) = 20.52% (-1.68%)
Day-1 retention = 36.45%
– ads = 28.12%
– organic = 45.79%
Day-7 retention = 22.38%
– ads = 13.00%
– organic = 33.22%"""

RUSSIAN = f"""\
Приложение: показатели за 20 окт. 2023 г.
Ничего необычного: все показатели в обычных пределах.

Пользователей за всё время = 140 061
Действий за всё время = 52 578 384

Формат: показатель = значение (% к 19 окт. 2023 г.; % к 13 окт. 2023 г.)

Приложение
{RULE}
1. DAU = 20 200 (-1,83 %, -0,27 %)
2. Действия = 764 882 (+9,09 %, +2,17 %)
3. Действия на пользователя = 38 (+11,12 %, +2,45 %)

Лента
{RULE}
4. DAU = 18 379 (-1,75 %, -0,65 %)
5. Просмотры = 623 236 (+9,45 %, +2,17 %)
6. Лайки = 128 754 (+8,47 %, +2,19 %)
7. CTR = 20,66 % (-0,89 %, +0,02 %)
8. Активные посты = 220 (+2,33 %, -1,79 %)
9. Действия = 751 990 (+9,28 %, +2,17 %)
10. Действия на пользователя = 41 (+11,22 %, +2,85 %)
11. Действия на пост = 3 418 (+6,79 %, +4,03 %)
12. Новые пользователи = 1 064 (+3,10 %, -3,27 %)
13. Новые посты = 90 (+5,88 %, +2,27 %)

Чат
{RULE}
14. DAU = 2 060 (-2,88 %, +3,00 %)
15. Сообщения = 12 892 (-0,93 %, +2,32 %)
16. Сообщения на пользователя = 6 (+2,00 %, -0,66 %)
17. Новые пользователи = 417 (-3,25 %, +2,96 %)

Аудитория (% к 13 окт. 2023 г.)
{RULE}
И лента, и чат = 239 (1,18 % от DAU)
Активны за 7 дней = 61 240 (+1,87 %)
– остались = 41 005
– новые = 6 210
– вернулись = 14 025
Ушли с прошлой недели = 13 320
Липкость (DAU / MAU) = 20,52 % (-1,68 %)
Удержание 1-го дня = 36,45 %
– ads = 28,12 %
– organic = 45,79 %
Удержание 7-го дня = 22,38 %
– ads = 13,00 %
– organic = 33,22 %"""


@pytest.mark.parametrize(("code", "text"), [("en", ENGLISH), ("ru", RUSSIAN)])
def test_the_documented_sample(code: str, text: str) -> None:
    assert said(frame(), code) == text


def test_growth_of_rates_is_from_unrounded_numbers_against_the_same_weekday() -> None:
    lines = {f.number: f for b in app_figures.blocks(frame(), (), Language("en")) for f in b.figures}
    # 12,892 / 2,060 = 6.258 and 12,600 / 2,000 = 6.3: from 6 to 6 would be no change at all.
    assert lines[16].to_week_ago == pytest.approx((12_892 / 2_060) / (12_600 / 2_000) - 1, rel=1e-12)
    assert lines[7].to_yesterday == pytest.approx((128_754 / 623_236) / (118_695 / 569_448) - 1, rel=1e-12)
    assert list(lines) == list(range(1, 18))


def test_the_ends_of_rounding() -> None:
    for actions, shown in ((12_360, "6"), (13_390, "6"), (13_396, "7"), (1_029, "0"), (1_031, "1")):
        today = {**TODAY, CHAT: Figures(dau=2_060, actions=actions, new_users=417)}
        assert re.search(rf"^16\. Messages per user = {shown} ", said(frame(today)), re.MULTILINE)


@pytest.mark.parametrize(("code", "missing"), [("en", "n/a"), ("ru", "н/д")])
def test_without_a_base_there_is_no_change(code: str, missing: str) -> None:
    zero = {where: scaled(figures, 0) for where, figures in WEEK_AGO.items()}
    for of in (frame(known=1), frame(yesterday=zero, usual=zero)):
        text = said(of, code)
        # 17 lines with two changes each; the audience has bases of its own.
        assert text.count(f"({missing}, {missing})") == 17
    only_week = said(frame(yesterday={}), code)
    assert f"1. DAU = {Language(code).count(20_200)} ({missing}, ".replace("\xa0", " ") in only_week


@pytest.mark.parametrize("code", LANGUAGES)
def test_odd_days_read_without_nan_or_inf(code: str) -> None:
    nothing = {where: Figures() for where in TODAY}
    zeros = {where: scaled(figures, 0) for where, figures in TODAY.items()}
    only_chat = {APP: Figures(2_060, 12_892), FEED: zeros[FEED], CHAT: TODAY[CHAT]}
    for today in (nothing, zeros, only_chat):
        for of in (frame(today), frame(today, today), frame(today, today, today)):
            empty = replace(of, audience=Audience(), audience_week_ago=Audience(dau=0, mau=0, wau=0), retention=())
            for one in (of, empty, replace(empty, users_ever=None, actions_ever=None)):
                words = set(re.findall(r"[^\W\d_]+", said(one, code).lower()))
                assert not words & {"nan", "inf", "none"}
    assert "Day-1 retention = n/a" in said(replace(frame(), retention=(Retention("total", 1, 0, 0),)))


def dark_ios() -> AppFrame:
    """iOS users fell to a fifth of the usual, in feed and messenger."""
    shares = {"Android": 0.65, "iOS": 0.35}
    series = dict(frame().series)
    for total, figures in WEEK_AGO.items():
        fallen = scaled(figures, 0.65 + 0.35 * 0.2)
        series[total] = (*[figures] * 30, fallen)
        for where, usual in sliced(replace(total, dimension="os"), WEEK_AGO, shares).items():
            series[where] = (*[usual] * 30, scaled(usual, 0.2) if where.value == "iOS" else usual)
    return replace(frame(), series=series)


def test_what_stands_out_comes_first_and_its_figures_are_marked() -> None:
    lines = said(dark_ios()).splitlines()
    assert lines[1] == (
        "What stands out: App DAU = 14,584, 28% below a usual Friday (expected 20,255); "
        "100% of the difference is OS iOS."
    )
    assert "▼: outside the usual range" in lines
    assert "1. DAU = 14,584 ▼ (-28.00%, -28.00%)" in lines
    assert "7. CTR = 20.66% (0.00%, 0.00%)" in lines
    russian = said(dark_ios(), "ru").splitlines()
    assert russian[1] == (
        "Главное: DAU приложения = 14 584, на 28 % ниже, чем обычно в пятницу (ожидалось 20 255); "
        "100 % разницы — ОС iOS."
    )


def test_an_unusual_small_slice_is_counted_when_nothing_stands_out() -> None:
    where = Slice(Service.FEED, "country", "Finland")
    usual, today = scaled(WEEK_AGO[FEED], 0.02), scaled(WEEK_AGO[FEED], 0.01)
    of = replace(frame(), series={**frame().series, where: (*[usual] * 30, today)})
    assert stands_out(of, moves(of)) is None
    assert said(of).splitlines()[1] == "Nothing unusual in total; single slices with unusual figures: 1."
    assert said(of, "ru").splitlines()[1].endswith("отдельных срезов с необычными показателями: 1.")


def test_a_sentence_for_every_figure_and_kind_of_slice() -> None:
    for code in LANGUAGES:
        language = Language(code)
        for move in moves(frame()):
            sentence = app_figures.stands_out_sentence(frame(), StandOut(move), language)
            assert sentence.endswith(").")
    up = Move(Slice(Service.FEED, "country", "other"), "new_users", 620.0, 120.4, 4.15, 9.0, True)
    english = app_figures.stands_out_sentence(frame(), StandOut(up), Language("en"))
    assert english == "Feed new users, the other countries = 620, 415% above a usual Friday (expected 120)."
    carrier = Slice(Service.FEED, "source", "unknown")
    slide = Move(FEED, "ctr", 0.1794, 0.2066, -0.1317, -8.0, True)
    russian = app_figures.stands_out_sentence(frame(), StandOut(slide, carrier, 0.836), Language("ru"))
    assert re.sub("[\xa0\u202f]", " ", russian) == (
        "CTR ленты = 17,94 %, на 13,2 % ниже, чем обычно в пятницу (ожидалось 20,66 %); "
        "84 % разницы — источник неизвестно."
    )


def test_a_short_history_says_that_it_cannot_tell() -> None:
    assert said(frame(known=10)).splitlines()[1] == "The history is too short to tell what is unusual."
    assert said(frame(known=10), "ru").splitlines()[1] == "История слишком короткая, чтобы судить о необычном."
    assert stands_out(frame(known=10), moves(frame(known=10))) is None


@pytest.mark.parametrize("code", LANGUAGES)
def test_large_numbers_and_long_names_stay_within_one_message(code: str) -> None:
    huge = {where: scaled(figures, 10**7) for where, figures in TODAY.items()}
    tiny = {where: scaled(figures, 1e-4) for where, figures in TODAY.items()}
    retention = tuple(
        Retention(f"{k}{'<very long & odd> ' * 40}", age, 10**12 - k, 10**11) for k in range(50) for age in (1, 7)
    )
    people = Audience(*(10**13 - k for k in range(8)))
    of = replace(frame(huge, tiny, tiny), users_ever=10**15, actions_ever=10**18, retention=retention, audience=people)
    text = composed(of, code)[0]
    assert isinstance(text, Text)
    assert width(text.plain) < TEXT_LIMIT / 1.3
    [chunk] = split_html(text.html)
    assert chunk.plain == text.plain
    assert text.html.count("<b>") == text.html.count("</b>") < ENTITY_LIMIT
    assert "<very" not in text.html
    assert all(len(line) <= 110 for line in text.plain.splitlines()[3:])


def test_most_lines_fit_a_phones_screen() -> None:
    for code, limit in (("en", 45), ("ru", 55)):
        lines = [line for line in said(frame(), code).splitlines() if re.match(r"\d+\. |– ", line)]
        assert max(map(len, lines)) <= limit


def test_text_album_table_and_pdf_in_this_order() -> None:
    text, album, table, pdf = composed(frame())
    assert isinstance(text, Text)
    assert isinstance(album, Album)
    # The order is the drawing's: the picture in which most moved comes first.
    assert [(p.filename, p.caption) for p in album.pictures] == [
        ("app_daily_2023-10-20_feed.png", "Feed, Sep 20, 2023 – Oct 20, 2023"),
        ("app_daily_2023-10-20_app.png", "App, Sep 20, 2023 – Oct 20, 2023"),
    ]
    assert isinstance(table, Document)
    assert table.filename == "app_daily_2023-09-23_2023-10-20.csv"
    assert table.caption == "Every figure by slice and day, Sep 23, 2023 – Oct 20, 2023"
    assert table.content.count(b"\r\n") == 3
    assert isinstance(pdf, Document)
    assert (pdf.filename, pdf.content) == ("app_daily_2023-10-20.pdf", b"%PDF")


def test_the_headline_figures() -> None:
    assert REPORT.numbers(AppInputs(frame(), ())) == (
        Number("App DAU", 20_200),
        Number("App actions", 764_882),
        Number("Feed DAU", 18_379),
        Number("Feed views", 623_236),
        Number("Feed likes", 128_754),
        Number("Feed CTR", 128_754 / 623_236, share=True),
        Number("Feed new users", 1_064),
        Number("Chat DAU", 2_060),
        Number("Chat messages", 12_892),
    )


@pytest.mark.parametrize("code", LANGUAGES)
def test_drawing_gives_four_pictures_a_pdf_and_the_table(code: str) -> None:
    rendering = Rendering(Language(code), MOSCOW, csv_bom=False)
    drawn = REPORT.draw(AppInputs(frame(), ROWS), rendering)
    *pictures, pdf, table = drawn
    assert sorted(pictures) == ["app.png", "chat.png", "feed.png", "feed_slices.png"]
    assert (pdf, table) == ("charts.pdf", "table.csv")
    assert all(drawn[name].startswith(b"\x89PNG") for name in pictures)
    assert drawn[pdf].startswith(b"%PDF")
    assert drawn[table] == app_csv.write(ROWS, rendering.language, bom=False)
    messages = REPORT.compose(AppInputs(frame(), ROWS), drawn, rendering)
    album = messages[1]
    assert isinstance(album, Album)
    assert [p.filename.removeprefix(f"app_daily_{DAY}_") for p in album.pictures] == pictures
    assert len({p.caption for p in album.pictures}) == 4
