"""Loops measured: a clock that the tests turn by hand gives the expected numbers."""

import pytest

from kit.base.progress import ProgressLine, set_meter, track
from kit.rehearsal.meter import Loop, LoopMeter


@pytest.fixture
def meter(clock):
    """A meter that ends loops after five steady seconds."""
    meter = LoopMeter(5.0, clock.monotonic)
    set_meter(meter)
    yield meter
    set_meter(None)


def work(clock, steps, seconds):
    for step in range(steps):
        clock.turn(seconds[min(step, len(seconds) - 1)])
        yield step


def test_a_loop_that_comes_to_its_end_takes_what_it_took(clock, meter):
    assert list(track(work(clock, 4, [0.5]), 4, "short")) == [0, 1, 2, 3]
    (loop,) = meter.loops
    assert loop.done == 4
    assert loop.whole() == pytest.approx(2.0)
    assert loop.whole(10) == pytest.approx(20.0)
    assert meter.outside == pytest.approx(2.0)


def test_slow_first_steps_are_not_taken_for_the_pace(clock, meter):
    steps = track(work(clock, 1000, [20.0, 4.0, 0.5]), 1000, "long", unit="images", size=4, optional=True)
    done = list(steps)
    (loop,) = meter.loops
    assert len(done) == loop.done
    assert loop.step == pytest.approx(0.5)
    assert loop.whole() == pytest.approx(24 + 998 * 0.5)


def test_a_loop_whose_steps_take_far_too_long_is_ended_after_two(clock, meter):
    """The first may have loaded what all need: the second tells the pace."""
    assert len(list(track(work(clock, 1000, [90.0, 40.0]), 1000, "slow", optional=True))) == 2
    assert meter.loops[0].whole() == pytest.approx(90 + 999 * 40)


def test_a_steady_loop_is_ended_once_enough_is_seen(clock, meter):
    done = list(track(work(clock, 1000, [1.0]), 1000, "long", optional=True))
    assert len(done) == 2 + 5
    assert meter.loops[0].whole() == pytest.approx(1000.0)


def test_a_loop_that_is_needed_whole_is_not_ended(clock, meter):
    assert len(list(track(work(clock, 50, [1.0]), 50, "long"))) == 50


def test_a_loop_that_ends_by_itself_before_its_last_step_was_whole(clock, meter):
    for seconds, expected in ((0.2, 2.2), (3.0, 3000.0)):
        steps = track(work(clock, 1000, [seconds]), 1000, "rounds", optional=True)
        for done, _ in enumerate(steps, 1):
            if done == 11:  # before the eleventh is told
                break
        steps.close()
        assert meter.loops[-1].whole() == pytest.approx(expected)


def test_waiting_for_data_is_told_from_working_on_it(clock, meter):
    for _ in track(work(clock, 6, [3.0]), 6, "fed", data=True):
        clock.turn(1.0)
    (loop,) = meter.loops
    assert loop.wait_share == pytest.approx(0.75)


def test_a_loop_within_a_loop_counts_once(clock, meter):
    for _ in track(range(3), 3, "outer"):
        clock.turn(1.0)
        list(track(work(clock, 4, [2.0]), 4, "inner", times=1))
    inner, outer = [[loop for loop in meter.loops if loop.text == text] for text in ("inner", "outer")]
    assert sum(loop.whole() for loop in inner) == pytest.approx(24.0)
    assert sum(loop.whole() for loop in outer) == pytest.approx(3.0)
    assert meter.outside == pytest.approx(27.0)


def test_steps_in_blocks_and_a_training_that_goes_on(clock, meter):
    line = ProgressLine(5000, "rounds", "rounds")
    line.begin(1000)
    for done in range(1050, 1400, 50):
        clock.turn(1.0)
        line.show(done)
        if line.enough:
            break
    line.close()
    (loop,) = meter.loops
    assert (loop.done, loop.total) == (250, 4000)
    assert loop.whole() == pytest.approx(80.0)


@pytest.mark.parametrize(("total", "seconds"), [(0, 0.0), (1, 7.0), (2, 14.0), (3, 21.0)])
def test_few_steps(clock, meter, total, seconds):
    assert len(list(track(work(clock, total, [7.0]), total, "few"))) == total
    assert meter.loops[0].whole() == pytest.approx(seconds)


def test_how_often_a_loop_runs_counts():
    assert Loop("validate", "images", 8, 10, times=13, done=10, steady=5.0).whole() == pytest.approx(65.0)


def test_without_a_meter_nothing_is_ended():
    assert len(list(track(range(1000), 1000, "all", optional=True))) == 1000


def test_a_part_of_a_loop_is_a_share_of_its_time():
    whole = Loop(
        "detect",
        "images",
        8,
        40,
        1,
        done=40,
        warm=2,
        warm_up=6.0,
        last=2.0,
        steady=76.0,
        waited=4.0,
        rest=2.0,
    )
    part = whole.part(0.25)
    assert (part.seconds, part.step, part.wait_share) == (21.0, 0.5, whole.wait_share)
    assert (part.total, part.done, part.size) == (40, 40, 8)
    assert part.whole(10.0) == pytest.approx(whole.whole(10.0) / 4)
