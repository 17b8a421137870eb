import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.relation.candidates import attribute_candidates, pair_candidates
from kit.relation.context import PairContext, image_blocks
from kit.relation.features import features_of_attributes, features_of_pairs, hstack
from kit.relation.geometry import object_features, pair_features
from kit.tables.schema import Boxes, Detections
from tests.builders import A, B, C, boxes

D = (0.5, 0.0, 0.9, 0.4)


def test_object_features_by_hand():
    box = np.array([[0.2, 0.1, 0.6, 0.3]], np.float32)
    want = {
        "o_x1": 0.2,
        "o_y1": 0.1,
        "o_x2": 0.6,
        "o_y2": 0.3,
        "o_width": 0.4,
        "o_height": 0.2,
        "o_log_area": np.log(0.08),
        "o_log_aspect": np.log(2),
    }
    got = {name: float(values[0]) for name, values in object_features(box, "o").items()}
    assert got == pytest.approx(want, rel=1e-5)


# subject, object, and every column: a pair that overlaps, and one with a gap, the object above and left
PAIRS = {
    "overlapping": (
        (0.0, 0.0, 0.4, 0.2),
        (0.2, 0.1, 0.7, 0.5),
        {
            "dx_by_subject": 0.25 / 0.4,  # centres (0.2, 0.1) and (0.45, 0.3)
            "dy_by_subject": 0.2 / 0.2,
            "dx_by_object": 0.25 / 0.5,
            "dy_by_object": 0.2 / 0.4,
            "log_width_ratio": np.log(0.5 / 0.4),
            "log_height_ratio": np.log(0.4 / 0.2),
            "log_area_ratio": np.log(0.2 / 0.08),
            "distance": np.sqrt(0.25**2 + 0.2**2),
            "distance_by_size": np.sqrt((0.25**2 + 0.2**2) / (0.08 + 0.2)),
            "iou": 0.02 / 0.26,
            "inside_subject": 0.02 / 0.2,
            "inside_object": 0.02 / 0.08,
            "overlap_of_union_box": 0.02 / 0.35,
            "log_union_box": np.log(0.7 * 0.5),
            "top_offset": 0.1 / 0.2,
            "bottom_offset": 0.3 / 0.2,
            "left_offset": 0.2 / 0.4,
            "right_offset": 0.3 / 0.4,
            "foot_in_object": 0.1 / 0.4,
            "gap_x": -0.2,
            "gap_y": -0.1,
        },
    ),
    "apart": (
        (0.6, 0.5, 0.8, 0.9),
        (0.1, 0.2, 0.5, 0.3),
        {
            "dx_by_subject": -0.4 / 0.2,  # centres (0.7, 0.7) and (0.3, 0.25)
            "dy_by_subject": -0.45 / 0.4,
            "dx_by_object": -0.4 / 0.4,
            "dy_by_object": -0.45 / 0.1,
            "log_width_ratio": np.log(2),
            "log_height_ratio": np.log(0.1 / 0.4),
            "log_area_ratio": np.log(0.04 / 0.08),
            "distance": np.sqrt(0.4**2 + 0.45**2),
            "distance_by_size": np.sqrt((0.4**2 + 0.45**2) / (0.08 + 0.04)),
            "iou": 0,
            "inside_subject": 0,
            "inside_object": 0,
            "overlap_of_union_box": 0,
            "log_union_box": np.log(0.7 * 0.7),
            "top_offset": -0.3 / 0.4,
            "bottom_offset": -0.6 / 0.4,
            "left_offset": -0.5 / 0.2,
            "right_offset": -0.3 / 0.2,
            "foot_in_object": 0.7 / 0.1,
            "gap_x": 0.1,
            "gap_y": 0.2,
        },
    ),
}


@pytest.mark.parametrize("kind", PAIRS)
def test_every_pair_feature_by_hand(kind):
    subject, object_, want = PAIRS[kind]
    both = (np.array([box], np.float32) for box in (subject, object_))
    got = {name: float(values[0]) for name, values in pair_features(*both).items()}
    assert got == pytest.approx(want, rel=1e-4, abs=1e-6)


def test_boxes_without_extent_have_a_side_of_a_millionth():
    """A point in the middle of the other box: no division by zero, and no larger side than that."""
    point, box = np.full((1, 4), 0.5, np.float32), np.array([[0.25, 0.25, 0.75, 0.75]], np.float32)
    got = pair_features(point, box)
    assert got["log_width_ratio"][0] == pytest.approx(np.log(0.5 / 1e-6), rel=1e-5)
    assert got["log_height_ratio"][0] == pytest.approx(np.log(0.5 / 1e-6), rel=1e-5)
    assert got["left_offset"][0] == pytest.approx(-0.25 / 1e-6, rel=1e-5)
    assert pair_features(point, point)["log_union_box"][0] == pytest.approx(np.log(1e-6), rel=1e-5)


SIDE = st.floats(0, 1, width=32)


@given(st.lists(st.tuples(*[SIDE] * 8), min_size=1, max_size=20))
def test_geometry_is_finite_on_any_legal_box(sides):
    raw = np.array(sides, np.float32).reshape(-1, 2, 2, 2)
    both = np.sort(raw, axis=2).reshape(-1, 2, 4)
    for values in pair_features(both[:, 0], both[:, 1]).values():
        assert values.dtype == np.float32
        assert np.isfinite(values).all()


@given(st.tuples(*[st.floats(0, 0.375, width=32)] * 4), st.floats(0, 0.5, width=32))
def test_relative_features_do_not_change_when_both_boxes_move(start, shift):
    a = np.array([[start[0], start[1], start[0] + 0.1, start[1] + 0.2]], np.float32)
    b = np.array([[start[2], start[3], start[2] + 0.2, start[3] + 0.1]], np.float32)
    here, there = pair_features(a, b), pair_features(a + np.float32(shift), b + np.float32(shift))
    for name in here:
        assert there[name] == pytest.approx(here[name], abs=2e-3), name


def lead_by_loop(objects, candidates, pair, measure):
    value = {
        "nearer": pair["distance_by_size"],
        "overlap": 1e-3 * pair["distance_by_size"] - pair["iou"],
    }[measure]
    subject, object_ = candidates.subject, candidates.object
    group = {
        "subject": [(s,) for s in subject],
        "object": [(o,) for o in object_],
        "subject_class": [(s, objects.label[o]) for s, o in zip(subject, object_, strict=True)],
        "object_class": [(o, objects.label[s]) for s, o in zip(subject, object_, strict=True)],
    }
    out = {}
    for name, keys in group.items():
        rows = []
        for i, key in enumerate(keys):
            rest = [value[j] for j, other in enumerate(keys) if other == key and j != i]
            rows.append(value[i] - min(rest) if rest else np.nan)
        out[f"lead_{measure}_{name}"] = np.array(rows)
        out[f"rivals_{name}"] = np.array([keys.count(k) for k in keys])
    return out


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_context_equals_the_plain_loop(seed):
    rng = np.random.default_rng(seed)
    n = 14
    box = np.sort(rng.random((n, 2, 2)), 1).reshape(n, 4).astype(np.float32).round(1)
    label = rng.choice([0, 1, 2, 3, 12, 20], n)
    objects = Boxes(("a", "b"), np.sort(rng.integers(0, 2, n)), label, box, np.zeros(n, bool))
    candidates = pair_candidates(objects)
    pair = pair_features(box[candidates.subject], box[candidates.object])
    got = PairContext.of(objects, candidates).features(candidates, pair)
    for measure in ("nearer", "overlap"):
        for name, want in lead_by_loop(objects, candidates, pair, measure).items():
            assert np.allclose(got[name], want, atol=1e-5, equal_nan=True), name


def test_counts_of_objects():
    objects = boxes(("a", "Man", A), ("a", "Man", C), ("a", "Guitar", B), ("b", "Man", A))
    f = features_of_pairs(objects, pair_candidates(objects))
    column = dict(zip(f.names, f.values.T, strict=True))
    assert set(column["objects"]) == {3}
    assert set(column["objects_of_subject_class"]) == {2}
    assert set(column["objects_of_object_class"]) == {1}


def test_only_sure_detections_are_counted_and_are_rivals():
    """A detection is sure from a score of 0.3 on; a faint one counts in its own rows alone."""
    rows = [("a", "Man", A), ("a", "Man", C), ("a", "Guitar", B), ("a", "Man", D)]
    objects = boxes(*rows)
    found = Detections(objects.images, objects.image, objects.label, [0.9, 0.3, 0.8, 0.29], objects.box)
    candidates = pair_candidates(found)
    f = features_of_pairs(found, candidates)
    column = dict(zip(f.names, f.values.T, strict=True))
    row = {
        int(s): i
        for i, (s, o) in enumerate(zip(candidates.subject, candidates.object, strict=True))
        if o == 2
    }
    assert set(row) == {0, 1, 3}
    for man, want in ((0, 3), (1, 3), (3, 4)):  # the faint man beside the three sure objects
        assert column["objects"][row[man]] == want
        assert column["objects_of_subject_class"][row[man]] == want - 1
        assert column["objects_of_object_class"][row[man]] == 1
        assert column["rivals_object"][row[man]] == want - 1
        assert column["rivals_object_class"][row[man]] == want - 1
        assert column["rivals_subject"][row[man]] == 1
    sure = np.isin(candidates.subject, (0, 1)) & np.isin(candidates.object, (0, 1, 2))
    assert set(column["pairs"][sure]) == {sure.sum()}
    assert set(column["pairs"][~sure]) == {sure.sum() + 1}
    first, second, faint = (column["distance_by_size"][row[man]] for man in (0, 1, 3))
    lead = column["lead_nearer_object"]
    assert lead[row[0]] == pytest.approx(first - second)
    assert lead[row[1]] == pytest.approx(second - first)
    assert lead[row[3]] == pytest.approx(faint - min(first, second))
    assert np.isnan(column["lead_nearer_subject"][row[0]])


def test_no_rows_have_the_same_columns():
    objects, nothing = boxes(("a", "Man", A), ("a", "Guitar", B)), boxes()
    full, empty = (features_of_pairs(o, pair_candidates(o)) for o in (objects, nothing))
    assert full.names == empty.names
    assert empty.values.shape == (0, len(full.names))
    table = boxes(("a", "Table", A))
    full, empty = (features_of_attributes(o, attribute_candidates(o)) for o in (table, nothing))
    assert full.names == empty.names


def test_more_columns_beside():
    objects = boxes(("a", "Man", A), ("a", "Guitar", B))
    f = features_of_pairs(objects, pair_candidates(objects))
    wider = hstack(f, ("x",), np.ones((len(f.values), 1), np.float32))
    assert wider.names[-1] == "x"
    assert wider.values.shape[1] == f.values.shape[1] + 1


def test_order_of_images_does_not_change_the_features():
    rng = np.random.default_rng(5)
    n = 20
    box = np.sort(rng.random((n, 2, 2)), 1).reshape(n, 4)
    label = rng.choice([0, 12, 20, 30], n)
    image = np.sort(rng.integers(0, 3, n))
    objects = Boxes(("a", "b", "c"), image, label, box, np.zeros(n, bool))
    parts = [objects.of_images([name]) for name in "abc"]
    whole = features_of_pairs(objects, pair_candidates(objects)).values
    pieces = [features_of_pairs(p, pair_candidates(p)).values for p in parts]
    assert np.allclose(whole, np.concatenate(pieces), equal_nan=True)


@pytest.mark.parametrize("block", [1, 7, 40])
def test_blocks_of_images_have_the_values_of_the_whole_to_the_bit(block):
    rng = np.random.default_rng(3)
    n, images = 90, 12
    box = np.sort(rng.random((n, 2, 2)), 1).reshape(n, 4).astype(np.float32)
    image = rng.choice([0, 1, 2, 5, 6, 7, 11], n)  # in no order, and images without objects
    label = rng.choice([0, 0, 0, 12, 20, 30], n)
    score = rng.random(n).astype(np.float32)
    for objects in (
        Boxes(tuple("abcdefghijkl"[:images]), image, label, box, np.zeros(n, bool)),
        Detections(tuple("abcdefghijkl"[:images]), image, label, score, box),
    ):
        candidates = pair_candidates(objects)
        whole = features_of_pairs(objects, candidates, len(candidates))
        parts = features_of_pairs(objects, candidates, block)
        assert whole.names == parts.names
        assert whole.values.tobytes() == parts.values.tobytes()


def test_blocks_hold_whole_images():
    image = np.asarray([4, 4, 4, 0, 7, 7, 9])
    assert list(image_blocks(image, 2)) == [slice(0, 3), slice(3, 6), slice(6, 7)]
    assert list(image_blocks(image, 1)) == [slice(0, 3), slice(3, 4), slice(4, 6), slice(6, 7)]
    assert list(image_blocks(image, 100)) == [slice(0, 7)]
    assert list(image_blocks(image[:0], 2)) == [slice(0, 0)]
    with pytest.raises(ValueError, match="image by image"):
        list(image_blocks(np.asarray([1, 2, 1]), 2))
