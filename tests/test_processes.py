from kit.run import Run
from kit.stages.shared import shared_stage

from kit.config import Detector, load_config
from kit.detector.processes import is_first, join, launched


def test_without_torchrun_there_is_one_process(monkeypatch):
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    monkeypatch.setenv("RANK", "1")
    assert not launched()
    assert is_first()
    join(Detector())  # nobody to meet


def test_under_torchrun_the_rank_tells(monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    for rank, first in (("0", True), ("1", False)):
        monkeypatch.setenv("RANK", rank)
        assert is_first() == first


def test_a_stage_of_one_process_is_the_runs_own(monkeypatch, tmp_path):
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    run = Run(load_config("mini"), tmp_path / "run")
    for expected in (True, False):
        with shared_stage(run, "prior", {"x": 1}, force=False) as stage:
            assert (stage is not None) == expected
