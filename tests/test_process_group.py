import os

import pytest
import torch

from kit.base.errors import KitError
from kit.base.threads import with_threads
from kit.config import load_config
from kit.detector.process_group import (
    init_process_group,
    is_distributed,
    is_main_process,
    local_count,
    one_of,
    own_gpu,
    process_count,
)
from kit.pipeline.distributed import shared_attempt
from kit.pipeline.pipeline import Pipeline
from kit.pipeline.run import Run
from tests.stages import small_stage, writing


def test_without_torchrun_there_is_one_process(monkeypatch):
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    monkeypatch.setenv("RANK", "1")
    assert not is_distributed()
    assert is_main_process()
    init_process_group("auto")  # nobody to meet


def test_under_torchrun_the_rank_tells(monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    for rank, first in (("0", True), ("1", False)):
        monkeypatch.setenv("RANK", rank)
        assert is_main_process() == first


def test_a_stage_of_one_process_is_the_runs_own(monkeypatch, tmp_path):
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    run, done = Run(load_config("mini"), tmp_path / "run"), []
    stage = small_stage("prior", work=writing(done=done), distributed=True)
    with shared_attempt(run, stage, {"x": 1}, force=False) as attempt:
        assert attempt.path == run.part_of("prior")
    assert run.record("prior")["fingerprint"] == {"x": 1}
    for _ in range(2):
        Pipeline(run, [stage]).make(["prior"])
        assert done == ["prior"]


def test_the_record_says_with_how_many_threads_each_process_has_computed(monkeypatch, tmp_path):
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    monkeypatch.setattr("kit.pipeline.distributed.beside", lambda *_: with_threads(3))
    run = Run(load_config("mini"), tmp_path / "run")
    with shared_attempt(run, small_stage("prior", work=writing(), distributed=True), {"x": 1}, force=False):
        assert torch.get_num_threads() == 3
    assert torch.get_num_threads() == 1
    assert run.record("prior")["machine"]["threads"] == 3


def test_inside_this_process_is_one_of_several_and_then_what_it_was(monkeypatch, tmp_path):
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    monkeypatch.setenv("RANK", "5")
    before = dict(os.environ)
    for rank in range(2):
        with one_of(2, rank, tmp_path / "meeting"):
            assert (process_count(), is_main_process(), is_distributed()) == (2, rank == 0, True)
        assert (process_count(), is_main_process(), is_distributed()) == (1, True, False)
    assert dict(os.environ) == before


@pytest.fixture
def one_gpu(monkeypatch):
    """A machine that has one; the GPU that a process takes."""
    taken = []
    monkeypatch.setattr("kit.detector.device.device_of", lambda _: torch.device("cuda"))
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    monkeypatch.setattr("torch.cuda.set_device", taken.append)
    return taken


def test_more_processes_of_torchrun_than_gpus_are_refused(monkeypatch, one_gpu):
    for name, value in {
        "TORCHELASTIC_RUN_ID": "x",
        "RANK": "1",
        "LOCAL_RANK": "1",
        "WORLD_SIZE": "2",
    }.items():
        monkeypatch.setenv(name, value)
    text = "process 2 of 2 at a training: this machine has 1 GPU, and each needs one"
    with pytest.raises(KitError, match=f"{text}; lower torchrun's --nproc-per-node"):
        init_process_group("auto")
    assert not one_gpu


def test_what_needs_no_gpu_is_not_refused_one(monkeypatch, tmp_path, one_gpu):
    told = []
    monkeypatch.setattr("torch.distributed.init_process_group", lambda backend, **_: told.append(backend))
    monkeypatch.setattr("torch.distributed.barrier", lambda: None)
    with one_of(2, 1, tmp_path / "meeting"):
        init_process_group("cuda", gpu=False)  # of a stage on the processor
        assert (local_count(), own_gpu("cuda"), own_gpu("cpu")) == (2, "cuda:1", "cpu")
    for name, value in {"RANK": "3", "LOCAL_RANK": "1", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    init_process_group("auto", gpu=False)
    assert (told, one_gpu, local_count()) == (["gloo", "gloo"], [], 2)


def test_kits_own_processes_share_gpus_that_are_fewer(monkeypatch, tmp_path, one_gpu):
    told = []
    monkeypatch.setattr("torch.distributed.init_process_group", lambda backend, **_: told.append(backend))
    monkeypatch.setattr("torch.distributed.barrier", lambda: None)
    for rank in range(2):
        with one_of(2, rank, tmp_path / "meeting"):
            init_process_group("auto")
            assert (os.environ["RANK"], os.environ["LOCAL_RANK"]) == (str(rank), "0")
    with one_of(1, 0, tmp_path / "meeting"):
        init_process_group("auto")
    assert (told, one_gpu) == (["gloo", "gloo", "nccl"], [0, 0, 0])
