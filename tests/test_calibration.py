import numpy as np
import pytest

from kit.config import SCORERS
from kit.relation.calibration import ScoreCalibrator, choose_exponents, fit_platt_scaling, log_odds
from kit.relation.scored import scored_candidates_table
from kit.vocabulary import IS, PREDICATES


def scored(rows):
    """Rows of (predicate, subject score, object score, p)."""
    predicate, one, two, p = (np.array(column) for column in zip(*rows, strict=True))
    n = len(rows)
    box = np.tile(np.array([[0, 0, 1, 1]], np.float32), (n, 1))
    return scored_candidates_table()(
        images=("a",), image=np.zeros(n), subject=np.zeros(n), object=np.ones(n), predicate=predicate,
        subject_box=box, object_box=box, subject_score=one, object_score=two, **dict.fromkeys(SCORERS.names, p),
    )  # fmt: skip


def test_the_score_by_hand():
    pairs = scored([(0, 0.5, 0.5, 0.8), (IS, 0.25, 1.0, 0.6)])
    assert np.allclose(ScoreCalibrator(1.0, 0.5).score(pairs, "stack"), [0.8 * 0.25, 0.6 * 0.5])
    assert np.allclose(ScoreCalibrator(0.0, 0.0).score(pairs, "stack"), [0.8, 0.6])
    line = np.tile([1.0, 0.0], (len(PREDICATES), 1))
    assert np.allclose(ScoreCalibrator(1.0, 0.5, line).score(pairs, "stack"), [0.2, 0.3])
    found = ScoreCalibrator().predictions(pairs, "prior")
    assert found.score.dtype == np.float64
    assert found.predicate.tolist() == [0, IS]


def test_calibration_keeps_the_order_within_a_predicate():
    rng = np.random.default_rng(0)
    score = np.concatenate([rng.random(500), rng.random(500) * 1e-6, [0.0]])
    predicate = np.repeat([0, 1, 2], [500, 500, 1])
    hit = rng.random(1001) < np.where(predicate == 0, score, score * 5e5)
    line = fit_platt_scaling(score, predicate, hit)
    assert (line[:, 0] > 0).all()
    for p in (0, 1):
        own = score[predicate == p]
        shown = line[p, 0] * log_odds(own) + line[p, 1]
        order = np.argsort(own)
        assert (np.diff(shown[order]) >= 0).all()
    shown = 1 / (1 + np.exp(-(line[predicate, 0] * log_odds(score) + line[predicate, 1])))
    for p in (0, 1):  # both scales say now how likely a row is true
        assert shown[predicate == p].mean() == pytest.approx(hit[predicate == p].mean(), abs=0.03)


def test_a_line_rises_by_a_thousandth_at_the_least():
    """Where the sure rows are the wrong ones the fitted slope would fall, and turn the order round."""
    score = np.linspace(0.01, 0.99, 200)
    predicate = np.repeat([0, 1], 100)
    line = fit_platt_scaling(score, predicate, score < np.where(predicate == 0, 0.2, 0.7))
    assert line[:, 0].tolist() == [0.001] * 10


def test_without_choice_or_calibration_the_score_is_the_product():
    pairs = scored([(0, 0.5, 0.25, 0.8), (IS, 0.25, 0.5, 0.6)])
    assert np.allclose(ScoreCalibrator().score(pairs, "stack"), [0.8 * 0.125, 0.6 * 0.125])


def test_a_predicate_without_truth_has_the_common_line():
    line = fit_platt_scaling(np.array([0.9, 0.1, 0.5]), np.array([0, 0, 1]), np.array([True, False, False]))
    assert np.array_equal(line[1], line[5])
    assert fit_platt_scaling(np.zeros(0), np.zeros(0, int), np.zeros(0, bool)).tolist() == [[1.0, 0.0]] * 10


def test_each_exponent_is_chosen_by_its_own_part():
    confidence, tries = choose_exponents([0.5, 1.0, 2.0], lambda c, is_: -abs(c.exponent - (2 if is_ else 1)))
    assert (confidence.exponent, confidence.is_exponent) == (1.0, 2.0)
    assert len(tries) == 3
    confidence, _ = choose_exponents([0.5, 1.0], lambda c, is_: float("nan") if is_ else c.exponent)
    assert (confidence.exponent, confidence.is_exponent) == (1.0, 0.5)


def test_back_from_its_dictionary():
    one = ScoreCalibrator(0.5, 0.25, np.ones((10, 2)))
    two = ScoreCalibrator.of_dict(one.as_dict())
    assert (two.exponent, two.is_exponent) == (0.5, 0.25)
    assert np.array_equal(two.slope_intercept, one.slope_intercept)
