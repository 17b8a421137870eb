"""Predictions judged in chunks: whatever the chunks, the same verdicts. The rules themselves: test_relations."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.metric import judging
from kit.metric.judging import TASKS, InvertedBox
from kit.metric.matching import match_predictions
from kit.tables.schema import Predictions
from tests.builders import image_labels, predictions, relations
from tests.test_relations import LABEL, ONE, ROW, SCORED

BACKWARDS = (0.5, 0.0, 0.1, 0.5)


def verdicts(matches):
    columns = {task: matches.true_positive[task].tolist() for task in TASKS}
    for name in ("known", "rows", "image", "triplet", "score", "truth_image", "by_score", "in_image"):
        columns[name] = getattr(matches, name).tolist()
    return columns | {"images": matches.images, "counts": matches.counts, "tied": matches.tied_rows()}


@settings(max_examples=200, deadline=None)
@given(
    st.lists(ROW, max_size=6),
    st.lists(SCORED, max_size=30),
    st.lists(LABEL, max_size=6),
    st.lists(st.integers(0, 30), max_size=4),
    st.integers(1, 9),
)
def test_tables_in_parts_and_chunks_of_any_size_give_the_same(truth, scored, labels, cuts, chunk):
    verified = image_labels(labels)
    whole = predictions([row for row, _ in scored], [score for _, score in scored])
    bounds = [0, *sorted(min(cut, len(scored)) for cut in cuts), len(scored)]
    parts = [
        predictions([row for row, _ in part], [score for _, score in part])
        for part in (scored[start:stop] for start, stop in pairwise(bounds))
    ]
    expected = verdicts(match_predictions(relations(truth), whole, verified))
    assert verdicts(match_predictions(relations(truth), iter(parts), verified)) == expected
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judging, "CHUNK", chunk)
        assert verdicts(match_predictions(relations(truth), whole, verified)) == expected


@pytest.mark.parametrize("parts", [[], [Predictions.empty()], [Predictions.empty(("a", "z"))]])
def test_no_prediction_at_all(parts):
    matches = match_predictions(relations([ONE], ("a",)), parts)
    assert matches.counts["pred_rows"] == matches.counts["pred_images"] == len(matches.rows) == 0
    assert matches.images == ("a", *(("z",) if parts and parts[0].images else ()))


def test_the_first_inverted_box_that_counts_is_named_by_its_row_among_all():
    inverted = [("a", 0, 1, 0, BACKWARDS, ONE[5]), ("a", 0, 1, 0, ONE[4], BACKWARDS)]
    uncounted = ("a", 7, 8, 0, BACKWARDS, BACKWARDS)
    first = predictions([ONE, uncounted], [0.5, 0.4])
    for second, side in ((inverted, "subject"), (inverted[::-1], "object")):
        tables = [first, predictions(second, [0.3, 0.2])]
        with pytest.raises(InvertedBox, match=f"prediction 2: the {side} box") as caught:
            match_predictions(relations([ONE]), tables)
        assert (caught.value.row, caught.value.side) == (2, side)


def test_images_without_truth_and_labels_are_counted_once_over_all_tables():
    other, third = (("x", *ONE[1:]), ("y", *ONE[1:]))
    tables = [
        predictions([ONE, other], [0.5, 0.4], ("a", "x")),
        predictions([other, third], [0.3, 0.2], ("x", "y")),
    ]
    matches = match_predictions(relations([ONE], ("a",)), tables)
    assert matches.images == ("a", "x", "y")
    assert matches.known.tolist() == [0]
    assert (matches.counts["pred_images"], matches.counts["pred_images_without_gt"]) == (3, 2)
    assert np.array_equal(matches.rows, [0])
