"""Reports for people: the hidden test's figures beside the validation split's, where there are some."""

import pytest

from kit.metric.summary import evaluation

SCORES = {
    "relationships": {"mAP": 0.25, "Recall@50": 0.5, "AP": {"on": 0.25}},
    "phrases": {"mAP": 0.375},
    "final_score": 0.3125,
    "counts": {"gt_per_predicate": {"on": 7}},
}
BOUNDS = {"low": 0.125, "high": 0.75}
BOOT = {
    "final_score": BOUNDS,
    "Recall@50": BOUNDS,
    "relationships": {"mAP": BOUNDS, "AP": {"on": BOUNDS}},
    "phrases": {"mAP": BOUNDS},
}


def result(split, **more):
    return {
        "split": split,
        "scorer": "stack",
        "scores": SCORES,
        "ground_truth_boxes": SCORES,
        "bootstrap": BOOT,
        **more,
    }


@pytest.mark.parametrize(
    ("own", "hidden", "cells"),
    [
        ({}, {"detection_mAP": 0.5}, None),
        ({"detection_mAP": 0.625}, {"detection_mAP": 0.5}, ["detection", "mAP", "0.6250", "0.5000"]),
        ({"detection_mAP": 0.625}, {}, ["detection", "mAP", "0.6250"]),
    ],
)
def test_detection_map_is_shown_where_it_is_known(own, hidden, cells):
    text = evaluation(result("val", hidden_test=result("test", **hidden), **own))
    rows = [line.split() for line in text.splitlines()]
    assert [row for row in rows if row[:1] == ["detection"]] == ([cells] if cells else [])
    assert ["final", "score", "0.3125", "0.1250", "0.7500", "0.3125", "0.3125", "0.3125"] in rows
