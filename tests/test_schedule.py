"""The timetable of a run: hand-computed cases, and laws that hold for every one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.rehearsal.schedule import Command, Work, timetable


@pytest.mark.parametrize(
    ("seconds", "needs", "jobs", "whole"),
    [
        ({}, {}, 2, 0.0),
        ({"a": 3.0, "b": 4.0}, {}, 1, 7.0),
        ({"a": 3.0, "b": 4.0}, {}, 2, 4.0),
        ({"a": 3.0, "b": 4.0}, {"b": ["a"]}, 2, 7.0),
        ({"a": 3.0, "b": 4.0, "c": 2.0, "d": 1.0}, {"d": ["b", "gone"]}, 2, 5.0),
        ({"a": 0.0, "b": 1.0, "c": 0.0}, {"b": ["a"], "c": ["b"]}, 8, 1.0),
    ],
)
def test_the_time_of_stages_side_by_side(seconds, needs, jobs, whole):
    works = {name: Work(took) for name, took in seconds.items()}
    times = timetable([Command(list(seconds), jobs)], needs, works, {})
    assert max((end for _, end in times.values()), default=0.0) == whole
    assert {name: end - begin for name, (begin, end) in times.items()} == seconds
    assert all(times[n][0] >= times[m][1] for n, ms in needs.items() for m in ms if m in times)


def test_commands_come_one_after_the_other():
    works = {name: Work(took) for name, took in {"c": 2.0, "a": 3.0, "b": 4.0, "d": 1.0}.items()}
    two = timetable([Command("ab", 2), Command("cd"), Command("")], {"c": ["a"]}, works, {})
    assert two == {"a": (0, 3), "b": (0, 4), "c": (4, 6), "d": (6, 7)}
    assert timetable([Command("ab", 1), Command("cd")], {}, works, {})["d"] == (9, 10)
    assert timetable([Command("cd", 2), Command("a", 2)], {}, works, {})["a"] == (2, 5)


def test_a_new_command_loads_again_and_a_process_goes_on_with_what_it_has():
    loading = {"torch": 5.0, "numpy": 1.0}
    a = Work(2.0, before=("numpy",), modules=("numpy", "torch"))
    b, c, d = Work(9.0), Work(1.0, modules=("torch",)), Work(1.0, modules=("numpy", "torch", "tiny"))
    works = {"a": a, "b": b, "c": c, "d": d}
    times = timetable([Command("abc", 2), Command("d")], {}, works, loading)
    assert times == {"a": (1, 8), "b": (0, 9), "c": (8, 9), "d": (9, 16)}
    assert timetable([Command("bcad", 2)], {"d": "a"}, works, loading)["c"] == (0, 6)


def test_stages_of_one_work_share_its_time_and_wait_for_what_each_needs():
    detect = [Work(seconds, modules=("torch",), group=("a", "c")) for seconds in (1.0, 3.0)]
    works = {"a": detect[0], "b": Work(2.0), "c": detect[1]}
    times = timetable([Command("abc")], {"c": ["b"]}, works, {"torch": 6.0})
    assert times == {"b": (0, 2), "a": (2, 7), "c": (7, 12)}


names = st.integers(1, 8).map(lambda n: "abcdefgh"[:n])
seconds = st.floats(0, 100)


@given(st.data(), names, st.integers(1, 4))
def test_no_timetable_is_faster_than_can_be(data, names, jobs):
    """Of any stages: none before its needs, none late without a cause, never more at once than there are jobs."""
    needs = {name: data.draw(st.lists(st.sampled_from(names[:i]))) for i, name in enumerate(names) if i}
    modules = st.lists(st.sampled_from("xyz"), unique=True)
    works = {name: Work(data.draw(seconds), data.draw(modules), data.draw(modules)) for name in names}
    loading = {module: data.draw(seconds) for module in "xyz"}
    times = timetable([Command(names, jobs)], needs, works, loading)
    end, slack = max(end for _, end in times.values()), 1e-6
    assert set(times) == set(names)
    assert all(times[name][0] >= times[need][1] - slack for name, needed in needs.items() for need in needed)
    used = [{*works[name].before, *works[name].modules} for name in names]
    least = sum(work.seconds for work in works.values()) + sum(loading[m] for m in set().union(*used))
    most = sum(work.seconds for work in works.values()) + sum(loading[m] for found in used for m in found)
    assert least / jobs - slack <= end <= most + slack
    for name, (begin, ended) in times.items():
        own = sum(loading[module] for module in set(works[name].modules) - set(works[name].before))
        assert works[name].seconds - slack <= ended - begin <= works[name].seconds + own + slack
        assert sum(b <= begin < e for b, e in times.values()) <= jobs
    if jobs == 1:
        assert end == pytest.approx(least)
