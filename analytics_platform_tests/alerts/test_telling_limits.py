"""Cards under strain: names that would break markup, more series than fit, figures nobody has."""

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics_platform.alerts import telling
from analytics_platform.alerts.feedback import Verdict
from analytics_platform.alerts.findings import Severity, What
from analytics_platform.alerts.incident import Reason, Status
from analytics_platform.alerts.telling_views import Member
from analytics_platform.channels.telegram_text import CAPTION_LIMIT, split_html, width
from analytics_platform.language import LANGUAGES, Language
from analytics_platform.messages import Text
from analytics_platform_tests.alerts import telling_cases as cases
from analytics_platform_tests.alerts.telling_cases import CARDS, LIKES, ONE, OPEN, ZONE, at
from analytics_platform_tests.hostile_text import VALUES, Markup, without_surrogates

every_card = pytest.mark.parametrize("case", CARDS)
every_language = pytest.mark.parametrize("code", LANGUAGES)

ENGLISH = Language("en")


def assert_sound(text: Text) -> None:
    """Well-formed, allowed tags only, short enough for a caption in one piece."""
    assert width(text.plain) <= CAPTION_LIMIT == telling.CAPTION
    (piece,) = split_html(text.html, limit=CAPTION_LIMIT)
    assert piece.plain == text.plain
    assert set(Markup(text.html).tags) <= set(Markup('<b>x</b><code>x</code><a href="x">x</a>').tags)


@every_language
@every_card
def test_every_card_fits_below_a_picture(case: str, code: str) -> None:
    assert_sound(telling.text(CARDS[case], Language(code), ZONE))


def test_series_that_do_not_fit_are_counted_and_the_rest_stays() -> None:
    members = tuple(replace(cases.IOS, value=f"a system with a rather long name {k}") for k in range(9))
    view = replace(OPEN, members=(LIKES, *members))
    text = telling.text(view, ENGLISH, ZONE)
    assert_sound(text)
    told = text.plain.splitlines()
    assert (
        told[0]
        == "🔴 Critical: Likes -62%, Likes (OS: a system with a rather long nam…) -89% and 8 more since 13:15 (Feed)"
    )
    assert cases.WHY[0] in told
    assert told[-1].startswith("To answer:")
    (hidden,) = [line for line in told if line.startswith("and ")]
    assert hidden.endswith(" more")


@every_language
@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_no_name_breaks_a_card_or_makes_it_too_long(value: str, code: str) -> None:
    member = replace(cases.IOS, service=value, metric=value, dimension=value, value=value)
    view = replace(
        OPEN,
        members=(member,) * 8,
        explanation=(value,) * 9,
        notes=(value,) * 9,
        acknowledged_by=value,
        muted_until=at(18),
        judged_by=value,
        verdict=Verdict.REAL,
    )
    late = replace(cases.LATE, source=value, services=(value,) * 9, arriving=(value,) * 9)
    for one in (view, replace(view, status=Status.CLOSED, reason=Reason.CLOSED, ended=at(14)), late):
        language = Language(code)
        text, line = telling.text(one, language, ZONE), telling.notice(one, language, ZONE)
        assert_sound(text)
        assert_sound(line)
        assert text.plain == without_surrogates(text.plain)
        assert "\n" not in line.plain
        assert not set("\u202e\u200b\x00\ufeff") & set(text.plain + line.plain)


@pytest.mark.parametrize("link", ["javascript:alert(1)", "ftp://x/etc", "", "http://x y", "http://" + "x" * 3000, None])
def test_only_an_address_a_browser_opens_becomes_a_link(link: str | None) -> None:
    assert "<a" not in telling.text(replace(ONE, link=link), ENGLISH, ZONE).html


def test_a_link_cannot_break_out_of_its_tag() -> None:
    text = telling.text(replace(ONE, link='http://x/?a=1&b="><b>'), ENGLISH, ZONE)
    assert_sound(text)
    assert Markup(text.html).text == text.plain


figure = st.none() | st.floats() | st.integers(0, 10**15).map(float)


@given(
    st.lists(
        st.builds(
            Member,
            service=st.sampled_from(["feed", "messenger"]),
            metric=st.sampled_from(["likes", "ctr", "feed_users", "x_y"]),
            dimension=st.sampled_from(["total", "os"]),
            what=st.sampled_from(What),
            share=st.booleans(),
            **dict.fromkeys(
                [
                    "now",
                    "expected",
                    "low",
                    "high",
                    "previous",
                    "yesterday",
                    "week_ago",
                    "worst",
                    "worst_expected",
                    "lost",
                ],
                figure,
            ),
        ),
        min_size=1,
        max_size=8,
    ),
    st.sampled_from([Status.OPEN, Status.RECOVERED, Status.CLOSED]),
    st.sampled_from(Reason),
    st.sampled_from(Severity),
    st.sampled_from(LANGUAGES),
)
def test_any_figures_make_a_sound_card(
    members: list[Member], status: Status, reason: Reason, severity: Severity, code: str
) -> None:
    view = replace(OPEN, members=tuple(members), status=status, reason=reason, severity=severity)
    for text in (telling.text(view, Language(code), ZONE), telling.notice(view, Language(code), ZONE)):
        assert_sound(text)
        assert not {"nan", "inf", "none"} & set(re.findall(r"\w+", text.plain.lower()))
