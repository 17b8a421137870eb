"""A worker's stages: made together where a run makes them together, each with its share of the time."""

import pytest

from kit.base.errors import KitError
from kit.base.progress import track
from kit.pipeline.pipeline import Pipeline
from kit.pipeline.stage import Stage, Together
from kit.rehearsal.loading import Loading
from kit.rehearsal.work_clock import WorkClock
from kit.rehearsal.worker import Measured, Stopwatch, WatchedRun


@pytest.fixture
def run(run):
    """A run that says when its stages work."""
    return WatchedRun(run.config, run.path)


def lines(pipeline, names, *, twice=False):
    """What a stopwatch says of stages."""
    clock = WorkClock()
    return list(Stopwatch(pipeline, pipeline.run, clock, Loading(clock)).measure(names, 1e9, twice))


def pair(run, alone, together):
    """Two stages that one work makes."""
    return Pipeline(run, [Stage(name, alone, together=Together("detect", together)) for name in ("a", "b")])


def test_stages_made_together_share_the_time(run, clock):
    def together(contexts):
        clock.turn(1.0)
        for i in track(range(4), 4, "detect", unit="images", size=2):
            clock.turn(2.0 if i else 8.0)
        for context in contexts:
            (context.path / "file.txt").write_text("0123456789")
        return [{} for _ in contexts]

    begun, first, second = lines(pair(run, None, together), ["a", "b"])
    assert begun == ["a", "b"]
    assert (first.stage, second.stage) == ("a", "b")
    assert first.disk == second.disk == 10
    assert (first.seconds, first.outside, first.again) == (7.5, 0.5, None)
    (loop,) = first.loops
    assert (loop.total, loop.done, loop.size, loop.seconds, loop.step) == (4, 4, 2, 7.0, 1.0)
    assert second.loops == first.loops


def test_a_group_is_done_a_second_time_where_much_is_outside_of_loops(run, clock):
    times = iter((6.0, 4.0))

    def together(contexts):
        clock.turn(next(times))
        return [{} for _ in contexts]

    _, first, second = lines(pair(run, None, together), ["a", "b"], twice=True)
    assert (first.seconds, first.outside, first.again) == (3.0, 3.0, 2.0)
    assert second.again == 2.0


def test_what_fails_the_second_time_has_failed(run, clock):
    calls = []

    def alone(context):
        calls.append(context.stage.name)
        clock.turn(3.0)
        if len(calls) > 1:
            raise KitError("no memory is left")
        return {}

    _, measured = lines(Pipeline(run, [Stage("a", alone)]), ["a"], twice=True)
    assert (measured.seconds, measured.failed) == (3.0, "no memory is left")


def test_what_fails_together_is_measured_one_by_one_from_the_start(run, clock):
    def together(contexts):
        for context in contexts:
            (context.path / "part.txt").write_text("half")
        raise KitError("too much at once")

    def alone(context):
        assert not (context.path / "part.txt").exists()
        if context.stage.name == "a":
            raise KitError("no weights")
        clock.turn(5.0)
        return {}

    begun, begun_a, a, begun_b, b = lines(pair(run, alone, together), ["a", "b"])
    assert (begun, begun_a, begun_b) == (["a", "b"], ["a"], ["b"])
    assert (a.failed, a.disk, a.loops) == ("no weights", 0, ())
    assert (b.failed, b.seconds) == ("", 5.0)


def test_no_stage_and_one(run, clock):
    assert lines(Pipeline(run, []), []) == []
    begun, measured = lines(Pipeline(run, [Stage("a", lambda _: {})]), ["a"])
    assert begun == ["a"]
    assert measured == Measured("a", group=("a",), cores=measured.cores, ram=measured.ram)
