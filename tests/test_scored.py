import numpy as np
import pytest

from kit.boxes import iou
from kit.config import CandidateLimits
from kit.data.world import draw_world
from kit.relation.attributes import UNSEEN, object_scores, on_true_boxes
from kit.relation.prior_model import PriorScorer
from kit.relation.scored import score_objects, scored_candidates_table
from kit.relation.scorers import Ensemble
from kit.relation.scoring import predict_relations
from kit.tables.attribute_classes import attribute_classes
from kit.tables.schema import Detections
from kit.tables.shards import read_shard, shard_path, write_shard
from kit.vocabulary import IS, vocabulary
from tests.builders import statistics_of_triplets
from tests.imperfect import imperfect

WIDE = CandidateLimits(boxes=1000, per_image=10_000, per_pair=10_000)


@pytest.fixture(scope="module")
def ensemble():
    prior = PriorScorer(statistics_of_triplets())
    return Ensemble("prior", prior, {"prior": lambda objects, pairs, _: prior.predict_pairs(objects, pairs)})


@pytest.fixture(scope="module")
def found():
    return imperfect(draw_world("val", 10, seed=5).boxes, 6)


def keys(table):
    return sorted(
        (table.images[i], int(p), int(s), int(o), *map(float, b), *map(float, c))
        for i, p, s, o, b, c in zip(
            table.image, table.predicate, table.subject, table.object, table.subject_box, table.object_box,
            strict=True,
        )
    )  # fmt: skip


def test_without_a_budget_every_prediction_is_there(ensemble, found):
    scored = score_objects(ensemble, found, WIDE)
    plain = predict_relations(ensemble, found)
    assert keys(scored) == keys(plain)
    assert vocabulary().allowed[scored.predicate, scored.subject, scored.object].all()
    by_hand = scored.prior * scored.subject_score * scored.object_score
    assert np.sort(by_hand) == pytest.approx(np.sort(plain.score), rel=1e-5)
    assert np.isnan(scored.spatial[scored.predicate != IS]).all()


def test_attribute_detections_take_the_place_of_guesses(ensemble, found):
    kind = vocabulary().attribute_classes.index("Table is Wooden")
    box = np.array([[0.1, 0.1, 0.4, 0.4]], np.float32)
    attributes = Detections((found.images[2],), [0], [kind], [0.7], box)
    scored = score_objects(ensemble, found, WIDE, attributes)
    own = scored.take(scored.predicate == IS)
    assert len(own) == 1
    assert own.images[own.image[0]] == found.images[2]
    assert (own.stack[0], own.object_score[0]) == (np.float32(0.7), 1.0)
    assert np.array_equal(own.subject_box, own.object_box)


def test_the_object_under_an_attribute():
    table = attribute_classes()[0, 0]
    other = (table + 1) % 57
    boxes = np.array([[0, 0, 0.5, 0.5], [0, 0, 0.45, 0.5], [0, 0, 0.5, 0.5], [0.6, 0.6, 1, 1]], np.float32)
    objects = Detections(("a",), [0] * 4, [table, table, other, table], [0.3, 0.6, 0.9, 0.95], boxes)
    found = Detections(("a",), [0, 0], [0, 0], [0.5, 0.5], np.array([[0, 0, 0.5, 0.5], [0.5, 0, 0.9, 0.4]]))
    assert np.allclose(object_scores(found, objects), [0.6, 0.001])


def test_on_true_boxes_the_best_attribute_detection_counts(ensemble):
    world = draw_world("val", 12, seed=5)
    plain = predict_relations(ensemble, world.boxes)
    rng = np.random.default_rng(0)
    pairs = {tuple(pair): i for i, pair in enumerate(attribute_classes().tolist())}
    rows = np.flatnonzero(plain.predicate == IS)
    shown = rng.choice(rows, 3 * len(rows))  # some boxes several times, some never, each a little aside
    label = [pairs[int(plain.subject[i]), int(plain.object[i])] for i in shown]
    box = np.clip(plain.subject_box[shown] + rng.normal(0, 0.03, (len(shown), 4)), 0, 1).astype(np.float32)
    found = Detections(plain.images, plain.image[shown], label, rng.uniform(0.05, 1, len(shown)), box)
    result = on_true_boxes(plain, found)
    detected = 0
    for i in range(len(plain)):
        scores = [
            found.score[j]
            for j, row in enumerate(shown)
            if plain.predicate[i] == IS
            and plain.image[row] == plain.image[i]
            and (plain.subject[row], plain.object[row]) == (plain.subject[i], plain.object[i])
            and iou(found.box[j : j + 1], plain.subject_box[i : i + 1])[0] >= 0.5
        ]
        detected += bool(scores)
        if scores:
            assert result.score[i] == max(scores)
        elif plain.predicate[i] == IS:
            assert result.score[i] == pytest.approx(plain.score[i] * UNSEEN * found.score.min())
        else:
            assert result.score[i] == plain.score[i]
    assert 0 < detected < len(rows)
    unseen = on_true_boxes(plain, Detections.empty()).score
    assert unseen[rows] == pytest.approx(plain.score[rows] * UNSEEN)


def test_scored_pairs_are_shards(ensemble, found, tmp_path):
    scored = score_objects(ensemble, found, WIDE)
    write_shard(tmp_path, 0, scored)
    back = read_shard(shard_path(tmp_path, 0), scored_candidates_table())
    assert keys(back) == keys(scored)
    assert np.array_equal(back.spatial, scored.spatial, equal_nan=True)


def test_nothing_detected(ensemble):
    assert len(score_objects(ensemble, Detections.empty(("a", "b")), WIDE)) == 0
    assert len(score_objects(ensemble, Detections.empty(("a",)), WIDE, Detections.empty(("a",)))) == 0
