import zipfile

import numpy as np
import pytest

from kit.base.errors import KitError
from kit.relation.statistics import CooccurrenceStatistics, feature_names, folds, out_of_fold
from kit.vocabulary import vocabulary

TRIPLET = vocabulary().triplets[0]
PRED, SUB, OBJ = (int(v) for v in TRIPLET)


def count(n, positive, **smooth):
    hit = np.zeros((n, 10), bool)
    hit[:positive, PRED] = True
    return CooccurrenceStatistics.count(np.full(n, SUB), np.full(n, OBJ), hit, *smooth.values())


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


def test_parts_together_are_the_whole():
    rng = np.random.default_rng(0)
    n = 300
    subject, object_ = rng.integers(0, 62, (2, n))
    hit = rng.random((n, 10)) < 0.3
    half = np.arange(n) < 120
    whole, one, two = (
        CooccurrenceStatistics.count(subject[m], object_[m], hit[m]) for m in (half | True, half, ~half)
    )
    for name in ("pair_counts", "related"):
        assert np.array_equal(getattr(one + two, name), getattr(whole, name))
        assert np.array_equal(getattr(whole - one, name), getattr(two, name))


def test_the_usual_pseudo_counts_are_5_of_a_class_and_20_of_a_pair():
    usual, told = count(10, 4), count(10, 4, a=5.0, b=20.0)
    assert np.array_equal(usual.prior, told.prior)
    assert np.array_equal(usual.subject_rate, told.subject_rate)


def test_every_feature_by_hand():
    """Eight pairs of one class pair, five of them related twice, and two more of the subject's class."""
    other = next(int(o) for p, s, o in vocabulary().triplets if s == SUB and o != OBJ)
    second = (PRED + 1) % 9
    hit = np.zeros((10, 10), bool)
    hit[:5, PRED] = hit[:4, second] = True
    subject, object_ = np.full(10, SUB), np.array([OBJ] * 8 + [other] * 2)
    statistics = CooccurrenceStatistics.count(subject, object_, hit)
    rows = np.array([SUB, SUB, OBJ]), np.array([OBJ, other, SUB])
    names = feature_names([PRED])
    column = dict(zip(names, statistics.features([PRED], *rows).T, strict=True))
    assert column["any_relation_rate"] == pytest.approx([1, 0, 0])  # nine relations on eight pairs: at most 1
    assert column["share_of_subject_pairs"] == pytest.approx([0.8, 0.2, 0])
    assert column["log_pairs"] == pytest.approx(np.log([9, 3, 1]))
    assert column["log_subject_pairs"] == pytest.approx(np.log([11, 11, 1]))
    assert column["log_object_pairs"] == pytest.approx(np.log([9, 3, 1]))
    whole = 5.5 / 11
    assert column["subject_rate"][:2] == pytest.approx([(5 + 5 * whole) / 15] * 2)
    assert column["object_rate"][:2] == pytest.approx([(5 + 5 * whole) / 13, 5 * whole / 7])
    fewer = CooccurrenceStatistics.count(subject[3:], object_[3:], hit[3:])
    column = dict(zip(names, fewer.features([PRED], *rows).T, strict=True))
    assert column["any_relation_rate"] == pytest.approx([3 / 5, 0, 0])


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
    assert set(folds(ids)) == set(range(10))


def test_a_row_never_sees_its_own_label():
    """Flipping one row's label changes no statistic that this row is given."""
    rng = np.random.default_rng(0)
    n = 200
    fold = rng.integers(0, 10, n)
    subject, object_ = np.full(n, SUB), np.full(n, OBJ)
    hit = np.zeros((n, 10), bool)
    hit[:, PRED] = rng.random(n) < 0.5

    def seen_by(row, hit):
        whole = CooccurrenceStatistics.count(subject, object_, hit)
        own = out_of_fold(fold, subject, object_, hit, whole)[fold[row]]
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
    back = CooccurrenceStatistics.load(tmp_path / "s.npz")
    assert np.array_equal(back.prior, statistics.prior)
    assert (back.smooth_class, back.smooth_pair) == (1.0, 2.0)
    (tmp_path / "bad.npz").write_text("x")
    with pytest.raises(KitError, match="not a statistics file"):
        CooccurrenceStatistics.load(tmp_path / "bad.npz")
    with zipfile.ZipFile(tmp_path / "s.npz") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    for damage in (b"'shape': (62, 'shape': (62", b"\0" * 26):  # what a parser of Python raises on it
        with zipfile.ZipFile(tmp_path / "bad.npz", "w") as archive:
            for name, data in members.items():
                archive.writestr(name, data[:60] + damage + data[60 + len(damage) :])
        with pytest.raises(KitError, match="not a statistics file"):
            CooccurrenceStatistics.load(tmp_path / "bad.npz")
