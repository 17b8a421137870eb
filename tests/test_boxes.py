import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kit.boxes import area, enclosing, intersection, inverted, ioa, iou


def box(*sides, dtype=np.float32):
    return np.array([sides], dtype)


def test_hand_computed():
    a, b = box(0, 0, 0.5, 0.5), box(0.25, 0, 0.75, 0.5)
    assert area(a)[0] == 0.25
    assert intersection(a, b)[0] == 0.125
    assert iou(a, b)[0] == 1 / 3
    assert ioa(a, b)[0] == 0.5
    assert enclosing(a, b).tolist() == [[0, 0, 0.75, 0.5]]


def test_two_empty_boxes_overlap_by_nan_and_touching_ones_by_zero():
    assert np.isnan(iou(box(0.1, 0.1, 0.1, 0.1), box(0.2, 0.2, 0.2, 0.2))[0])
    assert iou(box(0, 0, 0.5, 1), box(0.5, 0, 1, 1))[0] == 0


def test_float32_areas_and_float64_rest():
    a, b = box(0.1, 0.2, 0.7, 0.9), box(0.15, 0.2, 0.8, 0.95)
    sides = [np.float64(np.float32(0.7) - np.float32(0.15)), np.float64(np.float32(0.9) - np.float32(0.2))]
    inter = sides[0] * sides[1]
    areas = np.float32(0.7 - 0) * 0 + (a[0, 2] - a[0, 0]) * (a[0, 3] - a[0, 1])
    other = (b[0, 2] - b[0, 0]) * (b[0, 3] - b[0, 1])
    assert iou(a, b)[0] == inter / (np.float64(np.float32(areas + other)) - inter)


def test_inverted_needs_one_side():
    boxes = np.array([[0, 0, 1, 1], [1, 0, 0, 1], [0, 1, 1, 0], [0.5, 0.5, 0.5, 0.5]])
    assert inverted(boxes).tolist() == [False, True, True, False]


SIDE = st.floats(0, 1, width=32)


@given(st.lists(st.tuples(SIDE, SIDE, SIDE, SIDE), min_size=1, max_size=20))
def test_iou_is_symmetric_bounded_and_one_with_itself(sides):
    a = np.sort(np.array(sides, np.float32).reshape(-1, 2, 2), axis=1).reshape(-1, 4)
    b = a[::-1].copy()
    forth, back = iou(a, b), iou(b, a)
    assert np.array_equal(forth, back, equal_nan=True)
    good = forth[~np.isnan(forth)]
    solid = area(a) > 1e-6  # below, float32 areas round coarsely, to nothing at all in the end
    known = good[solid[~np.isnan(forth)]]
    assert ((known >= 0) & (known <= 1 + 1e-5)).all()
    assert np.allclose(iou(a, a)[solid], 1, atol=1e-5)
