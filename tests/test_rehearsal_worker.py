"""A worker's stages: made together where a run makes them together, each with its share of the time."""

import json
import time

import pytest

from kit.base.errors import KitError
from kit.base.progress import track
from kit.pipeline.pipeline import Pipeline
from kit.pipeline.stage import Stage, Together
from kit.rehearsal.worker import measure


def alone(context):
    (context.path / "alone.txt").write_text("alone")
    return {}


def at_once(contexts):
    for i in track(range(4), 4, "detect", unit="images", size=2):
        time.sleep(0.02 if i else 0.1)
    for context in contexts:
        (context.path / "together.txt").write_text("0123456789")
    return [{} for _ in contexts]


def fails(contexts):
    raise KitError("too much at once")


def pair(run, work):
    """Two stages that one work makes."""
    together = Together("detect", work)
    return Pipeline(run, [Stage(name, alone, together=together) for name in ("a", "b")])


def test_stages_made_together_share_the_time(run):
    begin = time.monotonic()
    first, second = measure(pair(run, at_once), ["a", "b"], 60.0, twice=False)
    assert (first.stage, second.stage) == ("a", "b")
    assert first.disk == second.disk == 10
    assert first.seconds == second.seconds
    assert 0.16 < first.seconds + second.seconds <= time.monotonic() - begin
    (loop,) = first.loops
    assert (loop.total, loop.done, loop.size) == (4, 4, 2)
    assert loop.seconds + second.loops[0].seconds >= 0.16
    assert first.outside + loop.seconds == pytest.approx(first.seconds)


def test_what_fails_together_is_measured_one_by_one(run):
    pipeline = pair(run, fails)
    first, second = measure(pipeline, ["a", "b"], 60.0, twice=False)
    assert (first.failed, second.failed) == ("", "")
    assert first.disk == len("alone")
    assert (pipeline.folder("b") / "alone.txt").exists()


def test_a_stage_that_fails_says_why(run):
    def broken(context):
        raise KitError("no weights")

    (measured,) = measure(Pipeline(run, [Stage("a", broken)]), ["a"], 60.0, twice=False)
    assert measured.failed == "no weights"
    assert measured.disk == 0
    assert json.dumps(measured.loops) == "[]"
    assert measure(Pipeline(run, []), [], 60.0, twice=False) == []
