"""The fitted form on simulated opinions: used where it beats the default and only there, and why in one line."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from analytics_platform.detectors.base import PER_DAY, PER_WEEK, STEP, Block, Bools, Sign, Verdicts
from analytics_platform.detectors.corridor import make_for
from analytics_platform.detectors.fitted import (
    EVERY,
    FEATURES,
    NEAR,
    Example,
    FittedModel,
    NotEnough,
    explain_line,
    feature_table,
    probability,
    rescored,
)
from analytics_platform.detectors.fitted_training import LABELS, back_test, train

START = datetime(2026, 3, 2, tzinfo=UTC)
NOW = datetime(2026, 9, 1, tzinfo=UTC)
AT = FEATURES.index


def opinions(metric: str, count: int, seed: int, *, telling: bool) -> list[Example]:
    """What people said over half a year of a metric's findings, a few of them near misses.

    `telling`: real incidents move other series too and last, and false alarms come at night and alone. Otherwise an
    opinion has nothing to do with anything.
    """
    rng = np.random.default_rng(seed)
    said = []
    for number in range(count):
        real = bool(rng.random() < 0.5)
        signal = real if telling else bool(rng.random() < 0.5)
        row = rng.normal(0, 0.5, len(FEATURES))
        score = float(np.exp(rng.normal(0.5, 0.4))) * (0.9 if telling and not real else 1)
        row[AT("score")] = np.log2(1 + score)
        row[AT("together")] = np.clip(rng.normal(0.6 if signal else 0.1, 0.2), 0, 1)
        row[AT("lasted")] = np.log2(1 + rng.integers(1, 6 if signal else 3))
        row[AT("night")] = np.clip(rng.normal(-0.3 if signal else 0.6, 0.4), -1, 1)
        row[AT("last_week")] = np.nan if number < 10 else row[AT("last_week")]
        row[AT("zero")] = 0
        bucket = START + timedelta(hours=4 * 180 * 6 * number / count)
        said.append(Example(f"feed {metric}", metric, bucket, tuple(row.tolist()), score, real))
    return said


def trained(examples: list[Example]) -> FittedModel:
    model = train(examples, NOW)
    assert isinstance(model, FittedModel)
    return model


def test_it_is_used_for_a_metric_where_it_beats_the_default_and_not_where_it_does_not() -> None:
    model = trained(opinions("likes", 120, 1, telling=True) + opinions("views", 120, 2, telling=False))
    tests = {test.metric: test for test in model.back_test}
    assert list(tests) == [EVERY, "likes", "views"]
    assert tests["likes"].labels + tests["views"].labels == tests[EVERY].labels == 120
    assert model.used_for("likes")
    assert not model.used_for("views")
    assert not model.used_for("ctr")
    assert (tests["likes"].fitted.f1 or 0) > (tests["likes"].default.f1 or 0) + 0.1
    assert (tests["likes"].fitted.precision or 0) > (tests["likes"].default.precision or 0)
    assert str(tests["likes"]).startswith("likes: used, F1 0.")
    assert str(tests["views"]).startswith("views: not used, F1 0.")
    assert str(tests[EVERY]).startswith("all metrics: ")


@pytest.mark.parametrize("seed", range(12))
def test_opinions_that_follow_nothing_teach_nothing(seed: int) -> None:
    model = trained(opinions("views", 100, 100 + seed, telling=False))
    assert not model.used_for("views")


@pytest.mark.parametrize("seed", range(6))
def test_telling_opinions_teach_whatever_the_seed(seed: int) -> None:
    assert trained(opinions("likes", 120, 200 + seed, telling=True)).used_for("likes")


def test_a_metric_with_few_labels_keeps_the_default() -> None:
    model = trained(opinions("likes", 120, 1, telling=True) + opinions("ctr", 12, 3, telling=True))
    assert model.used_for("likes")
    assert not model.used_for("ctr")


def test_too_few_labels_or_labels_of_one_kind_make_no_model() -> None:
    few = opinions("likes", LABELS - 1, 1, telling=True)
    assert train(few, NOW) == NotEnough("19 labels so far: the fitted form needs 20, so the default stays")
    agreed = [replace(example, real=True) for example in opinions("likes", 40, 1, telling=True)]
    assert train(agreed, NOW) == NotEnough(
        "of 40 labels 40 say real: the fitted form needs 5 of either kind, so the default stays"
    )
    assert isinstance(train([], NOW), NotEnough)


def test_the_same_labels_make_the_same_model_in_whatever_order() -> None:
    examples = opinions("likes", 60, 7, telling=True)
    shuffled = [examples[place] for place in np.random.default_rng(1).permutation(len(examples))]
    first, second = trained(examples), trained(shuffled)
    assert first == second
    assert first.version.startswith("2026-09-01T00:00-")
    assert trained(examples[:-5]).version != first.version


def test_the_back_test_learns_from_older_labels_only() -> None:
    examples = [
        replace(e, metric="late" if n >= 90 else "early") for n, e in enumerate(opinions("", 120, 1, telling=True))
    ]
    turned = [replace(e, real=not e.real) if e.metric == "late" else e for e in examples]
    honest, spoiled = ({test.metric: test for test in back_test(said)} for said in (examples, turned))
    assert honest["early"] == spoiled["early"]
    assert honest["late"] != spoiled["late"]
    # Incidents within a day of what is tested are not learned from: all on one day leave only the default.
    at_once = [replace(e, bucket=START + timedelta(minutes=n)) for n, e in enumerate(examples)]
    alone = back_test(at_once)[0]
    assert (alone.mended, alone.broken, alone.used) == (0, 0, False)
    assert alone.default == alone.fitted


def test_a_model_survives_being_stored() -> None:
    model = trained(opinions("likes", 80, 1, telling=True))
    text = model.to_json()
    assert FittedModel.from_json(text) == model
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def test_a_stored_model_that_is_none_is_refused_in_one_sentence() -> None:
    said = json.loads(trained(opinions("likes", 80, 1, telling=True)).to_json())
    for broken in (
        "",
        "[]",
        "{}",
        json.dumps(said | {"trained_at": "yesterday"}),
        json.dumps(said | {"weights": ["x"]}),
    ):
        with pytest.raises(ValueError, match=r"this is no fitted model .* train one again"):
            FittedModel.from_json(broken)
    for other in ({"features": said["features"][1:]}, {"weights": said["weights"][1:]}):
        with pytest.raises(ValueError, match="was trained on other features: train it again"):
            FittedModel.from_json(json.dumps(said | other))


def test_examples_have_the_features_there_are() -> None:
    examples = opinions("likes", 40, 1, telling=True)
    examples[3] = replace(examples[3], features=(1.0,))
    with pytest.raises(ValueError, match="example of feed likes has 1 features and not 12"):
        train(examples, NOW)


def by_hand(**weights: float) -> FittedModel:
    """A model of the given weights over features as they are."""
    return FittedModel(
        version="by hand",
        trained_at=NOW,
        features=FEATURES,
        weights=tuple(weights.get(name, 0.0) for name in FEATURES),
        bias=-1.0,
        means=(0.0,) * len(FEATURES),
        scales=(1.0,) * len(FEATURES),
        threshold=0.5,
        labels_used=40,
        back_test=tuple(
            replace(test, metric="likes", used=True) for test in back_test(opinions("likes", 80, 1, telling=True))[:1]
        ),
    )


def test_it_explains_itself_in_one_line() -> None:
    model = by_hand(score=1.0, together=2.0, night=-2.0, lasted=0.01)
    row = np.zeros(len(FEATURES))
    row[AT("score")], row[AT("together")] = np.log2(5.1), 0.4
    row[AT("night")], row[AT("morning")] = np.cos(np.pi), np.sin(np.pi)
    assert explain_line(model, row) == (
        "likely real: 4.1 times its threshold (+2.4), at 16:00 (+2.0), 40% of the other series with it (+0.8)"
    )
    row[AT("score")], row[AT("together")], row[AT("night")] = 1, 0, 1
    assert explain_line(model, row) == ("likely a false alarm: at 04:00 (-2.0), 1.0 times its threshold (+1.0)")
    assert explain_line(by_hand(), row) == "likely a false alarm: nothing special about it"
    row[AT("last_week")] = np.nan
    assert explain_line(by_hand(last_week=3.0), row) == "likely a false alarm: nothing special about it"


def scene() -> tuple[Block, Verdicts]:
    """Eight days of three series; in the last hour the first falls to a half, and the second with it in the end."""
    n = PER_WEEK + PER_DAY
    values = np.full((3, n), 100.0)
    values[2] = 0.2
    values[0, -4:] = 50
    values[1, -1] = 0
    block = Block.plain(int(START.timestamp()) + STEP * np.arange(n), values)
    base = block.base.copy()
    base[2] = 9_999
    block = replace(block, ratio=np.array([False, False, True]), base=base)
    verdicts = Verdicts.unknown(3, PER_DAY)
    verdicts.score[:] = 0.1
    verdicts.expected[:] = values[:, :1]
    verdicts.score[0, -4:] = 3.0
    verdicts.score[1, -1], verdicts.sign[1, -1] = 7.0, Sign.ZERO
    return block, verdicts


def test_features_by_hand() -> None:
    block, verdicts = scene()
    table = feature_table(block, verdicts, PER_WEEK)
    assert table.shape == (3, PER_DAY, len(FEATURES))
    half = np.log(0.5)
    begun, last = dict(zip(FEATURES, table[0, -4], strict=True)), dict(zip(FEATURES, table[0, -1], strict=True))
    assert begun["score"] == last["score"] == 2
    assert begun["expected"] == begun["previous"] == begun["yesterday"] == begun["last_week"] == pytest.approx(-half)
    assert last["expected"] == last["yesterday"] == last["last_week"] == pytest.approx(-half)
    assert (last["previous"], last["fall"], last["zero"]) == (0, 1, 0)
    assert (begun["lasted"], last["lasted"]) == (1, pytest.approx(np.log2(5)))
    assert (begun["together"], last["together"]) == (0, 0.5)
    assert last["size"] == pytest.approx(np.log10(101))
    assert begun["night"] == pytest.approx(np.cos(2 * np.pi * 19 / 24))  # 23:00 is 19 hours after 04:00
    gone = dict(zip(FEATURES, table[1, -1], strict=True))
    assert (gone["zero"], gone["fall"], gone["expected"]) == (1, 1, 3)  # twentyfold and beyond
    assert table[2, -1, AT("size")] == pytest.approx(4)
    assert table[2, -1, AT("fall")] == 0


def test_what_is_not_known_yet_says_nothing() -> None:
    block, verdicts = scene()
    week = block.columns(PER_DAY, block.buckets)
    row = feature_table(week, verdicts, PER_WEEK - PER_DAY)[0, -1]
    assert np.isnan(row[AT("last_week")])
    model = by_hand(last_week=5.0)
    assert probability(model, row) == pytest.approx(1 / (1 + np.e))


def test_it_judges_only_what_the_default_found_and_metrics_it_is_used_for() -> None:
    block, verdicts = scene()
    verdicts.score[0, -8:-4] = 0.7  # near
    model = by_hand(fall=-3.0)
    said = rescored(model, ["likes", "views", "likes"], block, verdicts, PER_WEEK)
    np.testing.assert_allclose(said.score[0, -4:], np.exp(-4.0))  # silenced
    np.testing.assert_allclose(said.score[0, -8:-4], np.exp(-1.0))
    np.testing.assert_array_equal(said.score[1:], verdicts.score[1:])
    np.testing.assert_array_equal(said.score[0, :-8], verdicts.score[0, :-8])
    lifted = rescored(by_hand(score=3.0), ["likes", "views", "ctr"], block, verdicts, PER_WEEK)
    assert (lifted.score[0, -8:-4] > 1).all()
    assert lifted.score.max() == pytest.approx(10)
    assert lifted.low is verdicts.low
    assert verdicts.score[0, -1] == 3  # the default's own verdicts are as they were


def lived(seed: int, days: int = 40) -> tuple[Block, Bools]:
    """Four series of views: incidents of an hour in all of them, which are real, and glitches of one bucket in one.

    Returns which buckets are of an incident, too.
    """
    rng = np.random.default_rng(seed)
    n = days * PER_DAY
    curve = 1.3 - np.cos(2 * np.pi * (np.arange(n) - 16) / PER_DAY)
    values = 400 * curve * np.exp(rng.normal(0, 0.03, (4, n)))
    real = np.zeros((4, n), bool)
    for day in range(2, days):
        begin = day * PER_DAY + int(rng.integers(8, 40))
        values[rng.integers(4), begin] *= 2.4
        if day % 2:
            begin = day * PER_DAY + int(rng.integers(50, 90))
            values[:, begin : begin + 4] *= rng.uniform(1.6, 2.2)
            real[:, begin : begin + 4] = True
    return Block.plain(int(START.timestamp()) + STEP * np.arange(n), values), real


def test_it_learns_from_what_a_detector_found_and_serves_it_on_days_to_come() -> None:
    metrics = ["views"] * 4
    block, real = lived(1)
    verdicts = make_for(metrics).judge(block)
    table = feature_table(block, verdicts)
    found = np.argwhere(np.nan_to_num(verdicts.score) >= NEAR)
    model = trained(
        [
            Example(
                series=f"feed views {row}",
                metric="views",
                bucket=datetime.fromtimestamp(int(block.times[column]), UTC),
                features=tuple(table[row, column].tolist()),
                score=float(verdicts.score[row, column]),
                real=bool(real[row, column]),
            )
            for row, column in found
        ]
    )
    assert model.used_for("views")
    later, truth = lived(2)
    default = make_for(metrics).judge(later)
    fitted = rescored(model, metrics, later, default)
    before, after = np.nan_to_num(default.score) >= 1, np.nan_to_num(fitted.score) >= 1
    assert (after & ~truth).sum() < 0.3 * (before & ~truth).sum()
    assert (after & truth).sum() > 0.9 * (before & truth).sum()
    assert explain_line(model, table[tuple(found[0])]).startswith("likely ")
