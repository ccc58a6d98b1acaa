"""The feed report's words and figures, against the product's documented sample."""

from collections.abc import Sequence
from datetime import date, timedelta
from zoneinfo import ZoneInfo

import pytest

from analytics_platform.language import LANGUAGES, Language
from analytics_platform.messages import Album, Document, Message, Text
from analytics_platform.metrics.frames import FeedDay, FeedFrame
from analytics_platform.reports.base import Number, Rendering, fill
from analytics_platform.reports.feed_daily import REPORT, figures

DAY = date(2023, 10, 19)
PNG, PDF = b"\x89PNG\r\n\x1a\n", b"%PDF-1.4"
TODAY = FeedDay(DAY, 18_706, 569_448, 118_695)
YESTERDAY = FeedDay(DAY - timedelta(days=1), 18_167, 503_624, 106_989)
WEEK_AGO = FeedDay(DAY - timedelta(days=7), 18_811, 547_073, 114_936)


def frame(
    today: FeedDay = TODAY, yesterday: FeedDay | None = YESTERDAY, week_ago: FeedDay | None = WEEK_AGO
) -> FeedFrame:
    """Those three days, the five between not computed."""
    between = [FeedDay(DAY - timedelta(days=k)) for k in range(6, 1, -1)]
    return FeedFrame((week_ago or FeedDay(WEEK_AGO.day), *between, yesterday or FeedDay(YESTERDAY.day), today))


def composed(code: str, of: FeedFrame) -> Sequence[Message]:
    return REPORT.compose(of, {"chart.png": PNG, "chart.pdf": PDF}, Rendering(Language(code), ZoneInfo("UTC")))


def said(code: str, of: FeedFrame) -> str:
    [text] = [m for m in composed(code, of) if isinstance(m, Text)]
    return text.plain.replace("\xa0", " ").replace("\u202f", " ")


ENGLISH = """\
Feed: main figures for Oct 19, 2023

1. DAU = 18,706
    +2.97% vs Oct 18, 2023
    -0.56% vs Oct 12, 2023

2. Views = 569,448
    +13.07% vs Oct 18, 2023
    +4.09% vs Oct 12, 2023

3. Likes = 118,695
    +10.94% vs Oct 18, 2023
    +3.27% vs Oct 12, 2023

4. CTR = 20.84%
    -1.88% vs Oct 18, 2023
    -0.79% vs Oct 12, 2023"""

RUSSIAN = """\
Лента: основные показатели за 19 окт. 2023 г.

1. DAU = 18 706
    +2,97 % к 18 окт. 2023 г.
    -0,56 % к 12 окт. 2023 г.

2. Просмотры = 569 448
    +13,07 % к 18 окт. 2023 г.
    +4,09 % к 12 окт. 2023 г.

3. Лайки = 118 695
    +10,94 % к 18 окт. 2023 г.
    +3,27 % к 12 окт. 2023 г.

4. CTR = 20,84 %
    -1,88 % к 18 окт. 2023 г.
    -0,79 % к 12 окт. 2023 г."""


@pytest.mark.parametrize(("code", "text"), [("en", ENGLISH), ("ru", RUSSIAN)])
def test_the_documented_sample(code: str, text: str) -> None:
    assert said(code, frame()) == text


def test_growth_is_from_unrounded_numbers_and_relative_for_shares_too() -> None:
    ctr = figures(frame(), Language("en"))[3]
    assert ctr.to_yesterday == pytest.approx((118_695 / 569_448) / (106_989 / 503_624) - 1, rel=1e-12)
    # In percentage points it would be -0.40.
    assert round(100 * (ctr.to_yesterday or 0), 2) == -1.88
    # The documented -0.81 % vs the week before is what rates rounded first make of the same numbers.
    assert round(100 * (ctr.to_week_ago or 0), 2) == -0.79
    assert round(100 * (round(118_695 / 569_448, 4) / round(114_936 / 547_073, 4) - 1), 2) == -0.81


def test_text_first_then_picture_then_the_same_as_pdf() -> None:
    text, album, document = composed("en", frame())
    assert isinstance(text, Text)
    assert isinstance(album, Album)
    assert isinstance(document, Document)
    [picture] = album.pictures
    assert (picture.filename, picture.content) == ("feed_daily_2023-10-19.png", PNG)
    assert picture.caption == "Feed, Oct 13, 2023 - Oct 19, 2023"
    assert (document.filename, document.content) == ("feed_daily_2023-10-19.pdf", PDF)
    assert document.caption == "The same chart to print or zoom"
    assert text.html.count("<b>") == text.html.count("</b>") == 5
    # Well within what one chat message may have.
    assert len(text.plain) < 1000


def test_the_headline_figures_are_those_of_the_text() -> None:
    assert REPORT.numbers(frame()) == (
        Number("DAU", 18_706),
        Number("Views", 569_448),
        Number("Likes", 118_695),
        Number("CTR", 118_695 / 569_448, share=True),
    )
    assert [n.name for n in REPORT.numbers(frame())] == [f.name for f in figures(frame(), Language("en"))]


def test_drawing_gives_the_chart_in_both_forms() -> None:
    drawn = REPORT.draw(frame(), Rendering(Language("ru"), ZoneInfo("UTC")))
    assert list(drawn) == ["chart.png", "chart.pdf"]
    assert drawn["chart.png"].startswith(PNG)
    assert drawn["chart.pdf"].startswith(b"%PDF")


@pytest.mark.parametrize("code", LANGUAGES)
@pytest.mark.parametrize(
    "of",
    [
        frame(yesterday=None, week_ago=None),
        frame(yesterday=FeedDay(YESTERDAY.day, 0, 0, 0), week_ago=FeedDay(WEEK_AGO.day, 0, 0, 0)),
    ],
    ids=["missing", "zero"],
)
def test_without_a_base_there_is_no_change(code: str, of: FeedFrame) -> None:
    text = said(code, of)
    language = Language(code)
    missing = language.say("n/a")
    assert text.count(f"    {missing} ") == 8
    assert [figure.to_yesterday for figure in figures(of, language)] == [None] * 4
    assert ("18,706" if code == "en" else "18 706") in text


@pytest.mark.parametrize("code", LANGUAGES)
def test_odd_days_read_without_nan_or_inf(code: str) -> None:
    for today in (
        FeedDay(DAY),
        FeedDay(DAY, 0, 0, 0),
        FeedDay(DAY, 5, 0, 0),
        FeedDay(DAY, 5, 0, 7),
        FeedDay(DAY, 5, 3, None),
        FeedDay(DAY, 10**12, 10**15, 1),
    ):
        for of in (frame(today), frame(today, None), frame(today, TODAY_AS_BASE, None)):
            text = said(code, of).lower()
            assert not any(word in text.split() for word in ("nan", "inf", "none")), text
            assert "nan" not in text
            assert "none" not in text


TODAY_AS_BASE = FeedDay(YESTERDAY.day, 0, 1, 10**15)


def test_no_visible_change_has_no_sign() -> None:
    same = frame(yesterday=FeedDay(YESTERDAY.day, 18_706, 569_449, 118_695))
    assert "1. DAU = 18,706\n    0.00% vs Oct 18, 2023" in said("en", same)
    assert "2. Views = 569,448\n    0.00% vs Oct 18, 2023" in said("en", same)


def test_hostile_values_are_escaped() -> None:
    class Hostile(Language):
        def day(self, day: date) -> str:
            return '</b><a href="http://x">{day} & <script>'

    text = fill("feed_daily", Hostile("en"), frame=frame(), figures=figures(frame(), Language("en")))
    assert "<a " not in text.html
    assert "<script>" not in text.html
    assert text.html.count("</b>") == 5
    assert text.plain.startswith('Feed: main figures for </b><a href="http://x">{day} & <script>')


def test_a_template_that_names_what_is_not_there_fails() -> None:
    from jinja2 import UndefinedError

    with pytest.raises(UndefinedError, match="figures"):
        fill("feed_daily", Language("en"), frame=frame())
