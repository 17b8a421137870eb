"""Rows about an image as objects, relations, tags."""

import numpy as np

from kit.report.image_rows import drawn_objects, drawn_relations, rows_of_image, top_rows
from kit.vocabulary import IS, PREDICATES
from tests.builders import NAME, A, B, boxes, predictions, relations

MAN, GUITAR, WOODEN = NAME["Man"], NAME["Guitar"], NAME["Wooden"]
PLAYS = PREDICATES.index("plays")
NEARLY_B = (0.5, 0.5, 1.0, 0.99)


def test_rows_of_the_same_boxes_share_their_objects_and_is_is_a_tag():
    rows = predictions(
        [
            ("a", GUITAR, WOODEN, IS, NEARLY_B, NEARLY_B),
            ("a", MAN, GUITAR, PLAYS, A, B),
            ("a", MAN, GUITAR, 2, A, B),
            ("a", GUITAR, WOODEN, IS, B, B),
        ],
        [0.9, 0.8, 0.7, 0.6],
    )
    objects, found = drawn_relations(rows, [True, True, False, None])
    assert [(o.label, o.attributes) for o in objects] == [("Man", ()), ("Guitar", ("✓ Wooden 0.90",))]
    assert [(r.subject, r.object, r.predicate, r.score, r.correct) for r in found] == [
        (0, 1, "plays", 0.8, True),
        (0, 1, PREDICATES[2], 0.7, False),
    ]


def test_truth_has_no_scores():
    objects, found = drawn_relations(relations([("a", MAN, GUITAR, PLAYS, A, B)]))
    assert [o.score for o in objects] == [None, None]
    assert (found[0].score, found[0].correct) == (None, None)


def test_an_attribute_without_a_relation_is_an_object():
    ((one,), found) = drawn_relations(relations([("a", GUITAR, WOODEN, IS, B, B)]))
    assert (one.label, one.attributes, found) == ("Guitar", ("Wooden",), [])


def test_no_rows():
    assert drawn_relations(relations([])) == ([], [])
    assert drawn_objects(boxes()) == []


def test_boxes_and_rows_of_an_image():
    table = boxes(("a", "Man", A), ("b", "Guitar", B), ("a", "Guitar", B))
    assert rows_of_image(table, "a").tolist() == [0, 2]
    assert rows_of_image(table, "nowhere").tolist() == []
    assert [o.label for o in drawn_objects(table.take(rows_of_image(table, "a")))] == ["Man", "Guitar"]


def test_top_rows_are_the_surest_the_first_of_equals_first():
    assert top_rows(np.array([0.1, 0.5, 0.5, 0.9]), 3).tolist() == [3, 1, 2]
