"""Verdicts, lists and ties of predictions. The golden cases, and what is made of it all: test_relations."""

from hypothesis import given, settings
from hypothesis import strategies as st

from kit.metric.matching import match_predictions
from kit.tables.schema import ImageLabels
from tests import reference
from tests.builders import image_labels, predictions, relations
from tests.test_relations import LABEL, ONE, ROW, SCORED


def test_no_second_choice():
    """The best truth is taken, so the second prediction is wrong although another truth lies under it."""
    near = ("a", 0, 1, 0, (0.0, 0.0, 0.5, 0.4), (0.5, 0.5, 1.0, 1.0))
    truth = relations([ONE, near])
    matches = match_predictions(truth, predictions([ONE, ONE], [0.9, 0.8]))
    assert matches.true_positive["relationships"].tolist() == [True, False]


def test_of_equal_scores_the_higher_triplet_stands_first_in_its_image():
    rows = [("a", s, o, p, ONE[4], ONE[5]) for s in (0, 1) for o in (0, 1) for p in (0, 3)]
    matches = match_predictions(relations(rows), predictions(rows, [0.5] * 8))
    assert matches.rank.tolist() == list(range(8, 0, -1))


@settings(max_examples=100, deadline=None)
@given(st.lists(ROW, max_size=4), st.lists(SCORED, min_size=1, max_size=40), st.lists(LABEL, max_size=6))
def test_the_list_of_every_image_equals_the_plain_loop(truth, scored, labels):
    table = image_labels(labels)
    matches = match_predictions(
        relations(truth), predictions([r for r, _ in scored], [s for _, s in scored]), table
    )
    order = matches.in_image
    for task in ("relationships", "phrases"):
        columns = (matches.score, matches.predicate, matches.true_positive[task])
        ours = list(zip(*(column[order].tolist() for column in columns), strict=True))
        lists = reference.ranked_lists(truth, scored, labels)[task]
        assert ours == [row for image in sorted(lists) for row in lists[image]]


def test_unverified_labels_drop_a_prediction_and_negative_ones_count_against_it():
    other = ("a", 5, 6, 0, ONE[4], ONE[5])
    half = ("a", 0, 6, 0, ONE[4], ONE[5])
    unverified = match_predictions(relations([ONE]), predictions([other, half], [0.5, 0.5]))
    assert len(unverified.rows) == 0
    labels = ImageLabels(("a",), [0], [6])
    assert match_predictions(
        relations([ONE]), predictions([other, half], [0.5, 0.5]), labels
    ).rows.tolist() == [0, 1]


def test_tied_rows_counts_rows_of_one_image_or_predicate():
    other_image = ("b", 0, 1, 0, ONE[4], ONE[5])
    truth = relations([ONE, other_image])
    assert match_predictions(truth, predictions([ONE, other_image], [0.5, 0.5])).tied_rows() == 2
    assert match_predictions(truth, predictions([ONE, other_image], [0.5, 0.4])).tied_rows() == 0


def test_tied_rows_are_counted_among_many():
    rows = [ONE] * 6
    scores = [0.9, 0.5, 0.9, 0.4, 0.5, 0.9]
    assert match_predictions(relations([ONE]), predictions(rows, scores)).tied_rows() == 5


def test_of_equal_scores_the_later_image_comes_first_in_the_curve_whatever_its_triplets():
    rows = [("a", 0, 0, 0, ONE[4], ONE[5]), ("b", 0, 0, 5, ONE[4], ONE[5]), ("b", 0, 0, 3, ONE[4], ONE[5])]
    matches = match_predictions(relations(rows), predictions(rows, [0.5] * 3))
    assert matches.by_score.tolist() == [2, 1, 0]


def test_the_predictions_that_are_kept_have_their_verdicts():
    other = ("b", 0, 1, 0, ONE[4], ONE[5])
    matches = match_predictions(relations([ONE, other]), predictions([ONE, other, ONE], [0.5, 0.4, 0.3]))
    part = matches.subset(matches.image == 0)
    assert part.rows.tolist() == [0, 2]
    assert part.rank.tolist() == [1, 2]
    assert part.true_positive["phrases"].tolist() == [True, False]
