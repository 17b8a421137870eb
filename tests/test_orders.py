"""Orders of rows, against Python's own stable sort."""

from itertools import groupby

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.metric.orders import PART, by_falling, by_number, in_runs, runs_reversed, same_as_before

NUMBERS = st.one_of(st.integers(0, 5), st.integers(0, 2**40), st.integers(0, 2**63 - 1))
SCORES = st.one_of(
    st.sampled_from([0.0, -0.0, 0.5, -1.0, 1.0, 1e300, -1e300, 1e-300, float("inf"), float("-inf")]),
    st.floats(allow_nan=False),
    st.integers(0, 4).map(lambda step: 0.3 + step * 1e-12),  # the same in single precision
)


@given(st.lists(NUMBERS, max_size=40))
def test_by_number_is_the_stable_order(numbers):
    expected = sorted(range(len(numbers)), key=numbers.__getitem__)
    assert by_number(np.array(numbers, np.int64)).tolist() == expected


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.uint32, np.int64])
def test_by_number_of_any_integers_and_more_rows_than_are_numbered_at_a_time(kind):
    numbers = np.random.default_rng(1).integers(0, 200, 2 * PART + 3).astype(kind)
    assert np.array_equal(by_number(numbers), np.argsort(numbers, kind="stable"))


@given(st.lists(SCORES, max_size=40))
def test_by_falling_is_the_stable_order(scores):
    expected = sorted(range(len(scores)), key=lambda row: -scores[row])
    assert by_falling(np.array(scores, np.float64)).tolist() == expected


def test_by_falling_of_many_scores_that_are_the_same_in_single_precision():
    rng = np.random.default_rng(2)
    scores = np.concatenate([rng.random(50_000), 0.25 + rng.integers(0, 50, 50_000) * 1e-13])
    rng.shuffle(scores)
    assert np.array_equal(by_falling(scores), np.argsort(-scores, kind="stable"))


ROWS = st.lists(st.tuples(st.integers(0, 2), st.sampled_from([0.5, 0.4])), max_size=30)


@given(ROWS, st.randoms(use_true_random=False))
def test_rows_that_are_the_same_as_the_one_before_and_runs_of_them(rows, random):
    order = random.sample(range(len(rows)), len(rows))
    columns = [np.array([row[i] for row in rows]) for i in (0, 1)]
    same = same_as_before(np.array(order, np.intp), *columns)
    assert same.tolist() == [i > 0 and rows[order[i]] == rows[order[i - 1]] for i in range(len(order))]
    groups = [list(group) for _, group in groupby(order, key=rows.__getitem__)]
    assert in_runs(same).tolist() == [len(group) > 1 for group in groups for _ in group]
    backwards = [row for group in groups for row in reversed(group)]
    assert runs_reversed(np.array(order, np.intp), same).tolist() == backwards


def test_rows_are_compared_over_the_borders_of_what_is_compared_at_a_time():
    column = np.arange(2 * PART + 2) // 2
    same = same_as_before(np.arange(len(column)), column)
    assert np.array_equal(same, np.arange(len(column)) % 2 == 1)


def test_nothing_has_no_order_and_no_run():
    none, order = np.zeros(0), np.zeros(0, np.intp)
    assert by_number(order).tolist() == by_falling(none).tolist() == []
    same = same_as_before(order, none)
    assert same.tolist() == in_runs(same).tolist() == runs_reversed(order, same).tolist() == []
