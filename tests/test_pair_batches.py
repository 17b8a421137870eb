from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kit.relation.pair_batches import batches, rows_by_image


@given(st.lists(st.integers(0, 4), max_size=40), st.integers(1, 7))
def test_every_row_once_image_by_image_and_never_too_many(image, most):
    found = rows_by_image(np.asarray(image, np.int32), most)
    assert [row for rows in found for row in rows] == sorted(range(len(image)), key=lambda row: image[row])
    assert all(1 <= len(rows) <= most and len({image[row] for row in rows}) == 1 for rows in found)
    turns = sum(-(-image.count(number) // most) for number in set(image))
    assert len(found) == turns


@given(st.lists(st.integers(0, 9), max_size=40), st.integers(1, 9))
def test_batches_are_full_and_weigh_no_more_than_they_may(weights, most):
    found = list(batches(weights, lambda weight: weight, most))
    assert [weight for batch in found for weight in batch] == weights
    assert all(sum(batch) <= most or len(batch) == 1 for batch in found)
    assert all(sum(batch) + after[0] > most for batch, after in pairwise(found))
    assert all(found)
