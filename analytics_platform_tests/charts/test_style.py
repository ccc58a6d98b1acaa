"""The shared look: round axis numbers, type that fits, settings that neither leak out nor in."""

import subprocess
import sys
from pathlib import Path

import matplotlib
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics_platform.charts import style
from analytics_platform.language import Language


@pytest.mark.parametrize(
    ("top", "ticks"),
    [
        (0, [0]),
        (1, [0, 1]),
        (2, [0, 1, 2]),
        (3, [0, 1, 2, 3]),
        (7, [0, 4, 8]),
        (18_811, [0, 10_000, 20_000]),
        (118_695, [0, 40_000, 80_000, 120_000]),
        (569_448, [0, 200_000, 400_000, 600_000]),
    ],
)
def test_counts_get_round_ticks_from_zero(top: int, ticks: list[int]) -> None:
    assert style.count_ticks(top) == ticks


@given(st.integers(1, 10**13))
def test_count_ticks_hold_the_highest_value_without_wasting_height(top: int) -> None:
    ticks = style.count_ticks(top)
    assert ticks[0] == 0
    assert top <= ticks[-1] <= top * 1.34
    assert len(ticks) <= 4
    assert len({Language("en").compact(tick) for tick in ticks}) == len(ticks)


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ([], (0, 0.01)),
        ([0.0, 0.0], (0, 0.01)),
        ([0.2062, 0.2084, 0.2127], (0.2, 0.225)),
        ([0.2, 0.2998], (0.2, 0.3)),
        ([0.0, 1.0], (0, 1)),
    ],
)
def test_shares_get_two_round_ticks(values: list[float], ticks: tuple[float, float]) -> None:
    assert style.share_ticks(values) == pytest.approx(ticks)


@given(st.lists(st.floats(1e-7, 3), min_size=1, max_size=7))
def test_share_ticks_hold_all_values_and_never_blow_up_noise(values: list[float]) -> None:
    low, high = style.share_ticks(values)
    assert 0 <= low <= min(values) * (1 + 1e-6)
    assert high >= max(values) * (1 - 1e-6)
    assert high - low >= max(values) / 10 * (1 - 1e-6)


@pytest.mark.parametrize(
    ("value", "english", "russian"),
    [
        (None, "n/a", "н/д"),
        (0, "0", "0"),
        (999, "999", "999"),
        (18_706, "18.7K", "18,7 тыс."),
        (999_949, "999.9K", "999,9 тыс."),
        (999_950, "1M", "1 млн"),  # not "1000K"
        (-999_950, "-1M", "-1 млн"),
        (12_345_678_901, "12.3B", "12,3 млрд"),
    ],
)
def test_axis_counts_are_short_in_both_languages(value: float | None, english: str, russian: str) -> None:
    assert Language("en").compact(value) == english
    assert Language("ru").compact(value).replace("\xa0", " ") == russian


@pytest.mark.parametrize(
    ("share", "english", "russian"),
    [
        (None, "n/a", "н/д"),
        (0.0, "0%", "0 %"),
        (0.225, "22.5%", "22,5 %"),
        (0.1 + 0.2, "30%", "30 %"),
        (0.000_03, "0.003%", "0,003 %"),
    ],
)
def test_axis_shares_have_no_spare_zeros(share: float | None, english: str, russian: str) -> None:
    assert Language("en").compact(share, share=True) == english
    assert Language("ru").compact(share, share=True).replace("\xa0", " ") == russian


def test_text_shrinks_to_its_room_and_never_grows() -> None:
    with style.look():
        page = style.page()
        long, short = page.text(0, 0, "x" * 60, fontsize=20), page.text(0, 0, "x", fontsize=20)
        style.fit(long, 500)
        style.fit(short, 500)
        assert 400 < long.get_window_extent().width <= 500
        assert short.get_fontsize() == 20


def test_the_look_gives_the_settings_back() -> None:
    before = dict(matplotlib.rcParams)
    with style.look():
        assert matplotlib.rcParams["pdf.fonttype"] == 42
    assert dict(matplotlib.rcParams) == before


def test_importing_the_charts_imports_no_drawing_library() -> None:
    code = (
        "import sys, analytics_platform.charts.feed_daily; "
        "print(sorted({'matplotlib', 'PIL', 'numpy', 'pandas', 'seaborn'} & set(sys.modules)))"
    )
    root = Path(__file__).parents[2]
    printed = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, check=True)
    assert printed.stdout.decode().strip() == "[]"


@pytest.mark.parametrize("colour", [style.INK, style.QUIET, style.COUNT, style.SHARE])
def test_text_colours_have_enough_contrast_on_the_paper(colour: str) -> None:
    def luminance(code: str) -> float:
        channels = [int(code[k : k + 2], 16) / 255 for k in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    assert (luminance(style.PAPER) + 0.05) / (luminance(colour) + 0.05) >= 4.5
