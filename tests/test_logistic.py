import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.relation.logistic import fit_logistic, margin


def loss(x, label, weights, toward, pull):
    p = 1 / (1 + np.exp(-margin(x, weights)))
    chosen = np.where(label, p, 1 - p)
    return -np.log(np.maximum(chosen, 1e-300)).sum() + pull / 2 * ((weights - toward) ** 2).sum()


@settings(deadline=None)
@given(st.integers(0, 1000), st.floats(0.1, 10))
def test_no_other_coefficients_near_by_are_better(seed, pull):
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 2, (60, 2))
    label = rng.random(60) < 1 / (1 + np.exp(-(x[:, 0] - 0.5)))
    toward = np.array([0.5, 0.5, 0.0])
    best = fit_logistic(x, label, toward, pull)
    value = loss(x, label, best, toward, pull)
    for _ in range(20):
        assert loss(x, label, best + rng.normal(0, 0.05, 3), toward, pull) >= value - 1e-9


@pytest.mark.parametrize("seed", range(5))
def test_the_coefficients_are_right_to_the_last_digits(seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(-3, 2, (500, 2))
    label = rng.random(500) < 1 / (1 + np.exp(-(x[:, 0] + 2)))
    toward = np.array([0.5, 0.5, 0.0])
    best = fit_logistic(x, label, toward)
    rows = np.column_stack([x, np.ones(500)]).astype(np.longdouble)
    slope = rows.T @ (1 / (1 + np.exp(-(rows @ best))) - label) + best - toward
    assert np.abs(slope).max() < 1e-10


def test_separable_labels_and_huge_columns_have_an_end():
    x = np.array([[-1e3], [-1e3], [1e3], [1e3]])
    weights = fit_logistic(x, np.array([False, False, True, True]), np.array([1.0, 0.0]))
    assert np.isfinite(weights).all()
    assert margin(x, weights)[2] > margin(x, weights)[0]


def test_without_rows_the_coefficients_stay():
    assert fit_logistic(np.zeros((0, 2)), np.zeros(0, bool), np.array([0.3, 0.7, 0.1])).tolist() == [
        0.3,
        0.7,
        0.1,
    ]


def test_what_the_data_say_when_there_is_much():
    rng = np.random.default_rng(0)
    x = rng.normal(0, 1, (50_000, 1))
    label = rng.random(50_000) < 1 / (1 + np.exp(-(2 * x[:, 0] - 1)))
    assert np.allclose(fit_logistic(x, label, np.array([1.0, 0.0])), [2, -1], atol=0.05)
