import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.detector.class_balanced_sampling import (
    BalancedDraws,
    class_probabilities,
    draw_images,
    image_counts,
    member_order,
)
from kit.report.sampling_figure import curves, draw
from kit.tables.schema import Boxes


def test_images_are_counted_once_a_class():
    boxes = Boxes(("a", "b"), [0, 0, 0, 1], [3, 3, 5, 3], np.zeros((4, 4)), np.zeros(4, bool))
    counts = image_counts(boxes)
    assert counts.shape == (57,)
    assert (counts[3], counts[5], counts.sum()) == (2, 1, 3)


def test_the_formula_by_hand():
    counts = np.array([100, 10, 1])
    assert class_probabilities(counts) == pytest.approx(counts / 111)
    assert class_probabilities(counts, 10) == pytest.approx([10 / 21, 10 / 21, 1 / 21])
    assert class_probabilities(counts, 1) == pytest.approx([1 / 3] * 3)


@given(
    st.lists(st.integers(0, 10_000), min_size=1, max_size=57), st.integers(1, 10_000), st.integers(1, 10_000)
)
def test_a_lower_limit_is_nearer_to_uniform(counts, a, b):
    counts = np.array(counts)
    if not counts.sum():
        return
    low, high = (class_probabilities(counts, n) for n in sorted((a, b)))
    for p in (low, high):
        assert p.sum() == pytest.approx(1)
        assert (p[counts == 0] == 0).all()
    assert low.max() <= high.max() + 1e-12


def test_wrong_arguments():
    with pytest.raises(ValueError, match="limit: expected a number of at least 1, given 0"):
        class_probabilities(np.array([1]), 0)
    with pytest.raises(ValueError, match="at least one image"):
        class_probabilities(np.zeros(3, int))


def test_curves_fall_and_are_drawn(tmp_path):
    counts = np.array([5, 50, 500])
    named = curves(counts, [np.inf, 10])
    assert list(named) == ["N = ∞", "N = 10"]
    assert all((np.diff(p) <= 0).all() for p in named.values())
    for name in ("a.png", "a.pdf", "a.svg"):
        draw(tmp_path / name, counts, [np.inf, 10])
        assert (tmp_path / name).stat().st_size > 1000
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"


LABELS = ([0, 0, 1], [0], [], [0, 2], [0, 1], [0])


def shown(labels, groups=()):
    """Boxes of images with these labels; groups: the rows that are groups of objects."""
    image = np.repeat(np.arange(len(labels)), [len(row) for row in labels])
    label = np.asarray([x for row in labels for x in row], int)
    is_group = np.isin(np.arange(len(label)), groups)
    return Boxes(tuple("abcdef"[: len(labels)]), image, label, np.zeros((len(label), 4)), is_group)


IMAGES = shown(LABELS)


@pytest.mark.parametrize("limit", [None, 1, 2])
def test_draws_follow_the_formula(limit):
    draws = BalancedDraws(IMAGES, 4, limit, seed=5)
    assert draws.counts.tolist() == [5, 2, 1, 0]
    p = class_probabilities(draws.counts, np.inf if limit is None else limit)
    images = {0: [0, 1, 3, 4, 5], 1: [0, 4], 2: [3]}
    expected = np.zeros(len(LABELS))
    for label, own in images.items():
        expected[own] += p[label] / len(own)
    n = 60_000
    seen = np.bincount(draws.first_draws(n), minlength=len(LABELS)) / n
    spread = np.sqrt(expected * (1 - expected) / n)
    assert (np.abs(seen - expected) <= 4.5 * spread + 1e-12).all()


@given(st.integers(0, 3000), st.integers(0, 3000))
def test_more_draws_begin_with_the_same(few, more):
    draws = BalancedDraws(IMAGES, 4, 2, seed=1)
    whole = draws.first_draws(few + more)
    assert whole.shape == (few + more,)
    assert draws.first_draws(few).tolist() == whole[:few].tolist()
    other = BalancedDraws(IMAGES, 4, 2, seed=2)
    assert other.first_draws(200).tolist() != draws.first_draws(200).tolist()


def test_a_training_draws_images_that_show_a_class_in_a_box_with_an_area():
    box = np.tile([[0.1, 0.1, 0.5, 0.5]], (5, 1))
    box[3, 2] = box[3, 0]
    names = ("group", "b", "c", "flat", "none", "f")
    boxes = Boxes(names, [0, 1, 2, 3, 5], [0, 0, 1, 1, 1], box, [True, False, False, False, False])
    drawn = draw_images(boxes, 2, None, seed=4, count=200)
    assert drawn.boxes.images == ("b", "c", "f")
    assert drawn.boxes.label.tolist() == [0, 1, 1]
    draws = BalancedDraws(boxes.take(np.array([1, 2, 4])), 2, None, 4).first_draws(200)
    assert [drawn.boxes.images[i] for i in drawn.draws] == [names[i] for i in draws]
    once = draw_images(boxes, 2, None, seed=4, count=1)
    assert (once.boxes.images, once.draws.tolist()) == ((names[draws[0]],), [0])
    with pytest.raises(ValueError, match="at least one image"):
        draw_images(boxes.of_images(("group", "flat", "none")), 2, None, 4, 10)


def test_no_image_with_a_label():
    with pytest.raises(ValueError, match="at least one image"):
        BalancedDraws(shown([[]]), 4, None, 0)
    with pytest.raises(ValueError, match="at least one image"):
        BalancedDraws(Boxes.empty(), 4, None, 0)


def test_groups_of_objects_show_no_label_and_the_order_of_boxes_is_nothing():
    rows = shown(LABELS, groups=[2, 5])
    assert BalancedDraws(rows, 4, None, 0).counts.tolist() == [5, 1, 0, 0]
    backwards = BalancedDraws(IMAGES.take(slice(None, None, -1)), 4, 2, 1)
    whole = BalancedDraws(IMAGES, 4, 2, 1)
    assert backwards.first_draws(300).tolist() == whole.first_draws(300).tolist()


def test_members_of_a_blend_see_the_same_draws_in_orders_of_their_own():
    draws = np.repeat(np.arange(50), 3)
    orders = [member_order(draws, 4, member) for member in range(3)]
    assert orders[0] is draws
    assert all((np.sort(order) == draws).all() for order in orders)
    assert len({order.tobytes() for order in orders}) == 3
    assert (member_order(draws, 4, 1) == orders[1]).all()
    assert member_order(draws[:0], 4, 1).shape == (0,)
