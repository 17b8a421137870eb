"""Operations and hours of the full size, against what is counted by hand."""

import pytest
import torch

from benchmarks.amounts import crops_learned, crops_stored, positives, validated
from benchmarks.core_hours import Work
from benchmarks.full_size import Part, hours, mean_reached
from benchmarks.operations import META, batches, counter, padded
from kit.config import Training, Visual


@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize(("first", "times"), [(True, 2), (False, 3)])
def test_a_convolution_and_its_gradients(groups, first, times):
    layer = torch.nn.Conv2d(8, 16, 3, padding=1, groups=groups, device=META)
    pixels = torch.empty(2, 8, 5, 7, device=META, requires_grad=not first)
    with counter() as operations:
        layer(pixels).sum().backward()
    forward = 2 * (2 * 16 * 5 * 7) * (8 // groups * 3 * 3)  # every output is a sum of so many products
    assert operations.get_total_flops() == times * forward  # the first layer's input wants no gradient


def test_what_is_frozen_has_no_gradient():
    frozen, learned = (
        torch.nn.Linear(3, 5, device=META).requires_grad_(False),
        torch.nn.Linear(5, 7, device=META),
    )
    with counter() as operations:
        learned(frozen(torch.empty(2, 3, device=META))).sum().backward()
    assert operations.get_total_flops() == 2 * (2 * 3 * 5) + 2 * 2 * (2 * 5 * 7)


def test_batches_of_both_orientations_are_padded_to_both_longest_sides():
    assert padded([(683, 1024)], (1333, 800), 32) == (800, 1216)  # 800 x 1199
    assert padded([(683, 1024), (1024, 683)], (1333, 800), 32) == (1216, 1216)
    assert batches(1, (1333, 800), 32) == [(0.75, (800, 1216)), (0.25, (1216, 800)), (0.0, (1216, 1216))]
    (wide, _), (upright, _), (both, _) = batches(2, (1333, 800), 32)
    assert (wide, upright, both) == (9 / 16, 1 / 16, 6 / 16)


def test_hours():
    assert hours(2e12, 36_000, 20) == 1  # a tenth of a second each
    assert hours(2e12, 36_000, 200, share=0.1) == pytest.approx(1)
    part = Part("detector", each=2e12, items=36_000, rate=5)
    assert (part.total, part.measured, part.reached) == (7.2e16, 2, 10)
    assert mean_reached([part, Part("other", each=2e12, items=36_000, rate=10)]) == pytest.approx(40 / 3)
    assert Work("decode", "photo", items=7_200, seconds=0.5).hours == 1


def test_crops_are_learned_from_in_whole_batches():
    settings = Visual(epochs=2, batch_size=32, negatives=3, negatives_stored=12)
    assert crops_learned(settings)[positives().index(34)] == 2 * 4 * 32  # of 34 + 102 pairs
    assert crops_stored(settings) == 13 * sum(positives())
    whole = Visual(epochs=1, batch_size=1, negatives=1, negatives_stored=12)
    assert crops_learned(whole) == [2 * n for n in positives()]


def test_a_training_is_validated_before_it_and_at_its_end():
    training = Training(iterations=30, validate_every=20, validate_images=100)
    assert validated(training, 1_600) == 3 * 100
    assert validated(training, 40) == 3 * 40
