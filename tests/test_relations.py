import csv
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.metric.judging import InvertedBox
from kit.metric.matching import match_predictions
from kit.metric.relations import evaluate, score, score_and_ties
from kit.tables.official import read_image_labels, read_predictions, read_relations
from kit.tables.schema import Predictions, Relations
from kit.vocabulary import PREDICATES, vocabulary
from tests import reference
from tests.builders import image_labels, predictions, relations
from tests.golden import FAULTY, RELATIONS


def assert_equal(ours, theirs, path=""):
    if isinstance(theirs, dict):
        assert set(ours) == set(theirs), path
        for key, value in theirs.items():
            assert_equal(ours[key], value, f"{path}/{key}")
    elif theirs is None:
        assert math.isnan(ours), path
    else:
        assert ours == pytest.approx(theirs, abs=1e-9), path


def read(folder, form="pred"):
    return (
        read_relations(folder / "gt_vrd.csv"),
        read_predictions(folder / f"{form}.csv"),
        read_image_labels(folder / "gt_labels.csv"),
    )


def test_no_golden_case_is_left_out(golden):
    assert sorted(path.name for path in (golden / "relations").iterdir()) == sorted([*RELATIONS, *FAULTY])


@pytest.mark.parametrize("form", ["pred", "submission"])
@pytest.mark.parametrize("case", RELATIONS)
def test_golden_case_to_1e9(golden, case, form):
    folder = golden / "relations" / case
    expected = json.loads((folder / "expected.json").read_text())
    result = evaluate(*read(folder, form)).as_dict()
    if form == "pred":
        assert_equal(result["counts"], expected["counts"])
    result.pop("counts")
    assert_equal(result, expected["if_argsort_were_stable"])


@pytest.mark.parametrize("case", ["tie_free", "perfect", "nothing_kept"])
def test_without_ties_the_stable_and_the_published_number_agree(golden, case):
    folder = golden / "relations" / case
    expected = json.loads((folder / "expected.json").read_text())
    assert_equal(evaluate(*read(folder)).final_score, expected["final_score"])


@pytest.mark.parametrize("case", ["tie_free", "perfect", "nothing_kept"])
def test_verdicts_and_ranks_row_by_row(golden, case):
    folder = golden / "relations" / case
    truth, predictions, labels = read(folder)
    matches = match_predictions(truth, predictions, labels)
    ours = [("dropped", "dropped", 0)] * len(predictions)
    for i, row in enumerate(matches.rows):
        verdict = [("FP", "TP")[int(matches.true_positive[task][i])] for task in ("relationships", "phrases")]
        ours[row] = (*verdict, int(matches.rank[i]))
    with (folder / "verdicts.csv").open() as file:
        theirs = [(r["relationships"], r["phrases"], int(r["rank_in_image"])) for r in csv.DictReader(file)]
    assert ours == theirs


def test_several_truth_files_are_one_truth(golden):
    truth, predictions, labels = read(golden / "relations" / "mixed")
    half = truth.image < len(truth.images) // 2
    parts = Relations.concat([truth.take(half), truth.take(~half)])
    assert evaluate(parts, predictions, labels).final_score == pytest.approx(
        evaluate(truth, predictions, labels).final_score, abs=1e-12
    )


BOX = st.tuples(
    *[st.sampled_from([0.0, 0.1, 0.2, 0.3, 0.4])] * 2, *[st.sampled_from([0.4, 0.5, 0.6, 1.0])] * 2
)
ROW = st.tuples(st.sampled_from("abc"), st.integers(0, 2), st.integers(1, 3), st.integers(0, 2), BOX, BOX)
SCORED = st.tuples(ROW, st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0, -1.0, 3.0]))
LABEL = st.tuples(st.sampled_from("abc"), st.integers(0, 3))


@settings(max_examples=300, deadline=None)
@given(st.lists(ROW, max_size=8), st.lists(SCORED, min_size=1, max_size=25), st.lists(LABEL, max_size=6))
def test_equals_the_plain_loops_on_any_input(truth, scored, labels):
    table = image_labels(labels)
    ours = evaluate(
        relations(truth), predictions([r for r, _ in scored], [s for _, s in scored]), table
    ).as_dict()
    ours.pop("counts")
    theirs = reference.score(truth, scored, labels, PREDICATES)
    nan_as_none = json.loads(json.dumps(theirs), parse_constant=lambda _: None)
    assert_equal(ours, nan_as_none)


ONE = ("a", 0, 1, 0, (0.0, 0.0, 0.5, 0.5), (0.5, 0.5, 1.0, 1.0))


def test_one_right_prediction_scores_one():
    result = evaluate(relations([ONE]), predictions([ONE], [0.3]))
    assert result.final_score == pytest.approx(1)
    assert result.relationships["AP"] == {PREDICATES[0]: 1.0}


def test_without_truth_every_number_is_nan():
    result = evaluate(Relations.empty(), predictions([ONE], [0.3]))
    assert math.isnan(result.final_score)
    assert result.relationships["AP"] == {}


def test_without_predictions_every_number_is_zero():
    result = evaluate(relations([ONE]), Predictions.empty())
    assert result.final_score == 0


def test_of_equal_predictions_the_last_row_is_right_and_stands_last_in_its_image():
    """So 51 of them leave the truth out of the first 50."""
    for number, recalled in ((50, 1.0), (51, 0.0)):
        matches = match_predictions(relations([ONE]), predictions([ONE] * number, [0.5] * number))
        assert matches.rank.tolist() == list(range(1, number + 1))
        assert matches.true_positive["relationships"].tolist() == [False] * (number - 1) + [True]
        result = score(matches).relationships
        assert (result["Recall@50"], result["Recall@100"]) == (recalled, 1.0)


def test_inverted_box_counts_only_where_the_prediction_counts():
    inverted = ("a", 0, 1, 0, (0.5, 0.0, 0.1, 0.5), (0.5, 0.5, 1.0, 1.0))
    with pytest.raises(InvertedBox, match="subject") as caught:
        evaluate(relations([ONE]), predictions([ONE, inverted], [0.3, 0.2]))
    assert caught.value.row == 1
    dropped = ("a", 7, 8, 0, inverted[4], inverted[5])
    assert evaluate(relations([ONE]), predictions([ONE, dropped], [0.3, 0.2])).final_score == pytest.approx(1)


def test_scores_name_the_predicates_of_the_vocabulary():
    triplets = vocabulary().triplets
    rows = [("a", int(s), int(o), int(p), ONE[4], ONE[5]) for p, s, o in triplets]
    result = score(match_predictions(relations(rows), predictions(rows, np.linspace(0, 1, len(rows)))))
    assert set(result.relationships["AP"]) == set(PREDICATES)
    assert all(ap == 1 for ap in result.relationships["AP"].values())


def test_the_score_and_the_ties_side_by_side_are_those_of_each():
    other = ("b", 0, 1, 0, ONE[4], ONE[5])
    rows, scores = [ONE, other, ONE], [0.5, 0.5, 0.4]
    result, tied = score_and_ties(match_predictions(relations([ONE, other]), predictions(rows, scores)))
    alone = match_predictions(relations([ONE, other]), predictions(rows, scores))
    assert (result, tied) == (score(alone), alone.tied_rows())
    assert tied == 2
