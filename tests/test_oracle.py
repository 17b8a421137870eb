import numpy as np
import pytest

from kit.metric.matching import match_predictions
from kit.metric.oracle import found_first
from kit.metric.relations import evaluate, score
from tests.builders import A, B, C, predictions, relations

TRUTH = relations([("a", 1, 2, 0, A, B), ("b", 1, 2, 0, A, B), ("c", 1, 2, 1, A, B)])
FOUND = predictions([("a", 1, 2, 0, A, B), ("a", 1, 2, 0, A, C), ("b", 1, 2, 0, A, B)], [0.9, 0.8, 0.1])


def gained(*rows):
    matches = match_predictions(TRUTH, FOUND)
    mask = np.isin(np.arange(len(TRUTH)), rows)
    return score(found_first(matches, TRUTH, FOUND, mask))


def test_a_relation_nobody_predicted():
    assert gained(2).relationships["AP"] == {"at": pytest.approx((1 + 2 / 3) / 2), "on": 1.0}
    assert gained(2).relationships["Recall@50"] == 1.0


def test_one_that_is_found_late_is_found_first_and_only_once():
    assert gained(1).relationships["AP"] == {"at": 1.0, "on": 0.0}
    assert gained(1).relationships["Recall@50"] == pytest.approx(2 / 3)


def test_all_and_none():
    assert gained(0, 1, 2).final_score == pytest.approx(1.0)
    assert gained().as_dict() == evaluate(TRUTH, FOUND).as_dict()
