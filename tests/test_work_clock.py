"""The clock of work: turned by hand."""

import pytest

from kit.rehearsal.work_clock import WorkClock


def test_pauses_do_not_count_and_one_inside_another_is_one(clock):
    work = WorkClock()
    begun = work.now()
    clock.turn(2.0)
    with work.pause():
        clock.turn(5.0)
        assert work.now() - begun == 2.0
        with work.pause():
            clock.turn(7.0)
        clock.turn(11.0)
        assert work.now() - begun == 2.0
    clock.turn(3.0)
    assert work.now() - begun == 5.0


def test_an_error_ends_a_pause(clock):
    work = WorkClock()
    begun = work.now()
    with pytest.raises(ValueError, match="wrong"), work.pause():
        raise ValueError("wrong")
    clock.turn(1.0)
    assert work.now() - begun == 1.0
