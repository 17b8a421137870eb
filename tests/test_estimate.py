"""From measured stages to the whole: hand-computed cases."""

from dataclasses import replace

import pytest

from kit.cli.rehearse import shown
from kit.rehearsal.estimate import (
    Estimate,
    Rehearsal,
    estimate,
    in_time,
    whole_seconds,
)
from kit.rehearsal.meter import Loop
from kit.rehearsal.schedule import Command
from kit.rehearsal.worker import Measured


def loop(
    text="train", unit="images", size=4, total=60_000, done=22, warm=2, warm_up=30.0, steady=10.0, **more
):
    return Loop(text, unit, size, total, 1, done, warm, warm_up, steady=steady, **more)


def test_a_training_is_its_warm_up_and_its_pace():
    measured = Measured("detector", seconds=60.0, outside=20.0, loops=(loop(),))
    assert whole_seconds(measured, 1.0) == pytest.approx(20 + 30 + 0.5 * 59_998)


def test_a_split_that_was_cut_short_costs_by_its_images():
    measured = Measured(
        "detect-test", 25.0, 5.0, loops=(loop("detect", total=4, done=4, warm_up=12.0, steady=8.0),)
    )
    assert whole_seconds(measured, 100.0) == pytest.approx(5 + 12 + 4.0 * 398)


def test_a_stage_without_a_loop_by_its_second_time():
    assert whole_seconds(Measured("evaluate", 3.0, 3.0, again=0.5), 10.0) == pytest.approx(2.5 + 5.0)
    assert whole_seconds(Measured("prior", 3.0, 3.0), 1.0) == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("waited", "cpu", "gpu", "bound"),
    [
        (5.0, 59.0, 1, "loading"),
        (5.0, 880.0, 1, "decode"),
        (0.1, 59.0, 1, "GPU"),
        (0.1, 59.0, 0, "one core"),
        (0.1, 880.0, 0, "all cores"),
        (0.1, 300.0, 0, "cores"),
    ],
)
def test_what_bounds_a_stage(waited, cpu, gpu, bound):
    measured = Measured("detector", 60.0, 20.0, cores=cpu / 60, loops=(loop(waited=waited),), gpu=gpu)
    found = estimate(measured, 1.0, cores=16, workers=8)
    assert found.bound == bound
    assert found.cure
    assert found.rate == pytest.approx(8.0)
    assert found.waits == pytest.approx(waited / 10)


def test_a_failed_stage_has_no_time():
    found = estimate(Measured("visual", failed="out of memory"), 1.0, 2, 0)
    assert (found.seconds, found.failed) == (None, "out of memory")


def test_the_whole_is_the_sum_and_names_its_longest_stage():
    seen = {n: Measured(n, s, s, disk=10) for n, s in (("a", 3.0), ("b", 9.0), ("c", 1.0))}
    seen["d"] = Measured("d", failed="no")
    plain = [estimate(measured, 1.0, 2, 0) for measured in seen.values()]
    stages = in_time(plain, seen, [Command("abcd")], {}, {})
    whole = Rehearsal(stages, "2 cores", [], 1.0)
    assert whole.seconds == pytest.approx(13.0)
    assert whole.longest() == stages[1]
    assert whole.as_dict()["disk"] == 30
    assert Rehearsal([], "", [], 0.0).longest() is None


def test_what_was_not_measured_makes_the_whole_more():
    known, unknown = Estimate("a", 3600.0), Estimate("b", None, failed="no time was left")
    whole, part = Rehearsal([known], "2 cores", [], 1.0), Rehearsal([known, unknown], "2 cores", [], 1.0)
    assert (whole.unmeasured, part.unmeasured, part.as_dict()["unmeasured"]) == (0, 1, 1)
    assert "over" not in shown(whole)
    assert "over 60 min" in shown(part)


def test_reasons_stand_whole_below_the_table():
    long = f"no such file: /{'very/' * 30}long"
    lines = shown(Rehearsal([Estimate("a", 1.0), Estimate("b", None, failed=long)], "2 cores", [], 1.0))
    assert lines.splitlines()[-1] == f"b: {long}"
    assert max(map(len, lines.splitlines()[:-1])) < 120


def rounds(rows, step, total=5000):
    """A loop of boosting that was seen for ten steady rounds."""
    return Loop("spatial-at", "rounds", 1, total, 1, 12, 2, 2 * step, step, 10 * step, rows=rows)


def test_rounds_over_more_rows_are_as_many_and_longer():
    whole_split = [rounds(1_000_000, 0.5), rounds(10_000, 0.02)]
    stack = rounds(100, 0.01)
    seen = Measured("stack", seconds=1.0, outside=0.5, loops=(stack,))
    between = 0.01 + (0.02 - 0.01) * (5_000 - 100) / (10_000 - 100)
    for scale, step in ((50, between), (100, 0.02), (10_000, 0.5), (20_000, 1.0)):
        expected = 0.5 + 0.02 + step * 4998
        assert whole_seconds(seen, scale, [stack, *whole_split]) == pytest.approx(expected)
    assert whole_seconds(seen, 1.0, whole_split) == pytest.approx(0.5 + 0.02 + 0.01 * 4998)


def test_what_is_outside_of_loops_grows_with_the_data_too():
    seen = Measured("stack", seconds=20.0, outside=8.0, again=6.0, loops=(loop(),))
    assert whole_seconds(seen, 10.0) == pytest.approx(2 + 60 + 30 + 0.5 * 599_998)


def test_the_memory_of_a_run_is_that_of_all_stages_at_work_at_once():
    stages = [
        Estimate(name, 5.0, begins, ram=ram, gpu=ram // 10)
        for name, begins, ram in (("a", 0.0, 40), ("b", 0.0, 30), ("c", 5.0, 50))
    ]
    two = Rehearsal(stages, "", [], 1.0, 2)
    assert (two.ram, two.gpu, two.seconds) == (70, 7, 10.0)
    one = Rehearsal([replace(stages[0], begins=10.0), *stages[1:]], "", [], 1.0)
    assert (one.ram, one.gpu, one.seconds) == (50, 5, 15.0)
    unmeasured = Rehearsal([Estimate("a", None), *stages[1:]], "", [], 1.0, 2)
    assert (unmeasured.ram, unmeasured.seconds) == (50, 10.0)
    assert Rehearsal([], "", [], 1.0).ram == 0


def test_the_disk_of_a_run_is_its_results_and_what_stages_at_work_need_beside_them():
    store = Measured("visual", 9.0, 9.0, disk=10, loops=(loop("regions", kept=500), loop(kept=0)))
    whole, part = estimate(store, 1.0, 2, 0), estimate(store, 4.0, 2, 0)
    assert (whole.disk, whole.scratch, part.disk, part.scratch) == (10, 500, 40, 2000)
    other = Estimate("a", 5.0, whole.seconds, disk=1, scratch=70)
    assert Rehearsal([whole, other], "", [], 1.0).disk == 10 + 1 + 500
    assert Rehearsal([whole, replace(other, begins=0.0)], "", [], 1.0).disk == 10 + 1 + 570


def test_libraries_are_loaded_once_a_process_by_the_stage_that_needs_them_first():
    """Both processes load what both need; a third stage finds it there, wherever it was measured."""
    seen = {
        "a": Measured("a", 1.0, 1.0, modules={"torch": 8.0, "numpy": 1.0}),
        "b": Measured("b", 2.0, 2.0, modules={"numpy": 3.0}),
        "c": Measured("c", 4.0, 4.0, before={"torch": 10.0}, modules={"torch": 10.0, "numpy": 1.0}),
    }
    plain = [estimate(measured, 1.0, 1, 0) for measured in seen.values()]
    needs = {"c": ["a", "b"]}
    two = in_time(plain, seen, [Command("ab", 2), Command("c")], needs, {})  # a new process for c
    assert [(e.begins, e.seconds) for e in two] == [(0, 12), (0, 4), (21, 6)]
    one = in_time(plain, seen, [Command("abc")], needs, {})
    assert [(e.begins, e.seconds) for e in one] == [(0, 12), (12, 2), (14, 4)]
    failed = [*plain[:2], Estimate("c", None, failed="no time was left")]
    assert in_time(failed, seen, [Command("abc")], needs, {})[2].seconds is None
