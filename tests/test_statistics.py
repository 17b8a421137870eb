import zipfile

import numpy as np
import pytest

from kit.base.errors import KitError
from kit.relation.statistics import FOLDS, Statistics, feature_names, folds, without_own_fold
from kit.vocabulary import vocabulary

TRIPLET = vocabulary().triplets[0]
PRED, SUB, OBJ = (int(v) for v in TRIPLET)


def count(n, positive, **smooth):
    hit = np.zeros((n, 10), bool)
    hit[:positive, PRED] = True
    return Statistics.count(np.full(n, SUB), np.full(n, OBJ), hit, *smooth.values())


def test_the_rate_backs_off_to_the_classes_and_to_the_predicate():
    exact = count(10, 4, a=1e-9, b=1e-9)
    assert exact.prior[PRED, SUB, OBJ] == pytest.approx(0.4, abs=1e-6)
    smoothed = count(10, 4, a=5.0, b=20.0)
    whole = (4 + 0.5) / (10 + 1)
    by_class = (4 + 5 * whole) / (10 + 5)
    assert smoothed.subject_rate[PRED, SUB] == pytest.approx(by_class)
    assert smoothed.prior[PRED, SUB, OBJ] == pytest.approx((4 + 20 * by_class) / 30)


def test_what_is_not_allowed_has_no_prior_and_what_was_never_seen_has_one():
    statistics = count(10, 4)
    assert (statistics.prior[~vocabulary().allowed] == 0).all()
    assert (statistics.prior[vocabulary().allowed] > 0).all()
    assert (statistics.prior <= 1).all()


def test_counts_add_and_subtract():
    assert np.array_equal((count(5, 2) + count(7, 1) - count(7, 1)).related, count(5, 2).related)


def test_features_have_their_names():
    statistics = count(10, 4)
    subject, object_ = np.array([SUB, SUB]), np.array([OBJ, OBJ])
    for predicates in ([PRED], [0, 1, 2]):
        values = statistics.features(predicates, subject, object_)
        assert values.shape == (2, len(feature_names(predicates)))
        assert values.dtype == np.float32
    assert statistics.features([PRED], subject, object_)[0, 0] == pytest.approx(
        statistics.prior[PRED, SUB, OBJ]
    )


def test_folds_depend_on_the_id_alone():
    ids = [f"{i:016x}" for i in range(1000)]
    assert np.array_equal(folds(ids)[::-1], folds(ids[::-1]))
    assert set(folds(ids)) == set(range(FOLDS))


def test_a_row_never_sees_its_own_label():
    """Flipping one row's label changes no statistic that this row is given."""
    rng = np.random.default_rng(0)
    n = 200
    fold = rng.integers(0, FOLDS, n)
    subject, object_ = np.full(n, SUB), np.full(n, OBJ)
    hit = np.zeros((n, 10), bool)
    hit[:, PRED] = rng.random(n) < 0.5

    def seen_by(row, hit):
        whole = Statistics.count(subject, object_, hit)
        own = without_own_fold(fold, subject, object_, hit, whole)[fold[row]]
        return own.features([PRED], subject[[row]], object_[[row]])

    for row in (0, 17, 199):
        flipped = hit.copy()
        flipped[row, PRED] ^= True
        assert np.array_equal(seen_by(row, hit), seen_by(row, flipped))
        other = int(np.flatnonzero(fold != fold[row])[0])
        flipped = hit.copy()
        flipped[other, PRED] ^= True
        assert not np.array_equal(seen_by(row, hit), seen_by(row, flipped))


def test_saved_and_loaded(tmp_path):
    statistics = count(10, 4, a=1.0, b=2.0)
    statistics.save(tmp_path / "s.npz")
    back = Statistics.load(tmp_path / "s.npz")
    assert np.array_equal(back.prior, statistics.prior)
    assert (back.smooth_class, back.smooth_pair) == (1.0, 2.0)
    (tmp_path / "bad.npz").write_text("x")
    with pytest.raises(KitError, match="not a statistics file"):
        Statistics.load(tmp_path / "bad.npz")
    with zipfile.ZipFile(tmp_path / "s.npz") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    for damage in (b"'shape': (62, 'shape': (62", b"\0" * 26):  # what a parser of Python raises on it
        with zipfile.ZipFile(tmp_path / "bad.npz", "w") as archive:
            for name, data in members.items():
                archive.writestr(name, data[:60] + damage + data[60 + len(damage) :])
        with pytest.raises(KitError, match="not a statistics file"):
            Statistics.load(tmp_path / "bad.npz")
