import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.metric.precision import average_precision, mean
from tests import reference


def test_hand_computed():
    # recall 1/3 at precision 1, 2/3 at 2/3, never 1
    assert average_precision(np.array([True, False, True]), 3) == pytest.approx(1 / 3 + 1 / 3 * 2 / 3)


def test_no_truth_no_prediction_no_hit():
    assert math.isnan(average_precision(np.array([True]), 0))
    assert average_precision(np.zeros(0, bool), 2) == 0
    assert average_precision(np.array([False, False]), 2) == 0


def test_mean_of_nothing_is_nan():
    assert math.isnan(mean([]))
    assert mean([0.5, 1.0]) == 0.75


@given(st.lists(st.booleans(), max_size=40), st.integers(0, 5))
def test_equals_the_plain_loop(hits, more):
    truths = sum(hits) + more
    if truths:
        plain = reference.average_precision(hits, truths)
        assert average_precision(np.array(hits, bool), truths) == pytest.approx(plain)
