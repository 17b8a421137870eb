import numpy as np

from kit.boxes import iou
from kit.data.world import draw_world
from kit.metric.confusion import class_confusion, predicate_confusion
from kit.tables.schema import Boxes, Detections, Predictions, Relations
from kit.vocabulary import PREDICATES, vocabulary
from tests.builders import A, B, C, predictions, relations
from tests.imperfect import imperfect

NONE = len(PREDICATES)


def test_the_best_prediction_on_a_pair_counts():
    truth = relations([("a", 1, 2, 0, A, B), ("a", 1, 2, 0, A, C), ("b", 3, 4, 1, A, B)])
    found = predictions(
        [
            ("a", 1, 2, 0, A, B),
            ("a", 1, 2, 3, A, B),  # surer, so "at" is taken for it
            ("a", 1, 2, 0, A, C),
            ("b", 3, 4, 1, A, C),  # the object's box is elsewhere
            ("b", 3, 5, 1, A, B),  # another class
        ],
        [0.5, 0.6, 0.1, 0.9, 0.9],
    )
    table = predicate_confusion(truth, found)
    assert table.shape == (NONE, NONE + 1)
    assert (table[0, 3], table[0, 0], table[1, NONE], table.sum()) == (1, 1, 1, 3)


def test_what_is_right_of_another_relation_is_no_mistake():
    truth = relations([("a", 1, 2, 0, A, B), ("a", 1, 2, 3, A, B)])
    found = predictions([("a", 1, 2, 3, A, B), ("a", 1, 2, 0, A, B)], [0.9, 0.1])
    table = predicate_confusion(truth, found)
    assert (table[0, 0], table[3, 3], table.sum()) == (1, 1, 2)


def drawn(n, rng):
    """Rows of few labels, predicates and boxes, so that many lie on each other."""
    draw = [rng.integers(0, size, n) for size in (3, 2, 2, 4, 3, 3)]
    return [
        ("abc"[i], s, 5 + o, p, (A, B, C)[a], (A, B, C)[b]) for i, s, o, p, a, b in zip(*draw, strict=True)
    ]


def test_predicates_by_a_plain_loop():
    rng = np.random.default_rng(3)
    truth, found = (predictions(drawn(n, rng), rng.integers(1, 9, n) / 10) for n in (60, 200))
    table = np.zeros((NONE, NONE + 1), int)

    def on(t, p, *, predicate):
        same = truth.images[truth.image[t]] == found.images[found.image[p]]
        labels = truth.subject[t] == found.subject[p] and truth.object[t] == found.object[p]
        boxes = all(
            iou(getattr(truth, side)[t : t + 1], getattr(found, side)[p : p + 1])[0] >= 0.5
            for side in ("subject_box", "object_box")
        )
        return same and labels and boxes and (not predicate or truth.predicate[t] == found.predicate[p])

    right = [any(on(t, p, predicate=True) for t in range(len(truth))) for p in range(len(found))]
    for t in range(len(truth)):
        best, where = -np.inf, None
        for p in range(len(found)):
            counts = truth.predicate[t] == found.predicate[p] or not right[p]
            if counts and on(t, p, predicate=False) and found.score[p] > best:
                best, where = found.score[p], p
        table[truth.predicate[t], NONE if where is None else found.predicate[where]] += 1
    assert np.array_equal(predicate_confusion(truth, found), table)
    assert table[:, :NONE].any()


def test_classes_by_a_plain_loop():
    boxes = draw_world("val", 20, seed=2).boxes
    found = imperfect(boxes, 1)
    rng = np.random.default_rng(0)
    label = np.where(rng.random(len(found)) < 0.3, rng.integers(0, 57, len(found)), found.label)
    found = Detections(found.images, found.image, label, found.score, found.box)
    group = rng.random(len(boxes)) < 0.1
    boxes = Boxes(boxes.images, boxes.image, boxes.label, boxes.box, group)
    size = vocabulary().classes
    table = np.zeros((size, size + 1), int)
    for t in np.flatnonzero(~group):
        best, taken = -1.0, size
        for d in np.flatnonzero(found.image == boxes.image[t]):
            near = iou(boxes.box[t : t + 1], found.box[d : d + 1])[0] >= 0.5
            if near and found.score[d] > best:
                best, taken = found.score[d], found.label[d]
        table[boxes.label[t], taken] += 1
    assert np.array_equal(class_confusion(boxes, found), table)
    assert table[:, :size].trace() > 0 < table[:, size].sum()


def test_nothing_predicted_and_nothing_true():
    truth = relations([("a", 1, 2, 0, A, B)])
    assert predicate_confusion(truth, Predictions.empty())[0, NONE] == 1
    assert not predicate_confusion(Relations.empty(), Predictions.empty()).any()
    assert not class_confusion(Boxes.empty(), Detections.empty()).any()
