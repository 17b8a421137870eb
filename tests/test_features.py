import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.relation.candidates import attribute_candidates, pair_candidates
from kit.relation.context import context_features
from kit.relation.features import beside, features_of_attributes, features_of_pairs
from kit.relation.geometry import object_features, pair_features
from kit.tables.schema import Boxes
from tests.builders import A, B, C, boxes

SUBJECT, OBJECT = np.array([[0.0, 0.0, 0.4, 0.2]], np.float32), np.array([[0.2, 0.1, 0.6, 0.5]], np.float32)


def test_object_features_by_hand():
    f = {name: float(v[0]) for name, v in object_features(OBJECT, "o").items()}
    assert f["o_width"] == pytest.approx(0.4)
    assert f["o_height"] == pytest.approx(0.4)
    assert f["o_log_area"] == pytest.approx(np.log(0.16), rel=1e-5)
    assert f["o_log_aspect"] == pytest.approx(0, abs=1e-6)


def test_pair_features_by_hand():
    f = {name: float(v[0]) for name, v in pair_features(SUBJECT, OBJECT).items()}
    inter, union = 0.2 * 0.1, 0.08 + 0.16 - 0.02
    assert f["dx_by_subject"] == pytest.approx(0.2 / 0.4)
    assert f["dy_by_object"] == pytest.approx(0.2 / 0.4)
    assert f["iou"] == pytest.approx(inter / union, rel=1e-5)
    assert f["inside_subject"] == pytest.approx(inter / 0.16, rel=1e-5)
    assert f["inside_object"] == pytest.approx(inter / 0.08, rel=1e-5)
    assert f["distance"] == pytest.approx(np.hypot(0.2, 0.2), rel=1e-5)
    assert f["gap_x"] == pytest.approx(-0.2, rel=1e-5)
    assert f["log_union_box"] == pytest.approx(np.log(0.6 * 0.5), rel=1e-5)
    assert f["bottom_offset"] == pytest.approx((0.5 - 0.2) / 0.2, rel=1e-5)


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
    got = context_features(objects, candidates, pair)
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
    wider = beside(f, ("x",), np.ones((len(f.values), 1), np.float32))
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
