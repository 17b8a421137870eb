import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.base.errors import KitError
from kit.config import Prior
from kit.relation.geometry_prior import BINS, GeometryPrior, geometry_bins, train_geometry_prior
from kit.relation.prior_model import train_prior
from kit.vocabulary import IS, vocabulary
from tests.builders import drawn_split, statistics_of_triplets

MIDDLE = (0.4, 0.4, 0.6, 0.6)
ON = vocabulary().predicate["on"]


def bin_of(subject, object_):
    (found,) = geometry_bins(np.array([subject], np.float32), np.array([object_], np.float32))
    return int(found)


@pytest.fixture(scope="module")
def world():
    return drawn_split("train", 60)


@pytest.fixture(scope="module")
def model(world):
    return train_geometry_prior(world, train_prior(world, Prior()))


def test_bins_by_hand():
    apart, touching, subject_inside, object_inside = (15 * i for i in range(4))
    beside, above, below = 0, 5, 10
    assert bin_of(MIDDLE, MIDDLE) == object_inside + below  # no way either: the last direction, no distance
    assert bin_of(MIDDLE, (0, 0, 1, 1)) == subject_inside + below
    assert bin_of((0, 0, 1, 1), MIDDLE) == object_inside + below
    assert bin_of(MIDDLE, (0.55, 0.4, 0.75, 0.6)) == touching + beside + 1  # 0.15 by sqrt(0.08): 0.53
    assert bin_of(MIDDLE, (0.4, 0.1, 0.6, 0.3)) == apart + above + 2  # 0.3: 1.06
    assert bin_of(MIDDLE, (0.4, 0.7, 0.6, 0.9)) == apart + below + 2
    assert bin_of((0, 0, 0.1, 0.1), (0.9, 0, 1, 0.1)) == apart + beside + 4


@given(st.lists(st.floats(0, 1, width=32), min_size=8, max_size=8))
def test_every_pair_has_a_bin(corners):
    boxes = np.sort(np.array(corners, np.float32).reshape(2, 2, 2), axis=1).reshape(2, 4)
    assert 0 <= bin_of(*boxes) < BINS


def test_the_lift_is_observed_by_expected(world, model):
    objects, truth = world.objects, world.relations
    verified = world.verified()
    names = [name for name, p in vocabulary().predicate.items() if p != IS]
    observed, expected = np.ones((len(names) + 1, BINS)), np.ones((len(names) + 1, BINS))
    related = {
        (int(i), int(p), tuple(s), tuple(o))
        for i, p, s, o in zip(truth.image, truth.predicate, truth.subject_box, truth.object_box, strict=True)
    }
    for image in range(len(objects.images)):
        rows = [r for r in np.flatnonzero(objects.image == image) if verified[image, objects.label[r]]]
        for s in rows:
            for o in rows:
                if s == o:
                    continue
                bin_ = bin_of(objects.box[s], objects.box[o])
                for p in (vocabulary().predicate[name] for name in names):
                    expected[p, bin_] += model.statistics.prior[p, objects.label[s], objects.label[o]]
                    key = (image, p, tuple(objects.box[s]), tuple(objects.box[o]))
                    observed[p, bin_] += (
                        key in related and vocabulary().allowed[p, objects.label[s], objects.label[o]]
                    )
    assert observed.sum() > observed.size + 20
    assert model.lift == pytest.approx(observed / expected)


def test_the_probability_is_that_of_the_classes_times_the_lift(model):
    lift = model.lift.copy()
    lift[ON, 7], lift[ON, 8] = 0.5, 1e9
    model = GeometryPrior(model.statistics, lift)
    s, o = np.argwhere(vocabulary().allowed[ON])[0]
    pair = (np.array([s, s, o]), np.array([o, o, o]), np.array([7, 8, 7]))
    prior = model.statistics.prior[ON]
    assert model.probability(ON, *pair) == pytest.approx([prior[s, o] / 2, 1, prior[o, o] / 2])


def test_it_is_read_as_it_was_written(model, tmp_path):
    model.save(tmp_path)
    again = GeometryPrior.load(tmp_path, model.statistics)
    assert np.array_equal(again.lift, model.lift)
    GeometryPrior(model.statistics, model.lift[:, 1:]).save(tmp_path)
    with pytest.raises(KitError, match=r"lift\.npz: .*run `kit train all --from geometry-prior`"):
        GeometryPrior.load(tmp_path, model.statistics)
    with pytest.raises(KitError):
        GeometryPrior.load(tmp_path / "none", model.statistics)


def test_without_a_pair_the_prior_stands():
    empty = train_geometry_prior(drawn_split("train", 0), statistics_of_triplets())
    assert (empty.lift == 1).all()
