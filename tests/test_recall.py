import numpy as np
import pytest

from kit.config import SCORERS
from kit.relation.recall import pair_recall
from kit.relation.scored import scored_candidates_table
from kit.tables.schema import Detections, Relations
from kit.vocabulary import IS, vocabulary

LABEL = {name: i for i, name in enumerate(vocabulary().names)}
MAN, CAR, WOODEN, TABLE = (LABEL[n] for n in ("Man", "Car", "Wooden", "Table"))
LEFT, RIGHT, FAR = (0, 0, 0.4, 1), (0.5, 0, 0.9, 1), (0.6, 0.6, 0.7, 0.7)


def relations(kind, rows, **columns):
    """Rows of (subject, object, predicate, subject box, object box) in one image."""
    s, o, p, one, two = zip(*rows, strict=True)
    return kind(
        images=("a",), image=np.zeros(len(rows)), subject=np.array(s), object=np.array(o),
        predicate=np.array(p), subject_box=np.array(one), object_box=np.array(two), **columns,
    )  # fmt: skip


def test_by_hand():
    truth = relations(
        Relations,
        [
            (MAN, CAR, 0, LEFT, RIGHT),  # both found, and a candidate
            (MAN, CAR, 1, LEFT, FAR),  # the car is not found there
            (TABLE, WOODEN, IS, FAR, FAR),  # found, no candidate
        ],
    )
    found = Detections(
        ("a",), [0, 0, 0], [MAN, CAR, TABLE], [0.9, 0.8, 0.7], np.array([LEFT, RIGHT, FAR], np.float32)
    )
    rows = [(MAN, CAR, 0, LEFT, RIGHT), (MAN, CAR, 0, RIGHT, LEFT)]
    p = np.array([0.1, 0.9])
    scored = relations(
        scored_candidates_table(),
        rows,
        subject_score=np.ones(2),
        object_score=np.ones(2),
        **dict.fromkeys(SCORERS.names, p),
    )
    recall = pair_recall(truth, found, scored)
    assert next(iter(recall)) == "all"
    assert recall["at"] == {"n": 1, "detected": 1.0, "candidate": 1.0} | {
        f"candidate@{k}": 1.0 for k in (10, 25, 50, 100)
    }
    assert (recall["on"]["detected"], recall["on"]["candidate"]) == (0.0, 0.0)
    assert (recall["is"]["detected"], recall["is"]["candidate"]) == (1.0, 0.0)
    assert recall["all"]["n"] == 3
    many = [(MAN, CAR, 0, RIGHT, LEFT)] * 12 + [(MAN, CAR, 0, LEFT, RIGHT)]
    p = np.r_[np.full(12, 0.9), 0.1]
    scored = relations(
        scored_candidates_table(),
        many,
        subject_score=np.ones(13),
        object_score=np.ones(13),
        **dict.fromkeys(SCORERS.names, p),
    )
    own = pair_recall(truth, found, scored)["at"]
    assert (own["candidate@10"], own["candidate@25"]) == (0.0, 1.0)


@pytest.mark.parametrize("k", [10, 25, 50, 100])
@pytest.mark.parametrize(("before", "within"), [(-1, 1.0), (0, 0.0)])
def test_the_candidate_behind_k_others_is_not_among_the_first_k(k, before, within):
    truth = relations(Relations, [(MAN, CAR, 0, LEFT, RIGHT)])
    n = k + before
    p = np.r_[np.full(n, 0.9), 0.1]
    rows = [(MAN, CAR, 0, RIGHT, LEFT)] * n + [(MAN, CAR, 0, LEFT, RIGHT)]
    ones = np.ones(n + 1)
    scored = relations(
        scored_candidates_table(),
        rows,
        subject_score=ones,
        object_score=ones,
        **dict.fromkeys(SCORERS.names, p),
    )
    own = pair_recall(truth, Detections.empty(), scored)["at"]
    assert own[f"candidate@{k}"] == within
    assert own["candidate"] == 1.0


@pytest.mark.parametrize(("side", "there"), [(0.5, 1.0), (0.4999, 0.0)])
def test_a_box_is_found_from_an_overlap_of_a_half_on(side, there):
    truth = relations(Relations, [(MAN, CAR, 0, (0, 0, 1, 1), (0, 0, 1, 1))])
    box = (0, 0, side, 1)
    found = Detections(("a",), [0, 0], [MAN, CAR], [0.9, 0.8], np.array([box, box], np.float32))
    one = np.ones(1)
    rows = [(MAN, CAR, 0, box, box)]
    scored = relations(
        scored_candidates_table(),
        rows,
        subject_score=one,
        object_score=one,
        **dict.fromkeys(SCORERS.names, one),
    )
    own = pair_recall(truth, found, scored)["all"]
    assert (own["detected"], own["candidate"]) == (there, there)


def test_the_order_is_by_the_prior_and_both_detection_scores():
    truth = relations(Relations, [(MAN, CAR, 0, LEFT, RIGHT)])
    rows = [(MAN, CAR, 0, RIGHT, LEFT)] * 10 + [(MAN, CAR, 0, LEFT, RIGHT)]
    columns = {name: np.full(11, 0.5) for name in ("subject_score", "object_score", *SCORERS.names)}
    for name, within in (("subject_score", 1), ("object_score", 1), ("prior", 1), ("stack", 0)):
        column = np.r_[np.full(10, 0.5), 0.6]
        scored = relations(scored_candidates_table(), rows, **{**columns, name: column})
        assert pair_recall(truth, Detections.empty(), scored)["at"]["candidate@10"] == within


def test_nothing_found():
    truth = relations(Relations, [(MAN, CAR, 0, LEFT, RIGHT)])
    recall = pair_recall(truth, Detections.empty(), scored_candidates_table().empty())
    assert recall["all"]["detected"] == recall["all"]["candidate"] == 0.0
