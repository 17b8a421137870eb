"""A worker's stages: made together where a run makes them together, each with its share of the time."""

import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.util import spec_from_loader

import numpy as np
import pytest

from kit.base.errors import KitError
from kit.base.progress import track
from kit.pipeline.pipeline import Pipeline
from kit.pipeline.stage import Stage, Together
from kit.rehearsal.estimate import estimate, in_time
from kit.rehearsal.loading import Loading
from kit.rehearsal.schedule import Command
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


@pytest.mark.parametrize("seed", range(20))
def test_known_costs_give_the_known_time_of_the_whole(run, clock, monkeypatch, seed):
    """A stage with costs of its own, of its start, of every image outside of a loop and of every step inside it."""
    rng = np.random.default_rng(seed)
    start, an_image, first, step, rest, library = rng.random(6) * 10
    few, scale = int(rng.integers(40, 200)), int(rng.integers(1, 50))
    begun = []

    def work(context):
        exec("import costly_library", {"__name__": "kit.pipeline.stages.some"})
        clock.turn(0.0 if begun else start)
        begun.append(True)
        clock.turn(an_image * few)
        for i in track(range(few), few, "images", optional=True):
            clock.turn(step if i else first)
        clock.turn(rest * few)
        return {}

    class Finder(MetaPathFinder, Loader):
        def find_spec(self, name, path, target=None):
            return spec_from_loader(name, self) if name == "costly_library" else None

        def create_module(self, spec):
            clock.turn(library)

        def exec_module(self, module):
            pass

    monkeypatch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])
    own = WorkClock()
    loading = Loading(own)
    loading.start()
    try:
        stopwatch = Stopwatch(Pipeline(run, [Stage("a", work)]), run, own, loading)
        (_, measured) = stopwatch.measure(["a"], 30 * step, scale > 1)
    finally:
        loading.stop()
        sys.modules.pop("costly_library")
    known = first + step * (few * scale - 1) + (an_image + rest) * few * scale + start
    plain = estimate(measured, scale, 1, 0)
    assert plain.seconds == pytest.approx(known)
    (found,) = in_time([plain], {"a": measured}, [Command("a")], {}, {})
    assert found.seconds == pytest.approx(known + library)


def test_no_stage_and_one(run, clock):
    assert lines(Pipeline(run, []), []) == []
    begun, measured = lines(Pipeline(run, [Stage("a", lambda _: {})]), ["a"])
    assert begun == ["a"]
    assert measured == Measured("a", group=("a",), cores=measured.cores, ram=measured.ram)
