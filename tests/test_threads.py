import json
import os
import subprocess
import sys

import pytest
import torch
from kit.run import Run

from kit.base import threads
from kit.config import load_config
from kit.relation.boosting import _params


@pytest.fixture(autouse=True)
def _as_before(monkeypatch):
    """What a test sets is undone."""
    monkeypatch.setattr(threads, "_used", 0)
    for name in threads.VARIABLES:
        monkeypatch.setenv(name, os.environ.get(name, "1"))
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_torch_and_what_is_started_have_the_number():
    threads.use_threads(3)
    assert torch.get_num_threads() == threads.threads_used() == 3
    assert {os.environ[name] for name in threads.VARIABLES} == {"3"}
    torch.set_num_threads(1)
    threads.limit_torch()
    assert torch.get_num_threads() == 3


def test_zero_leaves_it_to_the_libraries():
    before, environment = torch.get_num_threads(), dict(os.environ)
    threads.use_threads(0)
    threads.limit_torch()
    assert torch.get_num_threads() == before
    assert dict(os.environ) == environment


def test_torch_is_not_imported_for_it():
    code = "import sys; from kit.base.threads import use_threads, machine; use_threads(2); machine(); "
    subprocess.run([sys.executable, "-c", f"{code} assert 'torch' not in sys.modules"], check=True)


@pytest.mark.parametrize(
    ("changes", "number"),
    [((), 1), (("threads=2",), 2), (("detector.threads=3",), 3), (("threads=0",), 0)],
)
def test_a_stage_computes_with_the_configs_number(changes, number, tmp_path):
    run = Run(load_config("mini", changes), tmp_path / "run")
    with run.stage("prior", {"x": 1}):
        assert threads.threads_used() == number
    record = json.loads((run.path / "manifest.json").read_text())["stages"]["prior"]["machine"]
    assert record["threads"] == torch.get_num_threads()
    assert record["cpu"]
    assert record["instructions"] == torch.backends.cpu.get_cpu_capability()


def test_boosting_has_its_own_number_or_the_processes():
    settings = load_config("mini").relation.spatial
    assert "nthread" not in _params(settings, 0, 0)
    threads.use_threads(2)
    assert _params(settings, 0, 0)["nthread"] == 2
    assert _params(settings.model_copy(update={"threads": 5}), 0, 0)["nthread"] == 5
