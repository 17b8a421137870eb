import numpy as np
import pytest

from kit.base.errors import KitError
from kit.config import Prior, Spatial
from kit.data.split_tables import SplitTables
from kit.data.world import draw_world
from kit.metric.relations import evaluate
from kit.relation.candidates import attribute_candidates, pair_candidates
from kit.relation.model_names import MULTICLASS, POOLED
from kit.relation.prior_model import PriorScorer, attribute_examples, pair_examples, train_prior
from kit.relation.scoring import predict_relations, shards
from kit.relation.spatial_model import SpatialScorer, train_spatial
from kit.tables.schema import Boxes, Detections, Relations
from kit.vocabulary import IS, vocabulary
from tests.builders import drawn_split

HITS = vocabulary().predicate["hits"]
SETTINGS = Spatial(rounds=40, early_stopping_interval=20, threads=1)


@pytest.fixture(scope="module")
def train():
    return drawn_split("train", 400)


@pytest.fixture(scope="module")
def val():
    return drawn_split("val", 100)


@pytest.fixture(scope="module")
def statistics(train):
    return train_prior(train, Prior())


WAYS = ({}, {"pooled_weight": 0.4}, {"objective": "multiclass"})


@pytest.fixture(scope="module", params=WAYS, ids=str)
def scorer(request, train, statistics):
    return train_spatial(train, statistics, SETTINGS.model_copy(update=request.param), seed=0)


def mean_ap(scorer, tables):
    return evaluate(tables.relations, predict_relations(scorer, tables.objects), tables.labels).relationships[
        "mAP"
    ]


def test_geometry_beats_the_prior(scorer, statistics, val):
    assert mean_ap(scorer, val) > mean_ap(PriorScorer(statistics), val) + 0.1


def test_scores_are_probabilities_of_allowed_triplets(scorer, val):
    pairs = pair_candidates(val.objects)
    score = scorer.predict_pairs(val.objects, pairs)
    label = val.objects.label
    allowed = vocabulary().allowed[:, label[pairs.subject], label[pairs.object]].T
    assert (score[~allowed] == 0).all()
    assert ((score[allowed] > 0) & (score[allowed] < 1)).all()
    attributes = scorer.predict_attributes(val.objects, attribute_candidates(val.objects))
    assert ((attributes > 0) & (attributes < 1)).all()


def test_saved_and_loaded_gives_the_same(scorer, val, tmp_path):
    scorer.save(tmp_path)
    back = SpatialScorer.load(tmp_path)
    pairs = pair_candidates(val.objects)
    assert np.array_equal(back.predict_pairs(val.objects, pairs), scorer.predict_pairs(val.objects, pairs))
    assert (back.rounds, back.standing) == (scorer.rounds, scorer.standing)


def test_the_number_of_models(scorer):
    wanted = {MULTICLASS, "is"} if scorer.settings.objective == "multiclass" else set(vocabulary().predicates)
    assert set(scorer.rounds) == wanted | ({POOLED} if scorer.settings.pooled_weight else set())


def test_no_objects_no_scores(scorer, statistics):
    nothing = Boxes.empty(("a",))
    for s in (scorer, PriorScorer(statistics)):
        assert s.predict_pairs(nothing, pair_candidates(nothing)).shape == (0, 10)
        assert len(predict_relations(s, nothing)) == 0


def test_a_predicate_never_seen_keeps_its_prior(train, statistics, val):
    hits = vocabulary().predicate["hits"]
    less = SplitTables(train.relations.take(train.relations.predicate != hits), train.objects, train.labels)
    prior = train_prior(less, Prior())
    model = train_spatial(less, prior, SETTINGS, seed=0)
    assert model.rounds["hits"] == 0
    pairs = pair_candidates(val.objects)
    score = model.predict_pairs(val.objects, pairs)[:, hits]
    assert np.allclose(score, PriorScorer(prior).predict_pairs(val.objects, pairs)[:, hits])


def less_of(train, predicate, images):
    """The split with the predicate in so many images only."""
    rows = train.relations.predicate == predicate
    keep = np.unique(train.relations.image[rows])[:images]
    gone = rows & ~np.isin(train.relations.image, keep)
    return SplitTables(train.relations.take(~gone), train.objects, train.labels)


@pytest.mark.parametrize("objective", ["binary", "multiclass"])
@pytest.mark.parametrize("folds", [1, 3])
def test_a_predicate_of_two_images_keeps_its_prior_and_says_why(train, val, objective, folds, tmp_path):
    less = less_of(train, HITS, 2)
    prior = train_prior(less, Prior())
    settings = SETTINGS.model_copy(update={"objective": objective, "folds": folds, "rounds": 20})
    model = train_spatial(less, prior, settings, seed=0)
    assert model.standing["hits"] == "2 images with a positive row"
    assert "at" not in model.standing
    model.save(tmp_path)
    pairs = pair_candidates(val.objects)
    own = PriorScorer(prior).predict_pairs(val.objects, pairs)
    for scorer in (model, SpatialScorer.load(tmp_path)):
        score = scorer.predict_pairs(val.objects, pairs)
        assert np.array_equal(score[:, HITS], own[:, HITS])
        assert not np.array_equal(score[:, 0], own[:, 0])


@pytest.mark.parametrize("objective", ["binary", "multiclass"])
@pytest.mark.parametrize("images", [0, 1])
def test_nothing_or_one_image_to_learn_from(train, val, objective, images):
    ids = train.objects.images[:images]
    few = SplitTables(train.relations.of_images(ids), train.objects.of_images(ids), train.labels)
    prior = train_prior(few, Prior())
    settings = SETTINGS.model_copy(update={"objective": objective})
    model = train_spatial(few, prior, settings, seed=0)
    assert set(model.standing) == set(vocabulary().predicates)
    pairs = pair_candidates(val.objects)
    assert np.array_equal(
        model.predict_pairs(val.objects, pairs), PriorScorer(prior).predict_pairs(val.objects, pairs)
    )


def test_the_pooled_model_joins_in_by_its_weight_in_the_log_odds(train, statistics, val):
    pairs = pair_candidates(val.objects)
    label = val.objects.label
    allowed = np.delete(vocabulary().allowed, IS, axis=0)[:, label[pairs.subject], label[pairs.object]].T
    log_odds = []
    for weight in (0, 0.25, 1):
        settings = SETTINGS.model_copy(update={"pooled_weight": weight, "rounds": 20})
        score = train_spatial(train, statistics, settings, seed=0).predict_pairs(val.objects, pairs)
        p = np.delete(score, IS, axis=1)[allowed].astype(np.float64)
        log_odds.append(np.log(p / (1 - p)))
    own, blended, pooled = log_odds
    assert np.abs(own - pooled).max() > 0.1
    assert np.allclose(blended, 0.75 * own + 0.25 * pooled, atol=1e-3)


def test_what_other_predicates_teach_helps_one_of_two_images(train, val):
    less = less_of(train, HITS, 2)
    prior = train_prior(less, Prior())
    own, pooled = (
        train_spatial(less, prior, SETTINGS.model_copy(update={"pooled_weight": weight}), seed=0)
        for weight in (0, 0.4)
    )
    assert own.standing.keys() == pooled.standing.keys() == {"hits"} | own.standing.keys()
    ap = [
        evaluate(val.relations, predict_relations(s, val.objects), val.labels).relationships["AP"]["hits"]
        for s in (own, pooled)
    ]
    assert ap[1] > ap[0] + 0.05


def test_rows_that_come_twice_change_nothing(train, statistics, val):
    twice = SplitTables(Relations.concat([train.relations] * 2), train.objects, train.labels)
    again = train_prior(twice, Prior())
    assert np.array_equal(again.prior, statistics.prior)
    settings = SETTINGS.model_copy(update={"rounds": 10})
    one, two = (train_spatial(t, statistics, settings, seed=0) for t in (train, twice))
    pairs = pair_candidates(val.objects)
    assert np.array_equal(one.predict_pairs(val.objects, pairs), two.predict_pairs(val.objects, pairs))


def test_loading_what_is_not_there(tmp_path):
    with pytest.raises(KitError, match=r"models.json: no such file; run `kit train spatial --force`"):
        SpatialScorer.load(tmp_path)


def test_examples_count_only_verified_labels(train):
    pairs, attributes = pair_examples(train), attribute_examples(train)
    assert pairs.positive[:, IS].sum() == 0
    assert pairs.positive.any(axis=1).sum() > 0
    verified = train.verified()
    assert verified[attributes.candidates.image, attributes.object].all()
    without = SplitTables(train.relations, train.objects, None)
    assert len(pair_examples(without).candidates) < len(pairs.candidates)


def test_detection_scores_multiply(statistics):
    boxes = draw_world("test", 5, seed=2).boxes
    sure = Detections(boxes.images, boxes.image, boxes.label, np.ones(len(boxes)), boxes.box)
    half = Detections(boxes.images, boxes.image, boxes.label, np.full(len(boxes), 0.5), boxes.box)
    prior = PriorScorer(statistics)
    full, less, plain = (predict_relations(prior, o) for o in (sure, half, boxes))
    attribute = full.predicate == IS
    assert np.allclose(less.score, full.score * np.where(attribute, 0.5, 0.25))
    assert np.array_equal(plain.score, full.score)


def test_shards_cover_all_images_in_order():
    boxes = draw_world("test", 25, seed=2).boxes
    parts = list(shards(boxes, pairs=150))
    for part in parts:
        own = np.bincount(part.image, minlength=len(part.images))
        assert (own**2 + 1).sum() <= 150 or len(part.images) == 1
    assert len(parts) > 5
    assert len(list(shards(boxes))) == 1
    assert [p.images for p in shards(Boxes.empty(("a", "b")))] == [("a", "b")]
    assert sum((p.images for p in parts), ()) == boxes.images
    assert sum(len(p) for p in parts) == len(boxes)
