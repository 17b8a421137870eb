import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.data.objects import find_objects, objects_of, side_of
from kit.relation.candidates import (
    attribute_candidates,
    attribute_positives,
    pair_candidates,
    pair_positives,
    to_predictions,
)
from kit.tables.schema import Relations
from kit.vocabulary import IS, vocabulary
from tests.builders import NAME, A, B, C, boxes

WORDS = vocabulary()
HOLDS, ON = WORDS.predicate["holds"], WORDS.predicate["on"]


def relations(*rows, images=("a", "b")):
    return Relations(
        images,
        [images.index(r[0]) for r in rows],
        [NAME[r[1]] for r in rows],
        [NAME[r[3]] for r in rows],
        [WORDS.predicate[r[2]] for r in rows],
        np.array([r[4] for r in rows], np.float32).reshape(-1, 4),
        np.array([r[5] for r in rows], np.float32).reshape(-1, 4),
    )


def named(objects, candidates):
    return [
        (candidates.images[i], WORDS.names[objects.label[s]], WORDS.names[objects.label[o]])
        for i, s, o in zip(candidates.image, candidates.subject, candidates.object, strict=True)
    ]


def test_pairs_are_ordered_allowed_and_of_one_image():
    objects = boxes(("b", "Man", A), ("a", "Guitar", A), ("a", "Man", B), ("a", "Man", C), ("b", "Piano", B))
    got = named(objects, pair_candidates(objects))
    for image, subject, object_ in got:
        assert np.delete(WORDS.allowed, IS, 0)[:, NAME[subject], NAME[object_]].any(), (
            image,
            subject,
            object_,
        )
    assert got.count(("a", "Man", "Guitar")) == 2
    assert ("b", "Man", "Piano") in got
    assert ("b", "Man", "Guitar") not in got
    assert ("a", "Guitar", "Man") not in got
    assert [g[0] for g in got] == sorted(g[0] for g in got)


def test_pairs_equal_the_plain_loop():
    rng = np.random.default_rng(0)
    names = rng.choice(WORDS.names[:57], 60)
    objects = boxes(*[("ab"[int(rng.integers(2))], str(n), A) for n in names])
    possible = np.delete(WORDS.allowed, IS, 0).any(0)
    want = {
        (i, j)
        for i in range(60)
        for j in range(60)
        if i != j and objects.image[i] == objects.image[j] and possible[objects.label[i], objects.label[j]]
    }
    candidates = pair_candidates(objects)
    assert set(zip(candidates.subject.tolist(), candidates.object.tolist(), strict=True)) == want
    assert len(candidates) == len(want)


@pytest.mark.parametrize("rows", [(), (("a", "Man", A),)])
def test_no_pair(rows):
    objects = boxes(*rows)
    assert len(pair_candidates(objects)) == 0
    assert pair_positives(pair_candidates(objects), objects, relations()).shape == (0, 10)


def test_attribute_candidates_are_all_allowed_attributes():
    objects = boxes(("a", "Table", A), ("a", "Man", B))
    candidates = attribute_candidates(objects)
    allowed = {WORDS.names[i] for i in np.flatnonzero(WORDS.allowed[IS, NAME["Table"]])}
    assert {WORDS.names[o] for o in candidates.object} == allowed
    assert set(candidates.subject.tolist()) == {0}


def test_positives_of_pairs_and_attributes():
    truth = relations(
        ("a", "Man", "holds", "Guitar", A, B),
        ("a", "Man", "plays", "Guitar", A, B),
        ("b", "Table", "is", "Wooden", A, A),
    )
    objects = boxes(("a", "Man", A), ("a", "Man", C), ("a", "Guitar", B), ("b", "Table", A))
    pairs = pair_candidates(objects)
    hit = pair_positives(pairs, objects, truth)
    assert hit.sum() == 2
    row = np.flatnonzero(hit.any(1))[0]
    assert (pairs.subject[row], pairs.object[row]) == (0, 2)
    attributes = attribute_candidates(objects)
    is_hit = attribute_positives(attributes, objects, truth)
    assert [WORDS.names[o] for o in attributes.object[is_hit[:, IS]]] == ["Wooden"]
    assert is_hit.sum() == 1


def test_a_box_is_found_by_overlap_and_label():
    nearly = tuple(v + 1e-4 for v in B)
    objects = boxes(("a", "Man", C), ("a", "Man", B), ("a", "Woman", B), ("b", "Man", B))
    wanted = boxes(("a", "Man", nearly), ("b", "Man", A), ("b", "Woman", B))
    assert find_objects(wanted, objects).tolist() == [1, -1, -1]


def test_a_zero_area_box_is_found_where_it_is_equal():
    point = (0.3, 0.3, 0.3, 0.3)
    objects = boxes(("a", "Man", A), ("a", "Man", point))
    assert find_objects(boxes(("a", "Man", point)), objects).tolist() == [1]


def test_objects_of_relations_count_each_object_once():
    again = tuple(v + 1e-4 for v in A)
    truth = relations(
        ("b", "Table", "is", "Wooden", A, A),
        ("a", "Man", "holds", "Guitar", A, B),
        ("a", "Man", "plays", "Guitar", A, B),
        ("a", "Man", "at", "Table", again, C),
    )
    objects = objects_of(truth)
    got = [(objects.images[i], WORDS.names[x]) for i, x in zip(objects.image, objects.label, strict=True)]
    assert sorted(got) == [("a", "Guitar"), ("a", "Man"), ("a", "Table"), ("b", "Table")]
    assert (np.diff(objects.image) >= 0).all()


def test_objects_are_the_boxes_and_what_only_the_relations_have():
    truth = relations(("a", "Man", "holds", "Guitar", A, B))
    objects = objects_of(truth, boxes(("a", "Man", A), ("a", "Dog", C)))
    assert sorted(WORDS.names[x] for x in objects.label) == ["Dog", "Guitar", "Man"]
    only_boxes = objects_of(truth, boxes(("z", "Dog", C), images=("z",)))
    assert set(only_boxes.images) == {"z", "a", "b"}


def test_sides_are_boxes():
    truth = relations(("a", "Man", "holds", "Guitar", A, B))
    assert np.allclose(side_of(truth, "object").box, [B])


def test_predictions_of_pairs_and_attributes():
    objects = boxes(("a", "Man", A), ("a", "Guitar", B), ("a", "Table", C))
    pairs = pair_candidates(objects)
    table = to_predictions(pairs, objects, np.full(len(pairs), HOLDS), np.arange(len(pairs)))
    i = named(objects, pairs).index(("a", "Man", "Guitar"))
    assert np.allclose(table.subject_box[i], A)
    assert np.allclose(table.object_box[i], B)
    attributes = attribute_candidates(objects)
    table = to_predictions(attributes, objects, np.full(len(attributes), IS), np.ones(len(attributes)))
    assert np.array_equal(table.subject_box, table.object_box)
    assert (table.object >= WORDS.classes).all()


@given(st.integers(1, 40), st.integers(0, 2**31))
def test_pairs_of_those_that_count_are_all_pairs_less_the_others_whatever_the_block(block, seed):
    rng = np.random.default_rng(seed)
    names = rng.choice(["Man", "Woman", "Chair", "Table", "Car"], int(rng.integers(0, 20)))
    objects = boxes(*[("ab"[int(rng.integers(2))], str(n), A) for n in names])
    counts = rng.random(len(objects)) < 0.6
    whole, found = pair_candidates(objects), pair_candidates(objects, counts, block)
    rows = np.flatnonzero(counts[whole.subject] & counts[whole.object])
    for column in ("image", "subject", "object"):
        assert np.array_equal(getattr(found, column), getattr(whole, column)[rows])
    attributes, some = attribute_candidates(objects), attribute_candidates(objects, counts)
    kept = attributes.take(counts[attributes.subject])
    assert np.array_equal(np.stack([some.subject, some.object]), np.stack([kept.subject, kept.object]))
