import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kit.config import CandidateLimits
from kit.data.world import draw_world
from kit.relation.candidate_limits import top_k_boxes, top_k_pairs
from kit.relation.candidates import pair_candidates
from kit.tables.schema import Detections
from kit.vocabulary import IS
from tests.builders import statistics_of_triplets
from tests.imperfect import imperfect

WORLD = draw_world("val", 12, seed=5).boxes
FOUND = imperfect(WORLD, 6)


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
    few = top_k_pairs(WORLD, statistics_of_triplets(), CandidateLimits(per_image=1, per_pair=1))
    assert len(few) == len(pair_candidates(WORLD))


@given(st.integers(1, 30), st.integers(1, 4))
def test_the_likeliest_pairs_within_both_budgets(per_image, per_pair):
    kept = top_k_pairs(
        FOUND, statistics_of_triplets(), CandidateLimits(per_image=per_image, per_pair=per_pair)
    )
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


def test_no_objects_no_pairs():
    assert len(top_k_pairs(Detections.empty(("a",)), statistics_of_triplets(), CandidateLimits())) == 0
