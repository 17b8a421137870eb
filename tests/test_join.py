import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kit.tables.join import best_truth, join_rows, true_positives


@given(st.lists(st.integers(0, 4), max_size=12), st.lists(st.integers(0, 4), max_size=12), st.integers(1, 5))
def test_pairs_are_all_equal_keys_in_order(left, right, chunk):
    got = [
        (int(a), int(b))
        for p, t in join_rows(np.array(left, np.int64), np.array(right, np.int64), chunk)
        for a, b in zip(p, t, strict=True)
    ]
    assert got == [(i, j) for i, a in enumerate(left) for j, b in enumerate(right) if a == b]


def test_best_truth_takes_the_first_maximum_and_nan_first():
    overlap = np.array([0.6, 0.6, 0.2])
    (row, value), (nan_row, nan_value) = best_truth(
        np.array([1, 2]),
        np.array([1, 1, 1]),
        [lambda p, t: overlap[t], lambda p, t: np.where(t == 2, np.nan, overlap[t])],
    )
    assert row.tolist() == [0, -1]
    assert value.tolist() == [0.6, 0]
    assert nan_row[0] == 2
    assert np.isnan(nan_value[0])


def test_the_highest_score_wins_and_of_equals_the_last_row():
    truth = np.array([0, 0, 0, 1, -1])
    overlap = np.array([0.9, 0.5, 0.5, 0.49, 0.9 * 0])
    assert true_positives(truth, overlap, np.array([0.1, 0.7, 0.7, 1, 1])).tolist() == [
        False,
        False,
        True,
        False,
        False,
    ]


def test_nothing_to_match():
    empty = np.zeros(0, np.int64)
    ((row, value),) = best_truth(empty, empty, [lambda p, t: np.zeros(len(p))])
    assert len(row) == len(value) == 0
    assert len(true_positives(row, value, value)) == 0
