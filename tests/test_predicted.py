import numpy as np
import pytest

from kit.data.split_tables import SplitTables
from kit.relation.candidates import pair_candidates, pair_positives
from kit.relation.features import features_of_pairs
from kit.relation.predicted import on_detections
from kit.relation.prior_model import pair_examples
from kit.tables.schema import Boxes, Detections, Relations, VerifiedLabels
from kit.vocabulary import IS, vocabulary
from tests.builders import drawn_split
from tests.imperfect import imperfect

LABEL = {name: i for i, name in enumerate(vocabulary().names)}
MAN, CAR, TABLE, WOODEN = (LABEL[n] for n in ("Man", "Car", "Table", "Wooden"))
LEFT, RIGHT, SMALL = (0, 0, 0.4, 1), (0.5, 0, 1, 1), (0.6, 0.6, 0.7, 0.7)


def tables():
    rows = [(MAN, CAR, 0, LEFT, RIGHT), (TABLE, WOODEN, IS, SMALL, SMALL)]
    s, o, p, one, two = (np.array(c) for c in zip(*rows, strict=True))
    relations = Relations(("a",), [0, 0], s, o, p, one, two)
    boxes = Boxes(("a",), [0, 0, 0], [MAN, CAR, TABLE], np.array([LEFT, RIGHT, SMALL]), np.zeros(3, bool))
    labels = VerifiedLabels(("a",), [0] * 4, [MAN, CAR, TABLE, WOODEN], [True] * 4)
    return SplitTables(relations, boxes, labels)


def test_every_pair_of_detections_on_a_relation_has_it():
    box = np.array([LEFT, (0, 0, 0.38, 1), RIGHT, SMALL, SMALL, (0, 0, 0.1, 0.1)], np.float32)
    found = Detections(
        ("b", "a"), [1] * 6, [MAN, MAN, CAR, TABLE, CAR, MAN], [0.9, 0.8, 0.7, 0.6, 0.5, 0.4], box
    )
    moved = on_detections(tables(), found, 10)
    assert moved.objects.images == ("a",)
    assert len(moved.objects) == 6
    pairs = moved.relations.take(moved.relations.predicate != IS)
    assert len(pairs) == 2  # both men, one car; the small car and the small man lie on nothing
    assert {tuple(b) for b in pairs.subject_box.tolist()} == {tuple(b) for b in box[:2].tolist()}
    attribute = moved.relations.take(moved.relations.predicate == IS)
    assert len(attribute) == 1
    assert np.array_equal(attribute.subject_box, attribute.object_box)
    examples = pair_examples(moved)
    assert examples.positive[:, 0].sum() == 2
    assert len(examples.candidates) > 2


def test_faint_detections_are_no_rivals_in_training_as_in_use():
    box = np.array([LEFT, RIGHT, (0.1, 0, 0.3, 1), SMALL], np.float32)
    found = Detections(("a",), [0] * 4, [MAN, CAR, MAN, TABLE], [0.9, 0.8, 0.1, 0.5], box)
    objects = on_detections(tables(), found, 10).objects
    pairs = pair_candidates(objects)
    features = features_of_pairs(objects, pairs)
    counted = features.values[:, features.names.index("objects")]
    faint = objects.label[pairs.subject] == MAN
    faint &= np.isclose(objects.box[pairs.subject][:, 0], 0.1)
    assert faint.any()
    assert set(counted[~faint]) == {3.0}  # three sure ones; a faint one counts itself beside them
    assert set(counted[faint]) == {4.0}


def test_only_the_surest_are_taken_and_what_is_not_found_is_gone():
    found = Detections(("a",), [0, 0], [MAN, CAR], [0.9, 0.1], np.array([LEFT, RIGHT], np.float32))
    assert len(on_detections(tables(), found, 2).relations) == 1
    one = on_detections(tables(), found, 1)
    assert len(one.objects) == 1
    assert len(one.relations) == 0
    nothing = on_detections(tables(), Detections.empty(("a",)), 5)
    assert len(nothing.objects) == len(nothing.relations) == 0


@pytest.mark.parametrize("block", [1, 50, 10_000_000])
def test_rows_to_learn_from_are_the_pairs_of_verified_labels_whatever_the_block(block):
    """Detections of every class in every image: most can get no label and are dropped before they are paired."""
    split = drawn_split("train", 15)
    rng = np.random.default_rng(3)
    n, images = 450, split.objects.images
    box = np.sort(rng.random((n, 2, 2)), axis=1).reshape(n, 4).astype(np.float32)
    ghosts = Detections(images, rng.integers(0, len(images), n), rng.integers(0, 57, n), rng.random(n), box)
    found = Detections.concat([imperfect(split.objects, 2), ghosts])
    moved = on_detections(split, found, 40)
    label, verified = moved.objects.label, moved.verified()
    every = pair_candidates(moved.objects)
    wanted = [
        row
        for row, (i, s, o) in enumerate(zip(every.image, every.subject, every.object, strict=True))
        if verified[i, label[s]] and verified[i, label[o]]
    ]
    positive = pair_positives(every, moved.objects, moved.relations)[wanted]
    assert len(wanted) < len(every) / 2
    assert positive.sum() > 5
    examples = pair_examples(moved, block)
    for column in ("image", "subject", "object"):
        assert np.array_equal(getattr(examples.candidates, column), getattr(every, column)[wanted])
    assert np.array_equal(examples.subject, label[every.subject[wanted]])
    assert np.array_equal(examples.positive, positive)
