import numpy as np
import pytest

from kit.config import Boosting
from kit.errors import KitError
from kit.relation.boosting import Rows, fit, load, log_loss, log_odds
from kit.relation.features import Features

SMALL = {"rounds": 60, "block": 20, "threads": 1, "reg_lambda": 1}


def rows(n=600, seed=0, noise=False, classes=0):
    rng = np.random.default_rng(seed)
    x = rng.random((n, 3)).astype(np.float32)
    label = (
        (x[:, 0] > 0.5).astype(int) if not classes else np.digitize(x[:, 0], np.arange(1, classes) / classes)
    )
    if noise:
        label = rng.integers(0, 2, n)
    return Rows(Features(("a", "b", "c"), x), label, rng.integers(0, 10, n))


@pytest.mark.parametrize("folds", [1, 3])
@pytest.mark.parametrize("booster", ["gbtree", "dart"])
def test_it_learns_and_tells_the_held_out_loss(folds, booster):
    data = rows()
    model = fit(data, Boosting(**SMALL, folds=folds, booster=booster), seed=0)
    probability = model.predict(data.features)
    assert ((probability > 0.5) == data.label).mean() > 0.95
    assert list(model.loss) == list(range(0, 20 * len(model.loss), 20))
    assert model.rounds == min(model.loss, key=model.loss.__getitem__)
    assert model.booster.num_boosted_rounds() == model.rounds


@pytest.mark.parametrize(("rounds", "block", "tried"), [(30, 50, [0, 30]), (50, 20, [0, 20, 40, 50])])
def test_rounds_that_are_no_multiple_of_a_block(rounds, block, tried):
    model = fit(rows(), Boosting(rounds=rounds, block=block, patience=9, reg_lambda=1, eta=0.05), seed=0)
    assert list(model.loss) == tried


def test_noise_wants_no_tree():
    settings = Boosting(**{**SMALL, "rounds": 200, "block": 50}, folds=3, max_depth=8)
    data = rows(noise=True)
    start = np.zeros(len(data.label), np.float32)
    assert fit(Rows(data.features, data.label, data.fold, start), settings, seed=0) is None


def test_the_kept_block_is_the_best_one_even_if_training_went_on():
    data = rows(n=300, seed=3)
    flipped = np.random.default_rng(0).random(300) < 0.25
    noisy = Rows(data.features, np.where(flipped, 1 - data.label, data.label), data.fold)
    settings = Boosting(**{**SMALL, "rounds": 200}, folds=1, booster="dart", rate_drop=0.2, eta=0.5)
    model = fit(noisy, settings, seed=0)
    held = noisy.fold == 9
    part = Features(noisy.features.names, noisy.features.values[held])
    assert log_loss(model.predict(part), noisy.label[held]) == pytest.approx(
        model.loss[model.rounds], rel=1e-4
    )
    assert max(model.loss) > model.rounds


def test_classes():
    data = rows(classes=3)
    model = fit(data, Boosting(**SMALL), seed=0, classes=3)
    probability = model.predict(data.features)
    assert probability.shape == (600, 3)
    assert np.allclose(probability.sum(1), 1, atol=1e-5)
    assert (probability.argmax(1) == data.label).mean() > 0.95


def test_the_start_margin_is_where_no_tree_reaches():
    data = rows()
    margin = log_odds(np.where(data.label == 1, 0.9, 0.1))
    started = Rows(data.features, data.label, data.fold, margin)
    model = fit(started, Boosting(**SMALL), seed=0)
    with_start, without = (model.predict(data.features, m) for m in (margin, np.zeros(600, np.float32)))
    assert log_loss(with_start, data.label) < log_loss(without, data.label)


def test_the_same_seed_gives_the_same_model():
    first, second = (
        fit(rows(), Boosting(**SMALL, subsample=0.5), seed=1).predict(rows().features) for _ in "ab"
    )
    assert np.array_equal(first, second)


def test_a_saved_model_knows_its_features(tmp_path):
    data = rows()
    model = fit(data, Boosting(**SMALL), seed=0)
    path = tmp_path / "m.ubj"
    model.booster.save_model(path)
    back = load(path, ("a", "b", "c"))
    assert np.array_equal(back.predict(data.features), model.predict(data.features))
    with pytest.raises(KitError, match=r"m.ubj was trained on 3 other features .* lacks c and adds d"):
        load(path, ("a", "b", "d"))
    with pytest.raises(KitError, match="is in another order"):
        model.predict(Features(("b", "a", "c"), data.features.values))


def test_what_is_no_model(tmp_path):
    with pytest.raises(KitError, match="not a model"):
        load(tmp_path / "none.ubj", ("a",))
    (tmp_path / "bad.ubj").write_text("x")
    with pytest.raises(KitError, match="not a model"):
        load(tmp_path / "bad.ubj", ("a",))


def test_log_loss_by_hand():
    assert log_loss(np.array([0.5, 0.25]), np.array([1, 0])) == pytest.approx(
        -(np.log(0.5) + np.log(0.75)) / 2
    )
    assert log_loss(np.array([[0.5, 0.5], [0.1, 0.9]]), np.array([0, 1]), 2) == pytest.approx(
        -(np.log(0.5) + np.log(0.9)) / 2
    )
    assert log_odds(np.array([0.5, 0.75])) == pytest.approx([0, np.log(3)])


@pytest.mark.parametrize("classes", [0, 3])
def test_rare_noise_wants_no_tree_either(classes):
    """Against the share of the labels, not against the half that XGBoost predicts before its first tree."""
    rng = np.random.default_rng(0)
    data = rows(4000, noise=True)
    label = (rng.random(4000) < 0.01).astype(int) * (rng.integers(1, 3, 4000) if classes else 1)
    data = Rows(data.features, label, data.fold)
    settings = Boosting(rounds=60, block=20, threads=1, folds=3, eta=0.3, reg_lambda=1)
    assert fit(data, settings, 0, classes) is None


def test_probabilities_that_are_not_finite_are_an_error():
    data = rows()
    start = np.zeros(len(data.label), np.float32)
    start[7] = np.nan
    with pytest.raises(KitError, match="1 of 600 rows are not finite; lower eta"):
        fit(Rows(data.features, data.label, data.fold, start), Boosting(**SMALL, folds=3), seed=0)


@pytest.mark.parametrize("classes", [0, 3])
def test_a_fixed_number_of_threads_gives_one_model(classes):
    data = rows(n=5000, classes=classes)
    settings = Boosting(**{**SMALL, "threads": 2}, folds=1)
    models = [fit(data, settings, 0, classes).booster.save_raw("ubj") for _ in range(2)]
    assert models[0] == models[1]
