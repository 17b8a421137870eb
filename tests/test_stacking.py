from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, logit

from kit.base.errors import KitError
from kit.config import SCORERS, Prior, Stack, load_config
from kit.relation.model_names import pairwise
from kit.relation.prior_model import PriorScorer, pair_examples
from kit.relation.scorers import Ensemble, stages_of
from kit.relation.stacking import WEIGHTS, Stacker, average, choose_weights, train_stack
from kit.relation.statistics import folds
from kit.vocabulary import IS, PREDICATES, vocabulary
from tests.builders import drawn_split

SETTINGS = Stack(rounds=60, early_stopping_interval=20, max_depth=3, eta=0.1, threads=1)
HALF = np.full(10, 0.5, np.float32)


@pytest.fixture(scope="module")
def tables():
    return drawn_split("stack", 300)


@pytest.fixture(scope="module")
def examples(tables):
    return pair_examples(tables)


def noisy(examples, seed, strength):
    """Scores that know the truth a little."""
    rng = np.random.default_rng(seed)
    z = strength * examples.positive + rng.normal(0, 1, examples.positive.shape) - 2
    allowed = vocabulary().allowed[:, examples.subject, examples.object].T
    return (allowed / (1 + np.exp(-z))).astype(np.float32)


@pytest.fixture(scope="module")
def parts(examples):
    return {"spatial": noisy(examples, 1, 2.0), "visual": noisy(examples, 2, 2.0)}


@pytest.fixture(scope="module")
def statistics(examples):
    return examples.statistics(Prior())


def fitted(tables, examples, parts, statistics, settings=SETTINGS):
    fold = folds(tables.objects.images)[examples.candidates.image]
    return train_stack(examples, tables.objects, fold, parts, HALF, statistics, settings, 0)


def test_predicates_trained_apart_are_those_of_one_training(
    tables, examples, parts, statistics, tmp_path, monkeypatch
):
    fold = folds(tables.objects.images)[examples.candidates.image]
    settings = SETTINGS.model_copy(update={"rounds": 10, "early_stopping_interval": 5})
    for folder in (tmp_path / "whole", tmp_path / "apart"):
        folder.mkdir()
        train = partial(
            train_stack,
            examples,
            tables.objects,
            fold,
            parts,
            HALF,
            statistics,
            settings,
            0,
            folder,
        )
        if folder.name == "apart":
            for name in reversed(pairwise()):
                train(only=name)
            monkeypatch.setattr("xgboost.Booster.update", None)  # no tree is grown again
        train().save(folder)
    one, other = ({p.name: p.read_bytes() for p in (tmp_path / f).iterdir()} for f in ("whole", "apart"))
    assert one == other
    assert len(one) > 3  # of some predicates with trees


def auc(score, hit):
    order = np.argsort(score, kind="stable")
    rank = np.empty(len(score))
    rank[order] = np.arange(len(score))
    n = hit.sum()
    return (rank[hit].sum() - n * (n - 1) / 2) / (n * (len(hit) - n))


@pytest.mark.parametrize("start", ["logistic", "pooled", "mean"])
def test_two_scores_together_are_better_than_each(tables, examples, parts, statistics, start):
    stacker = fitted(tables, examples, parts, statistics, SETTINGS.model_copy(update={"base_margin": start}))
    unseen = drawn_split("val", 200)
    new = pair_examples(unseen)
    own = {"spatial": noisy(new, 3, 2.0), "visual": noisy(new, 4, 2.0)}
    out = stacker.scores(unseen.objects, new.candidates, own)
    for name in ("at", "on", "holds"):
        p = PREDICATES.index(name)
        rows = vocabulary().allowed[p][new.subject, new.object]
        hit = new.positive[rows, p]
        assert auc(out[rows, p], hit) > max(auc(s[rows, p], hit) for s in own.values()) + 0.02
    allowed = vocabulary().allowed[:, new.subject, new.object].T
    assert (out[~allowed] == 0).all()


def test_a_predicate_with_few_rows_keeps_the_average_and_says_so(tables, examples, parts, statistics):
    settings = SETTINGS.model_copy(update={"min_positives": 30, "rounds": 20})
    stacker = fitted(tables, examples, parts, statistics, settings)
    few = [p for p in range(10) if p != IS and examples.positive[:, p].sum() < 30]
    assert few
    out = stacker.scores(tables.objects, examples.candidates, parts)
    for p in few:
        assert "positive row" in stacker.models[PREDICATES[p]].fallback
        assert np.array_equal(out[:, p], average(parts, HALF)[:, p])
        assert stacker.figures()[PREDICATES[p]]["positives"] == examples.positive[:, p].sum()


@pytest.mark.parametrize("folds", [1, 3])
@pytest.mark.parametrize("start", ["logistic", "pooled", "mean"])
def test_where_nothing_beats_the_average_it_stands(tables, examples, statistics, start, folds):
    """Scores that know the truth: what trees or a start without them make of it ranks no better."""
    known = noisy(examples, 1, 14.0)
    update = {"base_margin": start, "folds": folds, "reg_lambda": 1000, "gamma": 2, "rounds": 60}
    settings = SETTINGS.model_copy(update=update)
    stacker = fitted(tables, examples, {"spatial": known, "visual": known}, statistics, settings)
    out = stacker.scores(tables.objects, examples.candidates, {"spatial": known, "visual": known})
    rare = [name for name in PREDICATES if 10 <= examples.positive[:, PREDICATES.index(name)].sum() < 30]
    assert rare
    for name in rare:
        p = PREDICATES.index(name)
        rows = vocabulary().allowed[p][examples.subject, examples.object]
        hit = examples.positive[rows, p]
        assert auc(out[rows, p], hit) >= auc(known[rows, p], hit) - 1e-9
        if start == "mean":
            assert stacker.models[name].fallback
            assert np.array_equal(out[rows, p], known[rows, p])


def plain_logistic(columns, label, toward, pull):
    """Log loss plus pull/2 * distance², by a plain minimizer."""

    def loss(w):
        z = columns @ w[:-1] + w[-1]
        return np.logaddexp(0, np.where(label, -z, z)).sum() + pull / 2 * ((w - toward) ** 2).sum()

    return minimize(loss, toward, method="BFGS", options={"gtol": 1e-6}).x


def test_a_pooled_start_of_few_rows_is_near_that_of_all_and_stands(tables, examples, parts, statistics):
    settings = SETTINGS.model_copy(update={"base_margin": "pooled", "min_positives": 10**6})
    out = fitted(tables, examples, parts, statistics, settings).scores(
        tables.objects, examples.candidates, parts
    )
    rows, columns, label = {}, {}, {}
    for p in range(10):
        if p != IS:
            rows[p] = vocabulary().allowed[p][examples.subject, examples.object]
            columns[p] = np.column_stack([logit(s[rows[p], p].astype(float)) for s in parts.values()])
            label[p] = examples.positive[rows[p], p]
    all_rows = np.concatenate(list(columns.values())), np.concatenate(list(label.values()))
    common = plain_logistic(*all_rows, np.array([0.5, 0.5, 0]), 1)
    distance = {}
    for p, x in columns.items():
        own = plain_logistic(x, label[p], common, 100)
        np.testing.assert_allclose(out[rows[p], p], expit(x @ own[:-1] + own[-1]), rtol=1e-3)
        distance[p] = np.abs(own - common).sum()
        assert not np.allclose(out[rows[p], p], average(parts, HALF)[rows[p], p])
    fewest = min(label, key=lambda p: label[p].sum())
    assert distance[fewest] < np.median(list(distance.values()))


def test_a_pooled_start_of_a_predicate_without_positives(tables, examples, parts, statistics):
    p = PREDICATES.index("hits")
    none = examples.positive.copy()
    none[:, p] = False
    settings = SETTINGS.model_copy(update={"base_margin": "pooled", "rounds": 20})
    stacker = fitted(tables, replace(examples, positive=none), parts, statistics, settings)
    model = stacker.models["hits"]
    assert model.trees is None
    assert not model.fallback
    assert (model.logistic[:2] > 0).all()
    out = stacker.scores(tables.objects, examples.candidates, parts)
    rows = vocabulary().allowed[p][examples.subject, examples.object]
    assert auc(out[rows, p], examples.positive[rows, p]) > 0.8


@pytest.mark.parametrize("start", ["logistic", "pooled"])
def test_saved_and_loaded_gives_the_same(tables, examples, parts, statistics, start, tmp_path):
    settings = SETTINGS.model_copy(update={"base_margin": start})
    stacker = fitted(tables, examples, parts, statistics, settings)
    stacker.save(tmp_path)
    back = Stacker.load(tmp_path, statistics)
    one, two = (s.scores(tables.objects, examples.candidates, parts) for s in (stacker, back))
    assert np.array_equal(one, two)
    assert back.figures() == stacker.figures()
    with pytest.raises(KitError, match="run `kit train stack --force`"):
        Stacker.load(tmp_path / "none", statistics)


def test_without_a_visual_model(tables, examples, parts, statistics, tmp_path):
    alone = {"spatial": parts["spatial"]}
    stacker = fitted(tables, examples, alone, statistics)
    assert not stacker.visual
    stacker.save(tmp_path)
    back = Stacker.load(tmp_path, statistics)
    assert back.scores(tables.objects, examples.candidates, alone).shape == examples.positive.shape
    assert np.array_equal(average(alone, HALF), parts["spatial"])


def test_the_weights_of_the_average_are_the_best_tried():
    parts = {"spatial": np.full((3, 10), 0.2, np.float32), "visual": np.full((3, 10), 0.8, np.float32)}
    best = np.array([0.3, 1.0, 0.0, *[0.5] * 7])

    def ap(score):
        weight = (score[0] - 0.2) / 0.6
        value = 1 - np.abs(weight - best)
        value[9] = np.nan  # no truth
        return value

    weights, tried = choose_weights(parts, ap)
    assert np.allclose(weights, best)
    assert tried.shape == (len(WEIGHTS), 10)


def test_an_ensemble_gives_every_score_once(tables, examples, statistics):
    prior, calls = PriorScorer(statistics), []

    def counted(objects, candidates, scores):
        calls.append(list(scores))
        return prior.predict_pairs(objects, candidates)

    def doubled(objects, candidates, scores):
        return 2 * scores["prior"]

    ensemble = Ensemble("double", prior, {"prior": counted, "double": doubled})
    scores = ensemble.scores(tables.objects, examples.candidates)
    assert list(scores) == ["prior", "double"]
    assert calls == [[]]
    assert np.array_equal(ensemble.predict_pairs(tables.objects, examples.candidates), 2 * scores["prior"])
    assert all("prior" in stages_of(load_config("mini"), name) for name in SCORERS.names)
