"""Pairs on which two models disagree."""

import numpy as np
import pytest

from kit.base.errors import KitError
from kit.relation.scored import scored_candidates_table
from kit.report.disagreement import disagreement_panel, disagreements
from kit.vocabulary import IS, PREDICATES
from tests.builders import NAME, A, B, relations

MAN, GUITAR, WOODEN = NAME["Man"], NAME["Guitar"], NAME["Wooden"]
PLAYS, HOLDS = PREDICATES.index("plays"), PREDICATES.index("holds")
ROWS = [
    ("a", MAN, GUITAR, PLAYS, A, B),
    ("a", MAN, GUITAR, HOLDS, A, B),
    ("b", MAN, GUITAR, HOLDS, A, B),
    ("b", GUITAR, WOODEN, IS, A, A),
    ("c", MAN, GUITAR, HOLDS, A, B),
]


def candidates(spatial, visual, sure=1.0):
    rows = relations(ROWS)
    columns = {name: getattr(rows, name) for name in ("image", *type(rows).COLUMNS)}
    ones = np.ones(len(rows), np.float32)
    sure = np.broadcast_to(np.float32(sure), len(rows))
    return scored_candidates_table(["spatial", "visual"])(
        images=rows.images,
        **columns,
        subject_score=sure,
        object_score=ones,
        spatial=np.float32(spatial),
        visual=np.float32(visual),
    )


def test_the_farthest_of_each_image_the_farthest_first():
    table = candidates([0.1, 0.9, 0.2, 0, 0.5], [0.2, 0.1, 0.4, 1, 0.5])
    found = disagreements(table, None, None, 2)
    assert [(one.image_id, one.row, one.correct) for one in found] == [("a", 1, None), ("b", 2, None)]
    assert (found[0].spatial, found[0].visual) == pytest.approx((0.9, 0.1))


def test_pairs_are_judged_and_those_that_do_not_count_are_left_out():
    table = candidates([0.1, 0.9, 0.2, 0, 0.5], [0.3, 0.1, 0.4, 1, 0.5])
    truth = relations([("a", MAN, GUITAR, HOLDS, A, B), ("b", MAN, GUITAR, PLAYS, A, B)])
    found = disagreements(table, truth, None, 9)
    assert [(one.image_id, one.correct) for one in found] == [("a", True), ("b", False)]


def test_unsure_detections_come_later():
    table = candidates([0, 0.9, 0.9, 0, 0.9], [0, 0.1, 0.2, 0, 0.4], [1, 0.01, 1, 1, 1])
    assert [one.image_id for one in disagreements(table, None, None, 3)] == ["b", "c", "a"]


def test_a_model_that_has_not_scored():
    none = [np.nan, np.nan, np.nan, 0.5, np.nan]  # "is" has the attribute detector's score in every column
    with pytest.raises(KitError, match="the visual model has not scored"):
        disagreements(candidates(np.ones(5), none), None, None, 3)


def test_the_crop_is_black_outside_the_two_boxes():
    table = candidates([0.1, 0.9, 0.2, 0, 0.5], [0.2, 0.1, 0.4, 1, 0.5])
    (one, *_) = disagreements(table, None, None, 1)
    panel = disagreement_panel(np.full((100, 100, 3), 255, np.uint8), one, table)
    crop = panel[-720:][:512, -512:]
    assert (crop[:200, :200] == 255).all()
    assert not crop[:200, 300:].any()
