"""Growth in blocks: what was killed goes on to the same bytes; dart without drops is gbtree."""

import logging

import numpy as np
import pytest
import xgboost as xgb

from kit.config import Boosting
from kit.relation.boosting import TrainingRows, fit, remove_kept
from kit.relation.boosting_rounds import Growth, Trial, parameters
from kit.relation.features import Features

SETTINGS = {"eta": 0.05, "max_depth": 4, "reg_lambda": 1, "threads": 1, "early_stopping_interval": 20}


def rows(n=900, seed=0, classes=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 8)).astype(np.float32)
    noisy = x[:, 0] + x[:, 1] * x[:, 2] + rng.normal(0, 1, n)
    label = np.digitize(noisy, np.linspace(-1, 1, classes - 1)) if classes else (noisy > 0.8).astype(int)
    return TrainingRows(Features(tuple("abcdefgh"), x), label, np.arange(n), rng.integers(0, 10, n))


def raw(found):
    return found.model.booster.save_raw("ubj")


class KilledError(Exception):
    pass


@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("folds", [1, 3])
@pytest.mark.parametrize(("booster", "rate_drop"), [("gbtree", 0.0), ("dart", 0.2)])
@pytest.mark.parametrize("killed_after", [1, 3, 5])
def test_a_killed_fit_goes_on_to_the_same_bytes(
    tmp_path, monkeypatch, booster, rate_drop, folds, classes, killed_after
):
    more = {
        "booster": booster,
        "rate_drop": rate_drop,
        "folds": folds,
        "subsample": 0.6,
        "colsample_bytree": 0.5,
    }
    settings, data = Boosting(**SETTINGS, rounds=80, patience=9, **more), rows(classes=classes)
    whole = fit(data, settings, 3, classes)
    real, kept = Growth.keep, []

    def dies(self, trial):
        real(self, trial)
        kept.append(self.done)
        if len(kept) == killed_after:
            raise KilledError

    monkeypatch.setattr(Growth, "keep", dies)
    with pytest.raises(KilledError):
        fit(data, settings, 3, classes, name="plays", folder=tmp_path)
    monkeypatch.setattr(Growth, "keep", real)
    fit(rows(seed=5), settings, 8)  # another training in between changes nothing
    again = fit(data, settings, 3, classes, name="plays", folder=tmp_path)
    assert again.loss == whole.loss
    assert raw(again) == raw(whole)
    remove_kept(tmp_path, "plays")
    assert not list(tmp_path.iterdir())


def test_a_fit_that_was_over_grows_no_further(tmp_path, monkeypatch):
    settings, data = Boosting(**SETTINGS, rounds=400, folds=1), rows(300)
    first = fit(data, settings, 0, folder=tmp_path)
    assert max(first.loss) < 400
    monkeypatch.setattr(Growth, "grow", lambda *_: pytest.fail("it grew"))
    assert fit(data, settings, 0, folder=tmp_path).loss == first.loss


def test_a_damaged_file_is_told_and_the_fit_begins_anew(tmp_path, caplog):
    settings, data = Boosting(**SETTINGS, rounds=40, folds=1, patience=9), rows()
    whole = fit(data, settings, 0, folder=tmp_path)
    path = tmp_path / "boosting.trial.npz"
    path.write_bytes(path.read_bytes()[:-200])
    assert raw(fit(data, settings, 0, folder=tmp_path)) == raw(whole)
    assert "it begins anew" in caplog.text


@pytest.mark.parametrize("classes", [0, 3])
def test_dart_without_drops_predicts_what_gbtree_does(classes, caplog):
    """Against XGBoost's own dart, to the last bit, where no random number is drawn."""
    data = rows(classes=classes)
    matrix = data.matrix(np.ones(len(data.label), bool))
    settings = Boosting(**SETTINGS, booster="dart", rate_drop=0, subsample=1, colsample_bytree=1)
    params = parameters(settings, 0, classes)
    assert params["booster"] == "gbtree"
    assert caplog.text.count("trained as gbtree") == 1
    real = xgb.train({**params, "booster": "dart", "rate_drop": 0}, matrix, 60)
    growth = Growth(params, [matrix], None)
    growth.grow(60)
    np.testing.assert_array_equal(growth.boosters[0].predict(matrix), real.predict(matrix))


def test_dart_with_drops_stays_dart_and_a_long_one_is_told(caplog, monkeypatch):
    params = parameters(Boosting(**SETTINGS, booster="dart", rate_drop=0.1), 0, 0)
    assert (params["booster"], params["rate_drop"]) == ("dart", 0.1)
    growth = Growth(params, [rows().matrix(np.ones(900, bool))], None)
    seconds = iter([0.0, 10.0, 10.0, 40.0])
    monkeypatch.setattr("kit.relation.boosting_rounds.time.monotonic", lambda: next(seconds))
    from kit.base.progress import ProgressLine

    line = ProgressLine.__new__(ProgressLine)
    line.total = 5000
    growth.grow(10, line)
    growth.grow(20, line)
    # 1 s a round at first, 3 s ten rounds later: 5000 x (1 + 0.2 x 5000 / 2) s
    assert "about 696 h for 5,000 rounds" in caplog.text


def test_nothing_kept_is_an_empty_trial(tmp_path):
    growth = Growth(
        parameters(Boosting(**SETTINGS), 0, 0), [rows().matrix(np.ones(900, bool))], tmp_path / "a.npz"
    )
    assert growth.resume() == Trial() or growth.resume().value == {}
    assert growth.done == 0


def test_progress_is_told_block_by_block(caplog, monkeypatch):
    monkeypatch.setattr("kit.base.progress.EVERY", 0.0)
    with caplog.at_level(logging.INFO):
        fit(rows(), Boosting(**SETTINGS, rounds=60, folds=1, patience=9), 0, name="spatial-plays")
    assert [r.message.split(":")[1].split(",")[0] for r in caplog.records] == [
        " 0 of 60",
        " 20 of 60",
        " 40 of 60",
        " 60 of 60",
    ]


@pytest.mark.parametrize("classes", [0, 3])
def test_early_stopping_by_average_precision(classes):
    """The value is one minus the AP of the held-out rows, by a plain loop; what is kept is the best of it."""
    settings = Boosting(**SETTINGS, rounds=80, folds=1, patience=9, early_stopping_metric="average_precision")
    data = rows(classes=classes)
    found = fit(data, settings, 0, classes)
    assert found.model.rounds == min(found.loss, key=found.loss.__getitem__)
    held = data.fold == 9
    probability = found.model.predict(Features(data.features.names, data.features.values[held]))
    label = data.label[held]
    if classes:
        expected = np.mean([plain_ap(probability[:, k], label == k) for k in range(classes - 1)])
    else:
        expected = plain_ap(probability, label == 1)
    assert found.loss[found.model.rounds] == pytest.approx(1 - expected, abs=1e-6)


def plain_ap(score, positive):
    """Average precision of distinct scores: precision is made monotone, then summed at every true positive."""
    order = np.argsort(-score, kind="stable")
    hits = np.cumsum(positive[order])
    precision = hits / np.arange(1, len(order) + 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float(best[positive[order]].sum() / positive.sum())
