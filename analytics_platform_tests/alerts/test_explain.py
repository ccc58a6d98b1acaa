"""What is named for planted incidents, and how it is said.

Belongs here: simulated leaf counts (`benchmarks/explain.py`). Does not: events and statements (`test_leaves.py`).
"""

import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from analytics_platform.alerts.explain import Options, explain_cube
from analytics_platform.alerts.explain_cube import Cube
from analytics_platform.alerts.explanation import Explanation, Part, Slice, Verdict, sentences, slice_name
from analytics_platform.alerts.findings import Direction
from analytics_platform.language import Language
from benchmarks import explain as bench
from benchmarks.explain import Judged, Kind

ENGLISH, RUSSIAN = Language("en"), Language("ru")


@pytest.fixture(scope="module")
def judged() -> Sequence[Judged]:
    return tuple(bench.judge(200, seed=7))


@pytest.mark.parametrize("kind", list(Kind))
def test_the_right_answer_is_named_first_in_nine_of_ten(judged: Sequence[Judged], kind: Kind) -> None:
    own = [j for j in judged if j.incident.kind is kind]
    assert len(own) == 50
    assert sum(j.partly for j in own) >= 0.9 * len(own)


def test_all_in_all_nine_of_ten_explanations_are_right_to_the_last_slice(judged: Sequence[Judged]) -> None:
    assert sum(j.right for j in judged) >= 0.9 * len(judged)


def test_a_broad_move_is_hardly_ever_blamed_on_a_slice(judged: Sequence[Judged]) -> None:
    broad = [j for j in judged if j.incident.kind is Kind.BROAD]
    assert sum(j.blamed for j in broad) <= 0.05 * len(broad)


def test_explanations_survive_json(judged: Sequence[Judged]) -> None:
    for j in judged:
        kept = json.loads(json.dumps(j.explanation.to_json(), allow_nan=False))
        assert Explanation.from_json(kept) == j.explanation


def test_every_explanation_has_sentences_in_every_language(judged: Sequence[Judged]) -> None:
    for j in judged:
        for language in (ENGLISH, RUSSIAN):
            said = sentences(j.explanation, language)
            assert 1 <= len(said) <= 3
            assert all(line and "{" not in line for line in said)


def test_the_lines_of_a_dimension_add_up_to_the_whole(judged: Sequence[Judged]) -> None:
    for j in judged:
        if j.incident.ratio:
            continue
        lines = [line for line in j.explanation.lines if line.dimension == "os"]
        assert sum(line.value for line in lines) == j.explanation.value
        assert sum(line.share for line in lines) == pytest.approx(1, abs=0.05)


def _usual() -> Cube:
    """Seventeen usual windows of 20,000 events."""
    rng = np.random.default_rng(5)
    means = np.concatenate([20_000 * bench.SHARES] * bench.WINDOWS)
    window = np.repeat(np.arange(bench.WINDOWS), bench.SHARES.size)
    codes = np.concatenate([bench.CODES] * bench.WINDOWS)
    return Cube(bench.DIMENSIONS, bench.VALUES, bench.WINDOWS, window, codes, rng.poisson(means).astype(float), None)


def test_an_outage_of_everything_is_broad() -> None:
    cube = _usual()
    gone = cube.rows(cube.window > 0)
    found = explain_cube(gone, Direction.DOWN, Options())
    assert (found.verdict, found.value) == (Verdict.BROAD, 0)
    assert sentences(found, ENGLISH) == ("No slice stands out: the change is broad.",)


def test_without_a_past_or_without_events_nothing_is_said() -> None:
    cube = _usual()
    young = cube.rows(cube.window <= 4)
    few = explain_cube(replace(young, windows=5), Direction.DOWN, Options())
    small = explain_cube(cube, Direction.DOWN, Options(events=1e9))
    nothing = explain_cube(replace(cube.rows(cube.window < 0), windows=1), Direction.DOWN, Options())
    assert {few.verdict, small.verdict, nothing.verdict} == {Verdict.NOT_ENOUGH}
    assert sentences(nothing, ENGLISH) == ("Too little happened to tell which slices carry it.",)


def _scaled(cube: Cube, factor: float, **slice_: str) -> Cube:
    inside = cube.window == 0
    for dimension, value in slice_.items():
        place = cube.dimensions.index(dimension)
        inside &= cube.codes[:, place] == cube.values[place].index(value)
    return replace(cube, numerator=np.where(inside, np.round(cube.numerator * factor), cube.numerator))


def _named(found: Explanation) -> list[tuple[tuple[str, tuple[str, ...]], ...]]:
    return [tuple((p.dimension, p.values) for p in s.parts) for s in found.slices]


def test_a_country_is_named_when_all_its_cities_move_alike_and_a_city_when_it_moves_alone() -> None:
    usual = _usual()
    for slice_ in ({"country": "Ukraine"}, {"city": "Kyiv"}, {"country": "Russia"}, {"city": "Moscow"}):
        found = explain_cube(_scaled(usual, 0.3, **slice_), Direction.DOWN, Options(expected=20_000))
        ((dimension, value),) = slice_.items()
        assert _named(found) == [((dimension, (value,)),)], slice_


def test_a_usual_window_has_nothing_that_stands_out() -> None:
    assert explain_cube(_usual(), Direction.DOWN, Options()).verdict is Verdict.BROAD


def test_several_cities_are_told_as_one_slice() -> None:
    dark = _scaled(_scaled(_usual(), 0.0, city="Moscow"), 0.0, city="Saint Petersburg")
    found = explain_cube(dark, Direction.DOWN, Options(expected=20_000))
    assert found.verdict is Verdict.SLICE
    assert _named(found) == [(("city", ("Moscow", "Saint Petersburg")),)]
    assert found.rest_usual
    (first, rest) = sentences(found, ENGLISH)
    assert first.endswith("of the fall is city: Moscow, Saint Petersburg: 0 instead of 5,455.") or first.startswith(
        "All of the fall is city: Moscow, Saint Petersburg: 0 instead of "
    )
    assert rest == "All else is as usual."


def test_what_is_new_can_be_named() -> None:
    """A source that was never there before has no usual share."""
    usual = _usual()
    place = usual.dimensions.index("source")
    values = (*usual.values[:place], (*usual.values[place], "bot"), *usual.values[place + 1 :])
    extra = np.flatnonzero((usual.window == 0) & (usual.numerator > 0))
    codes = usual.codes[extra].copy()
    codes[:, place] = 2
    cube = replace(
        usual,
        values=values,
        window=np.concatenate((usual.window, usual.window[extra])),
        codes=np.concatenate((usual.codes, codes)),
        numerator=np.concatenate((usual.numerator, usual.numerator[extra])),
    )
    found = explain_cube(cube, Direction.UP, Options(expected=20_000))
    assert _named(found) == [(("source", ("bot",)),)]


def test_a_slice_of_a_ratio_with_too_small_a_base_is_never_named() -> None:
    usual = _usual()
    likes = np.round(usual.numerator * 0.2)
    ratio = _scaled(replace(usual, numerator=likes, denominator=usual.numerator), 0.0, os="iOS")
    found = explain_cube(ratio, Direction.DOWN, Options())
    assert _named(found) == [(("os", ("iOS",)),)]
    assert explain_cube(ratio, Direction.DOWN, Options(base=1e6)).verdict is Verdict.BROAD


def test_a_mix_says_what_there_is_more_of() -> None:
    slice_ = Slice((Part("source", ("ads",)),), 0.74, 0.6, 1.0, 9.0)
    found = Explanation(Verdict.MIX, Direction.DOWN, True, 0.18, 0.2, (slice_,), mix=-0.02, rate=0.0, lower=True)
    assert sentences(found, ENGLISH) == (
        "More of the base is source: ads (74% instead of 60%), where the ratio is always lower.",
        "All of the change is such a mix; within slices the ratio is as usual.",
    )
    lost = replace(found, slices=(replace(slice_, value=0.4),), lower=False, rate=-0.01)
    assert sentences(lost, ENGLISH) == (
        "Less of the base is source: ads (40% instead of 60%), where the ratio is always higher.",
        "67% of the change is such a mix.",
    )


def test_two_slices_and_a_rest_that_moved_read_well() -> None:
    pair = (Part("os", ("iOS",)), Part("age_group", ("20-29",)))
    slices = (Slice(pair, 100, 840, 0.7, 9), Slice((Part("gender", ("unknown",)),), 10, 140, 0.12, 5))
    found = Explanation(Verdict.SLICES, Direction.DOWN, False, 5000, 6060, slices, 4890, 5080, False)
    assert sentences(found, ENGLISH) == (
        "70% of the fall is OS: iOS and age: 20-29: 100 instead of 840.",
        "12% of the fall is gender: unknown: 10 instead of 140.",
        "All else: 4,890 instead of 5,080.",
    )
    assert slice_name(pair, RUSSIAN) == "ОС: iOS и возраст: 20-29"


def test_the_benchmark_prints_a_table_by_kind(capsys: pytest.CaptureFixture[str]) -> None:
    bench.main(["--incidents", "4", "--seed", "7", "--wrong", "1"])
    table = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[0].strip("| ") for line in table[2:7]] == [*map(str, Kind), "all"]
