"""Stages at work together, and one after another where a GPU has too little memory for all."""

from __future__ import annotations

import pytest
import torch

from kit.base.errors import KitError
from kit.config import load_config
from kit.pipeline.run import Run
from kit.pipeline.stage import Stage, StageContext, Together
from kit.pipeline.work import at_work


def full(*_):
    raise torch.OutOfMemoryError("CUDA out of memory.\nMore.")


def contexts(tmp_path, work, together):
    run = Run(load_config("mini"), tmp_path)
    stages = [Stage(name, work, together=Together("k", together)) for name in "ab"]
    return [StageContext(stage, run, tmp_path / stage.name) for stage in stages]


def names(several):
    return [{"by": context.stage.name} for context in several]


def test_nothing_is_done_of_nothing():
    assert at_work([]) == []


def test_several_are_made_by_one_work_and_one_by_its_own(tmp_path):
    alone, together = (lambda c: {"alone": c.stage.name}), names
    several = contexts(tmp_path, alone, together)
    assert at_work(several) == [{"by": "a"}, {"by": "b"}]
    assert at_work(several[:1]) == [{"alone": "a"}]


def test_one_after_another_where_memory_is_too_small_for_all(tmp_path, caplog):
    several = contexts(tmp_path, lambda context: {"alone": context.stage.name}, full)
    assert at_work(several) == [{"alone": "a"}, {"alone": "b"}]
    assert "a, b: the GPU has too little memory for all at once: one after another" in caplog.text


def test_too_small_for_one_is_an_error_of_one_line(tmp_path):
    with pytest.raises(
        KitError, match=r"a: the GPU is out of memory \(CUDA out of memory\.\).*max_detections"
    ):
        at_work(contexts(tmp_path, full, full))


def test_another_error_is_not_hidden(tmp_path):
    def broken(_):
        raise RuntimeError("something else")

    for several in (contexts(tmp_path, broken, broken), contexts(tmp_path, broken, broken)[:1]):
        with pytest.raises(RuntimeError, match="something else"):
            at_work(several)
