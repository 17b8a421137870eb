import hashlib
from dataclasses import replace

import numpy as np
import pytest

from kit.base.errors import KitError
from kit.config import Boosting
from kit.relation.boosted_model import load, save
from kit.relation.boosting import TrainingRows, fit, log_odds
from kit.relation.features import Features
from kit.relation.held_out import log_loss

SMALL = {"rounds": 60, "early_stopping_interval": 20, "threads": 1, "reg_lambda": 1}


def rows(n=600, seed=0, noise=False, classes=0):
    rng = np.random.default_rng(seed)
    x = rng.random((n, 3)).astype(np.float32)
    label = (
        (x[:, 0] > 0.5).astype(int) if not classes else np.digitize(x[:, 0], np.arange(1, classes) / classes)
    )
    if noise:
        label = rng.integers(0, 2, n)
    return TrainingRows(Features(("a", "b", "c"), x), label, np.arange(n), rng.integers(0, 10, n))


@pytest.mark.parametrize("folds", [1, 3])
@pytest.mark.parametrize("booster", ["gbtree", "dart"])
def test_it_learns_and_tells_the_held_out_loss(folds, booster):
    data = rows()
    model = fit(data, Boosting(**SMALL, folds=folds, booster=booster), seed=0).model
    probability = model.predict(data.features)
    assert ((probability > 0.5) == data.label).mean() > 0.95
    assert list(model.loss) == list(range(0, 20 * len(model.loss), 20))
    assert model.rounds == min(model.loss, key=model.loss.__getitem__)
    assert model.booster.num_boosted_rounds() == model.rounds


@pytest.mark.parametrize(("rounds", "block", "tried"), [(30, 50, [0, 30]), (50, 20, [0, 20, 40, 50])])
def test_rounds_that_are_no_multiple_of_a_block(rounds, block, tried):
    model = fit(
        rows(),
        Boosting(rounds=rounds, early_stopping_interval=block, patience=9, reg_lambda=1, eta=0.05),
        seed=0,
    ).model
    assert list(model.loss) == tried


def test_noise_wants_no_tree():
    settings = Boosting(**{**SMALL, "rounds": 200, "early_stopping_interval": 50}, folds=3, max_depth=8)
    data = rows(noise=True)
    start = np.zeros(len(data.label), np.float32)
    assert (
        fit(TrainingRows(data.features, data.label, data.image, data.fold, start), settings, seed=0).model
        is None
    )


def test_the_kept_block_is_the_best_one_even_if_training_went_on():
    data = rows(n=300, seed=3)
    flipped = np.random.default_rng(0).random(300) < 0.25
    noisy = TrainingRows(data.features, np.where(flipped, 1 - data.label, data.label), data.image, data.fold)
    settings = Boosting(**{**SMALL, "rounds": 200}, folds=1, booster="dart", rate_drop=0.2, eta=0.5)
    model = fit(noisy, settings, seed=0).model
    held = noisy.fold == 9
    part = Features(noisy.features.names, noisy.features.values[held])
    assert log_loss(model.predict(part), noisy.label[held]) == pytest.approx(
        model.loss[model.rounds], rel=1e-4
    )
    assert max(model.loss) > model.rounds


def test_classes():
    data = rows(classes=3)
    model = fit(data, Boosting(**SMALL), seed=0, classes=3).model
    probability = model.predict(data.features)
    assert probability.shape == (600, 3)
    assert np.allclose(probability.sum(1), 1, atol=1e-5)
    assert (probability.argmax(1) == data.label).mean() > 0.95


def test_the_start_margin_is_where_no_tree_reaches():
    data = rows()
    margin = log_odds(np.where(data.label == 1, 0.9, 0.1))
    started = TrainingRows(data.features, data.label, data.image, data.fold, margin)
    model = fit(started, Boosting(**SMALL), seed=0).model
    with_start, without = (model.predict(data.features, m) for m in (margin, np.zeros(600, np.float32)))
    assert log_loss(with_start, data.label) < log_loss(without, data.label)


def test_the_same_seed_gives_the_same_model():
    first, second = (
        fit(rows(), Boosting(**SMALL, subsample=0.5), seed=1).model.predict(rows().features) for _ in "ab"
    )
    assert np.array_equal(first, second)


def test_a_saved_model_knows_its_features(tmp_path):
    data = rows()
    model = fit(data, Boosting(**SMALL), seed=0).model
    path = tmp_path / "m.ubj"
    save(model, path)
    back = load(path, ("a", "b", "c"))
    assert np.array_equal(back.predict(data.features), model.predict(data.features))
    with pytest.raises(KitError, match=r"m.ubj was trained on 3 other features .* lacks c and adds d"):
        load(path, ("a", "b", "d"))
    with pytest.raises(KitError, match="is in another order"):
        model.predict(Features(("b", "a", "c"), data.features.values))


def test_what_is_no_model(tmp_path):
    with pytest.raises(KitError, match="no such file"):
        load(tmp_path / "none.ubj", ("a",))
    (tmp_path / "bad.ubj").write_text("x")
    with pytest.raises(KitError, match="its SHA-256 is not beside it; train it again"):
        load(tmp_path / "bad.ubj", ("a",))
    (tmp_path / "bad.ubj.sha256").write_text(f"{hashlib.sha256(b'x').hexdigest()}  bad.ubj\n")
    with pytest.raises(KitError, match="not a model"):
        load(tmp_path / "bad.ubj", ("a",))


def test_a_damaged_model_is_not_given_to_xgboost(tmp_path):
    """It would end the process over some of them."""
    path = tmp_path / "m.ubj"
    save(fit(rows(), Boosting(**SMALL), seed=0).model, path)
    data = path.read_bytes()
    for place in range(0, len(data), 997):
        path.write_bytes(data[:place] + bytes([data[place] ^ 8]) + data[place + 1 :])
        with pytest.raises(KitError, match="damaged: its SHA-256 is another one"):
            load(path, ("a", "b", "c"))


def test_log_odds_by_hand():
    assert log_odds(np.array([0.5, 0.75])) == pytest.approx([0, np.log(3)])


@pytest.mark.parametrize("classes", [0, 3])
def test_rare_noise_wants_no_tree_either(classes):
    """Against the share of the labels, not against the half that XGBoost predicts before its first tree."""
    rng = np.random.default_rng(0)
    data = rows(4000, noise=True)
    label = (rng.random(4000) < 0.01).astype(int) * (rng.integers(1, 3, 4000) if classes else 1)
    data = TrainingRows(data.features, label, data.image, data.fold)
    settings = Boosting(rounds=60, early_stopping_interval=20, threads=1, folds=3, eta=0.3, reg_lambda=1)
    assert fit(data, settings, 0, classes).model is None


def rare(positive_images, seed=0, images=200, per_image=3, informative=True, fold=None):
    """Few images with a positive row; the first feature tells it, or nothing does."""
    rng = np.random.default_rng(seed)
    image = np.repeat(np.arange(images), per_image)
    label = np.zeros(len(image), int)
    label[np.arange(positive_images) * per_image] = 1
    x = rng.random((len(image), 3)).astype(np.float32)
    if informative:
        x[:, 0] += 2 * label
    own = rng.integers(0, 10, images) if fold is None else np.full(images, fold)
    return TrainingRows(Features(("a", "b", "c"), x), label, image, own[image])


@pytest.mark.parametrize("booster", ["gbtree", "dart"])
@pytest.mark.parametrize("folds", [1, 3, 10])
@pytest.mark.parametrize("fold", [None, 0, 9])
def test_a_rare_label_is_always_stopped_and_judged(booster, folds, fold):
    """Wherever its few images lie, all in the held-out tenth or none of them."""
    data = rare(6, fold=fold, informative=False)
    settings = Boosting(
        rounds=5000,
        early_stopping_interval=10,
        folds=folds,
        booster=booster,
        threads=1,
        eta=0.3,
        reg_lambda=1,
    )
    perfect = replace(data, rival=np.where(data.label == 1, 0.6, 0.1).astype(np.float32))
    found = fit(perfect, settings, 0)
    assert found.model is None
    assert found.refused[0]
    assert len(found.loss) < 30


@pytest.mark.parametrize("folds", [1, 3])
def test_trees_that_rank_better_than_the_rival_stay(folds):
    data = rare(9)
    flat = replace(data, rival=np.full(len(data.label), 0.015, np.float32))
    found = fit(flat, Boosting(**SMALL, folds=folds, min_child_weight=0.01), 0)
    assert found.refused == {}
    assert found.verdicts[0].ap > found.verdicts[0].rival_ap + 0.5
    assert found.model.rounds > 0


@pytest.mark.parametrize("n", [0, 1, 2])
@pytest.mark.parametrize("folds", [1, 3])
def test_one_or_two_images_with_positives_are_too_few(n, folds):
    found = fit(rare(n), Boosting(**SMALL, folds=folds), 0)
    assert (found.model, found.loss) == (None, {})
    assert found.refused == {0: f"{n} image{'' if n == 1 else 's'} with a positive row"}


def without(data, rows):
    return TrainingRows(
        Features(data.features.names, data.features.values[rows]),
        data.label[rows],
        data.image[rows],
        data.fold[rows],
    )


@pytest.mark.parametrize("folds", [1, 3])
def test_inputs_that_teach_nothing(folds):
    settings = Boosting(**SMALL, folds=folds)
    data = rare(50)
    nothing, one_image = without(data, slice(0, 0)), without(data, data.image == 0)
    assert fit(nothing, settings, 0).refused == {0: "0 images with a positive row"}
    assert fit(one_image, settings, 0).refused == {0: "1 image with a positive row"}
    positives = without(data, data.label == 1)
    assert fit(positives, settings, 0).refused == {0: "no negative row"}
    assert fit(nothing, settings, 0, classes=3).model is None
    assert fit(one_image, settings, 0, classes=3).model is None
    constant = replace(
        data,
        features=Features(data.features.names, np.ones_like(data.features.values)),
        rival=np.where(data.label == 1, 0.3, 0.2).astype(np.float32),
    )
    assert fit(constant, settings, 0).model is None


@pytest.mark.parametrize("folds", [1, 3])
def test_features_that_are_missing_and_rows_that_come_twice(folds):
    data = rows()
    values = data.features.values.copy()
    values[::7] = np.nan
    values[:, 2] = np.nan
    twice = np.tile(np.arange(len(data.label)), 2)
    gaps = without(replace(data, features=Features(data.features.names, values)), twice)
    probability = fit(gaps, Boosting(**SMALL, folds=folds), 0).model.predict(gaps.features)
    assert np.isfinite(probability).all()
    assert ((probability > 0.5) == gaps.label).mean() > 0.85


@pytest.mark.parametrize("folds", [1, 3])
@pytest.mark.parametrize("classes", [0, 3])
def test_no_rounds_make_no_trees(folds, classes):
    found = fit(rows(classes=classes), Boosting(rounds=0, folds=folds), 0, classes)
    assert found.model is None
    assert set(found.refused) == set(range(max(classes, 1)))


def test_a_longer_patience_goes_on_over_a_worse_block():
    noisy = rare(30, informative=False)
    tried = [
        len(
            fit(
                noisy, Boosting(rounds=500, early_stopping_interval=10, patience=p, eta=0.3, reg_lambda=1), 0
            ).loss
        )
        for p in (1, 4)
    ]
    assert tried == [2, 5]


@pytest.mark.parametrize("folds", [1, 3])
def test_each_class_has_its_own_verdict(folds):
    """The rival knows class 1 perfectly and class 0 not at all; of class 2 there are too few images."""
    data = rows(classes=3)
    label = np.where(data.label == 2, 3, data.label)
    label[:2] = 2
    rival = np.full((len(label), 3), 0.2, np.float32)
    rival[label == 1, 1] = 0.9
    found = fit(replace(data, label=label, rival=rival), Boosting(**SMALL, folds=folds), 0, classes=4)
    assert found.model is not None
    assert set(found.refused) == {1, 2}
    assert found.refused[2] == "2 images with a positive row"
    assert "held-out AP" in found.refused[1]


def test_rows_that_do_not_count_are_not_judged():
    data = rows(classes=3)
    rival = np.full((len(data.label), 2), 0.2, np.float32)
    counts = np.ones(rival.shape, bool)
    counts[:, 1] = data.label == 1
    found = fit(replace(data, rival=rival, counts=counts), Boosting(**SMALL), 0, classes=3)
    assert (found.verdicts[1].ap, found.verdicts[1].rival_ap) == (1, 1)
    assert found.verdicts[0].rival_ap < 0.5


def test_probabilities_that_are_not_finite_are_an_error():
    data = rows()
    start = np.zeros(len(data.label), np.float32)
    start[7] = np.nan
    with pytest.raises(KitError, match="1 of 600 rows are not finite; lower eta"):
        fit(replace(data, margin=start), Boosting(**SMALL, folds=3), seed=0)


@pytest.mark.parametrize("classes", [0, 3])
def test_a_fixed_number_of_threads_gives_one_model(classes):
    data = rows(n=5000, classes=classes)
    settings = Boosting(**{**SMALL, "threads": 2}, folds=1)
    models = [fit(data, settings, 0, classes).model.booster.save_raw("ubj") for _ in range(2)]
    assert models[0] == models[1]
