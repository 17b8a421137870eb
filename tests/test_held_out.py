import numpy as np
import pytest

from kit.relation.held_out import ENOUGH, FEWEST, compare_with_rival, held_out, images_by_class, log_loss
from kit.relation.statistics import FOLDS


def drawn(seed, rare, images=120, per_image=4, classes=2):
    """Rows of images; so many images have a row of the rarest class, the last one."""
    rng = np.random.default_rng(seed)
    image = np.repeat(np.arange(images), per_image)
    label = rng.integers(0, max(classes - 1, 1), len(image))
    label[rng.choice(images, rare, replace=False) * per_image] = classes - 1
    return label, image, rng.integers(0, FOLDS, images)[image]


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("parts", [1, 2, 3, 5, 10])
@pytest.mark.parametrize("rare", [3, 4, 7, 30])
def test_every_part_and_its_rest_have_every_class_and_whole_images(rare, parts, classes):
    for seed in range(20):
        label, image, fold = drawn(seed, rare, classes=classes)
        found, usual = held_out(label, image, fold, parts, classes)
        assert len(found) == 1 if parts == 1 and usual else len(found) <= max(parts, 3)
        held = np.zeros(len(label), int)
        total = np.zeros(classes, int)
        for part in found:
            held += part
            assert set(label[part]) == set(label[~part]) == set(range(classes))
            assert not set(image[part]) & set(image[~part])
            total += images_by_class(label[part], image[part], classes)
        assert (held <= 1).all()
        assert len(found) == 1 or (held == 1).all()
        assert total[-1] >= min(ENOUGH, rare / 3)


def test_healthy_parts_are_those_of_the_folds():
    label, image, fold = drawn(0, 100)
    ((part,), usual) = held_out(label, image, fold, 1, 2)
    assert usual
    assert np.array_equal(part, fold == FOLDS - 1)
    parts, usual = held_out(label, image, fold, 3, 2)
    assert usual
    assert all(np.array_equal(part, fold % 3 == k) for k, part in enumerate(parts))


def test_a_class_that_is_all_in_one_part_is_dealt_out():
    label, image, fold = drawn(0, 6)
    fold = np.where(np.isin(image, image[label == 1]), 0, fold)
    for parts in (1, 3):
        found, usual = held_out(label, image, fold, parts, 2)
        assert not usual
        assert [int(label[part].sum()) for part in found] == [2, 2, 2]


def test_a_class_of_too_few_images_asks_for_nothing():
    label, image, fold = drawn(0, FEWEST - 1, classes=3)
    fold = np.where(label == 2, 0, fold)
    fold = fold[np.searchsorted(image, image)]
    assert held_out(label, image, fold, 3, 3)[1]


@pytest.mark.parametrize("parts", [1, 3])
def test_a_single_image_or_none_has_no_parts(parts):
    label = np.array([0, 1, 0])
    assert held_out(label, np.zeros(3, int), np.zeros(3, int), parts, 2) == ([], False)
    nothing = np.zeros(0, int)
    assert held_out(nothing, nothing, nothing, parts, 2) == ([], False)
    assert images_by_class(nothing, nothing, 2).tolist() == [0, 0]


def test_average_precision_and_loss_decide():
    hit = np.array([True, False, True, False])
    right, wrong = np.array([0.9, 0.1, 0.8, 0.2]), np.array([0.1, 0.9, 0.2, 0.8])
    verdict = compare_with_rival([(right, wrong, hit)])
    assert (verdict.ap, verdict.rival_ap) == (1, pytest.approx(0.5))
    assert verdict.better
    assert not compare_with_rival([(wrong, right, hit)]).better
    sure, unsure = np.array([0.99, 0.01, 0.99, 0.01]), np.array([0.6, 0.4, 0.6, 0.4])
    assert compare_with_rival([(sure, unsure, hit)]).better
    assert not compare_with_rival([(unsure, sure, hit)]).better
    assert compare_with_rival([(sure, sure, hit)]).better


def test_equal_scores_rank_by_nothing_whatever_the_order():
    hit = np.array([True, False, False, True])
    flat = np.full(4, 0.3)
    for order in ([0, 3, 1, 2], [1, 2, 0, 3]):
        verdict = compare_with_rival([(flat, flat, hit[order])])
        assert verdict.ap == pytest.approx(0.5)


def test_parts_count_by_their_positives_and_those_without_do_not():
    perfect = (np.array([0.9, 0.1]), np.array([0.9, 0.1]), np.array([True, False]))
    flat = np.full(4, 0.5)
    half = (flat, flat, np.array([True, True, True, False]))
    none = (flat, flat, np.zeros(4, bool))
    assert compare_with_rival([perfect, half, none]).ap == pytest.approx((1 + 3 * 0.75) / 4)
    assert compare_with_rival([none]) is None
    assert compare_with_rival([]) is None


def test_log_loss_by_hand():
    assert log_loss(np.array([0.5, 0.25]), np.array([1, 0])) == pytest.approx(
        -(np.log(0.5) + np.log(0.75)) / 2
    )
    assert log_loss(np.array([[0.5, 0.5], [0.1, 0.9]]), np.array([0, 1]), 2) == pytest.approx(
        -(np.log(0.5) + np.log(0.9)) / 2
    )


@pytest.mark.parametrize("parts", [1, 3])
def test_two_images_make_two_parts_where_two_are_enough(parts):
    label, image, fold = drawn(0, 2)
    found, usual = held_out(label, image, np.zeros_like(fold), parts, 2, fewest=2)
    assert not usual
    assert [int(label[part].sum()) for part in found] == [1, 1]
