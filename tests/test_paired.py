import numpy as np
import pytest

from kit.metric.matching import match_predictions
from kit.metric.paired import FEWEST, PARTS, Difference, compare, resampled
from kit.metric.relations import evaluate
from kit.tables.schema import Predictions, Relations
from tests.builders import random_predictions
from tests.test_resample import times

IMAGES = tuple("abcdef")


def a_case(seed=0):
    """A truth, and two sets of predictions of which the second has lost rows."""
    rng = np.random.default_rng(seed)
    table = random_predictions(300, rng, IMAGES)
    columns = {name: getattr(table, name) for name in ("image", *Relations.COLUMNS)}
    truth = Relations(IMAGES, **columns).take(rng.random(300) < 0.3)
    return truth, table, table.take(rng.random(300) < 0.6)


def drawn(truth, table, seed=0, resamples=40):
    return resampled(match_predictions(truth, table), resamples=resamples, seed=seed)


def test_every_difference_is_that_of_a_plain_loop_over_drawn_images():
    """Images written out as often as they are drawn, scored by the official metric."""
    truth, better, worse = a_case()
    rng, finals, aps = np.random.default_rng(3), [], []
    for _ in range(40):
        counts = np.bincount(rng.choice(np.arange(len(IMAGES)), len(IMAGES)), minlength=len(IMAGES))
        first, second = (evaluate(times(truth, counts), times(t, counts)) for t in (better, worse))
        finals.append(second.final_score - first.final_score)
        aps.append(second.relationships["AP"].get("at", np.nan) - first.relationships["AP"].get("at", np.nan))
    rows = {d.name: d for d in compare(drawn(truth, better, 3), drawn(truth, worse, 3))}
    for name, values in (("final score", finals), ("AP at", aps)):
        assert (rows[name].low, rows[name].high) == pytest.approx(np.nanquantile(values, [0.025, 0.975]))
    direct = evaluate(truth, worse)
    assert rows["final score"].after == pytest.approx(direct.final_score)
    assert rows["mAP phrases"].after == pytest.approx(direct.phrases["mAP"])
    assert rows["Recall@50"].after == pytest.approx(direct.relationships["Recall@50"])
    assert [d.name for d in rows.values()][:4] == list(PARTS)


@pytest.mark.parametrize("seed", range(3))
def test_the_other_way_round_it_is_the_negative(seed):
    truth, one, other = a_case(seed)
    there, back = (
        compare(drawn(truth, one), drawn(truth, other)),
        compare(drawn(truth, other), drawn(truth, one)),
    )
    for a, b in zip(there, back, strict=True):
        assert (a.difference, a.low, a.high) == pytest.approx((-b.difference, -b.high, -b.low), nan_ok=True)


def test_what_is_the_same_is_within_the_noise():
    truth, table, _ = a_case()
    for row in compare(drawn(truth, table), drawn(truth, table)):
        assert (row.difference, row.low, row.high) == (0, 0, 0)
        assert row.verdict in ("within the noise", "too few images")


@pytest.mark.parametrize(
    ("images", "low", "high", "verdict"),
    [
        (FEWEST, 0.01, 0.2, "better"),
        (FEWEST, -0.2, -0.01, "worse"),
        (FEWEST, -0.1, 0.1, "within the noise"),
        (FEWEST, 0.0, 0.1, "within the noise"),
        (FEWEST, float("nan"), float("nan"), "within the noise"),
        (FEWEST - 1, 0.01, 0.2, "too few images"),
    ],
)
def test_verdicts(images, low, high, verdict):
    assert Difference("AP at", images, 0.1, 0.2, low, high).verdict == verdict


def test_images_without_a_truth_are_not_drawn():
    """Predictions of images that the truth does not name change nothing."""
    truth, table, _ = a_case()
    columns = {name: getattr(table, name) for name in ("image", *Predictions.COLUMNS)}
    elsewhere = Predictions(tuple(f"other-{name}" for name in IMAGES), **columns)
    found = compare(drawn(truth, table), drawn(truth, Predictions.concat([elsewhere, table])))
    assert all(row.difference == row.low == row.high == 0 for row in found)


def test_different_truths_are_refused():
    truth, table, _ = a_case()
    with pytest.raises(ValueError, match="different truths"):
        compare(drawn(truth, table), drawn(truth.take(truth.image > 0), table))
