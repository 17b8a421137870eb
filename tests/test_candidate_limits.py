import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kit.config import CandidateLimits, Prior
from kit.data.world import draw_world
from kit.relation.candidate_limits import rank_by_geometry, rank_by_prior, top_k_boxes, top_k_pairs
from kit.relation.candidates import pair_candidates
from kit.relation.geometry_prior import geometry_bins, train_geometry_prior
from kit.relation.prior_model import train_prior
from kit.tables.schema import Detections
from kit.vocabulary import IS, PREDICATES, vocabulary
from tests.builders import drawn_split, statistics_of_triplets
from tests.imperfect import imperfect

WORLD = draw_world("val", 12, seed=5).boxes
FOUND = imperfect(WORLD, 6)
BY_PRIOR = rank_by_prior(statistics_of_triplets())
TRAIN = drawn_split("train", 60)
GEOMETRY = train_geometry_prior(TRAIN, train_prior(TRAIN, Prior()))
BY_GEOMETRY = rank_by_geometry(GEOMETRY)
EVERY = CandidateLimits(per_image=10_000, per_pair=10_000)
PLACES = len(PREDICATES) - 1  # every predicate but "is"


def worths(objects, candidates):
    """Every candidate's worth, one by one."""
    prior = np.delete(statistics_of_triplets().prior, IS, axis=0).max(axis=0)
    label, score = objects.label, objects.score
    return [
        prior[label[s], label[o]] * score[s] * score[o]
        for s, o in zip(candidates.subject, candidates.object, strict=True)
    ]


@given(st.integers(1, 8))
def test_the_surest_boxes_of_every_image(most):
    kept = top_k_boxes(FOUND, most)
    for i in range(len(FOUND.images)):
        own, all_ = kept.score[kept.image == i], FOUND.score[FOUND.image == i]
        assert sorted(own) == sorted(np.sort(all_)[::-1][:most])


def test_ground_truth_is_left_alone():
    assert top_k_boxes(WORLD, 1) is WORLD
    few = top_k_pairs(WORLD, BY_PRIOR, CandidateLimits(per_image=1, per_pair=1))
    assert len(few) == len(pair_candidates(WORLD))


@given(st.integers(1, 30), st.integers(1, 4))
def test_the_likeliest_pairs_within_both_budgets(per_image, per_pair):
    kept = top_k_pairs(FOUND, BY_PRIOR, CandidateLimits(per_image=per_image, per_pair=per_pair))
    every = pair_candidates(FOUND)
    worth = np.asarray(worths(FOUND, every))
    label = FOUND.label
    for i in range(len(FOUND.images)):
        groups = {}
        for row in np.flatnonzero(every.image == i):
            key = label[every.subject[row]], label[every.object[row]]
            groups.setdefault(key, []).append(worth[row])
        allowed = sorted((w for g in groups.values() for w in sorted(g)[::-1][:per_pair]), reverse=True)
        mine = kept.take(kept.image == i)
        assert np.allclose(sorted(worths(FOUND, mine), reverse=True), allowed[:per_image])


def geometry_worths(objects, candidates):
    """Every candidate's worth by the geometry prior, and by predicate, one by one."""
    statistics, label, box = GEOMETRY.statistics, objects.label, objects.box
    worths, by_predicate = [], []
    for s, o in zip(candidates.subject, candidates.object, strict=True):
        bin_ = geometry_bins(box[[s]], box[[o]])[0]
        own = {}
        for p in np.flatnonzero(vocabulary().allowed[:, label[s], label[o]]):
            probability = min(1, statistics.prior[p, label[s], label[o]] * GEOMETRY.lift[p, bin_])
            own[p] = probability * (float(objects.score[s]) * float(objects.score[o]))
        worths.append(sum(v / np.sqrt(statistics.related[p].sum() + 5) for p, v in own.items()))
        by_predicate.append(own)
    return worths, by_predicate


def pairs_of(objects, candidates):
    """The candidates by their image's id and their boxes."""
    return [
        (candidates.images[i], *map(float, objects.box[s]), *map(float, objects.box[o]))
        for i, s, o in zip(candidates.image, candidates.subject, candidates.object, strict=True)
    ]


def test_by_geometry_the_best_of_every_predicate_then_the_greatest_sums():
    every = pair_candidates(FOUND)
    worth, by_predicate = geometry_worths(FOUND, every)
    expected = np.array(worth)
    for i in range(len(FOUND.images)):
        rows = np.flatnonzero(every.image == i)
        for p in {p for row in rows for p in by_predicate[row]}:
            expected[max(rows, key=lambda row: by_predicate[row].get(p, -1))] = np.inf
    assert np.allclose(BY_GEOMETRY(FOUND, every), expected)


@given(st.integers(0, 2**31), st.integers(0, 60))
def test_by_geometry_equal_boxes_and_scores_too_are_ranked_as_by_a_plain_loop(seed, n):
    """Few different boxes and scores, so that many pairs are equal: the first of equals leads, bit by bit."""
    rng = np.random.default_rng(seed)
    box = np.asarray([(0, 0, 0.4, 0.9), (0.3, 0.2, 0.8, 1), (0.1, 0.1, 0.3, 0.4)], np.float32)
    image, label = np.sort(rng.integers(0, 4, n)), rng.choice(np.unique(WORLD.label), n)
    score = rng.choice([0.25, 0.5, 0], n)
    objects = Detections(tuple("abcd"), image, label, score, box[rng.integers(0, 3, n)])
    every = pair_candidates(objects)
    _, by_predicate = geometry_worths(objects, every)
    weight = 1 / np.sqrt(GEOMETRY.statistics.related.sum((1, 2)) + 5)
    expected = np.zeros(len(every))
    for row, own in enumerate(by_predicate):
        for p, value in own.items():
            expected[row] += weight[p] * value
    for i in range(4):
        rows = np.flatnonzero(every.image == i)
        for p in {p for row in rows for p in by_predicate[row]}:
            expected[max(rows, key=lambda row: by_predicate[row].get(p, -1))] = np.inf
    assert np.array_equal(BY_GEOMETRY(objects, every), expected)


@given(st.integers(1, 40), st.integers(1, 12))
def test_by_geometry_the_limits_hold_and_every_predicate_keeps_its_best_pair(per_image, per_pair):
    kept = top_k_pairs(FOUND, BY_GEOMETRY, CandidateLimits(per_image=per_image, per_pair=per_pair))
    every = pair_candidates(FOUND)
    label, size = FOUND.label, vocabulary().labels
    kind = (kept.image.astype(np.int64) * size + label[kept.subject]) * size + label[kept.object]
    assert np.bincount(kept.image).max() <= per_image
    assert np.unique(kind, return_counts=True)[1].max() <= per_pair
    if min(per_image, per_pair) < PLACES:
        return
    _, by_predicate = geometry_worths(FOUND, every)
    mine = set(zip(kept.subject.tolist(), kept.object.tolist(), strict=True))
    for i in range(len(FOUND.images)):
        rows = np.flatnonzero(every.image == i)
        for p in {p for row in rows for p in by_predicate[row]}:
            best = max(rows, key=lambda row: by_predicate[row].get(p, -1))
            assert (every.subject[best], every.object[best]) in mine


@given(st.permutations(range(len(FOUND.images))))
def test_the_order_of_the_images_changes_no_ranking(order):
    images = tuple(FOUND.images[i] for i in order)
    turned = FOUND.of_images(images)
    turned = turned.take(np.argsort(turned.image, kind="stable"))
    limits = CandidateLimits(per_image=7, per_pair=3)
    for ranking in (BY_PRIOR, BY_GEOMETRY):
        before, after = (pairs_of(o, top_k_pairs(o, ranking, limits)) for o in (FOUND, turned))
        assert sorted(before) == sorted(after)


def test_no_objects_no_pairs():
    for ranking in (BY_PRIOR, BY_GEOMETRY):
        assert len(top_k_pairs(Detections.empty(("a",)), ranking, EVERY)) == 0


def test_one_pair_is_always_a_candidate():
    s, o = np.argwhere(vocabulary().allowed[0])[0]
    two = Detections(
        ("a",), [0, 0], [s, o], [0.1, 0.2], np.array([[0, 0, 1, 1], [0, 0, 0.5, 0.5]], np.float32)
    )
    for ranking in (BY_PRIOR, BY_GEOMETRY):
        kept = top_k_pairs(two, ranking, CandidateLimits(boxes=1, per_image=100, per_pair=1))
        assert len(kept) == len(pair_candidates(two)) >= 1
