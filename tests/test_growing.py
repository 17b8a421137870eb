"""Numbers that come in parts."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kit.base.growing import Growing


@given(st.lists(st.lists(st.integers(-9, 9), max_size=20), max_size=12))
def test_all_parts_one_after_the_other(parts):
    growing = Growing(np.int32)
    for part in parts:
        growing.extend(np.array(part, np.int64))
    whole = growing.done()
    assert whole.dtype == np.int32
    assert whole.tolist() == [number for part in parts for number in part]


def test_the_room_is_an_eighth_larger_than_what_is_needed_and_then_no_larger():
    growing = Growing(np.float64)
    growing.extend(np.arange(8_000.0))
    growing.extend(np.arange(500.0))
    assert growing._values.size == 9_000
    whole = growing.done()
    assert (whole.base, whole.nbytes) == (None, 8 * 8_500)


def test_what_was_given_out_stays_when_more_comes():
    growing = Growing(np.int64)
    growing.extend(np.arange(3))
    first = growing.done()
    growing.extend(np.array([7]))
    assert first.tolist() == [0, 1, 2]
    assert growing.done().tolist() == [7]
    assert growing.done().tolist() == []
