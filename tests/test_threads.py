import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from kit.base import threads
from kit.config import Boosting, load_config
from kit.pipeline.pipeline import Pipeline
from kit.pipeline.run import Run
from kit.relation.boosted_model import load, save
from kit.relation.boosting import TrainingRows, fit
from kit.relation.features import Features
from tests.stages import small_stage


@pytest.fixture(autouse=True)
def _as_before(monkeypatch):
    """What a test sets is undone."""
    for name in threads.VARIABLES:
        monkeypatch.setenv(name, os.environ.get(name, "1"))
    before, number = torch.get_num_threads(), threads.threads_used()
    threads.use_threads(0)
    yield
    threads.use_threads(number)
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
    words = [sys.executable, "-c", f"{code} print('torch' in sys.modules)"]
    assert subprocess.run(words, check=True, capture_output=True, text=True).stdout == "False\n"


@pytest.mark.parametrize(
    ("changes", "number"),
    [((), 1), (("threads=2",), 2), (("detector.threads=3",), 3), (("threads=0",), 0)],
)
def test_a_stage_computes_with_the_configs_number(changes, number, tmp_path):
    run, used = Run(load_config("mini", changes), tmp_path / "run"), []

    def work(context):
        used.append(threads.threads_used())
        return {}

    Pipeline(run, [small_stage("prior", work=work)]).make(["prior"])
    assert used == [number]
    record = json.loads((run.path / "manifest.json").read_text())["stages"]["prior"]["machine"]
    assert record["threads"] == torch.get_num_threads()
    assert record["cpu"]
    assert record["instructions"] == torch.backends.cpu.get_cpu_capability()


@pytest.mark.parametrize(("process", "own", "used"), [(1, 0, 1), (2, 0, 2), (1, 3, 3)])
def test_boosting_has_its_own_number_or_the_processes(process, own, used, tmp_path):
    """The trees that grow, and those that are read again."""
    values = np.random.default_rng(0).random((200, 1), np.float32)
    features = Features(("x",), values)
    data = TrainingRows(features, values[:, 0] > 0.5, np.arange(200), np.arange(200) % 10)
    settings = Boosting(rounds=4, early_stopping_interval=2, threads=own)
    threads.use_threads(process)
    model = fit(data, settings, 0).model
    save(model, tmp_path / "m.ubj")
    for booster in (model.booster, load(tmp_path / "m.ubj", features.names, own).booster):
        config = json.loads(booster.save_config())
        assert config["learner"]["generic_param"]["nthread"] == str(used)


@pytest.mark.parametrize(
    ("line", "files", "expected"),
    [
        ("0::/", {"cpu.max": "150000 100000"}, 2),
        ("0::/", {"cpu.max": "max 100000"}, None),
        (
            "0::/a/b",
            {"a/b/cpu.max": "max 100000", "a/cpu.max": "400000 100000", "cpu.max": "800000 100000"},
            4,
        ),
        ("0::/elsewhere", {"cpu.max": "20000 100000"}, 1),
        ("0::/", {"cpu.max": "nonsense"}, None),
        (
            "4:cpu,cpuacct:/x",
            {"cpu,cpuacct/cpu.cfs_quota_us": "300000", "cpu,cpuacct/cpu.cfs_period_us": "100000"},
            3,
        ),
        ("4:cpu:/", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ("5:memory:/", {"cpu.max": "100000 100000"}, None),
        ("0::/", {}, None),
    ],
)
def test_the_quota_of_the_groups(line, files, expected, tmp_path):
    (tmp_path / "groups").write_text(f"{line}\n")
    for name, text in files.items():
        path = tmp_path / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    assert threads.cgroup_quota(tmp_path / "groups", tmp_path / "root") == expected
    assert threads.cgroup_quota(tmp_path / "none", tmp_path / "root") is None


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux only")
def test_processors_follow_the_affinity_and_the_share(monkeypatch):
    monkeypatch.delenv(threads.SHARE, raising=False)
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert threads.cpu_count() == 1
    finally:
        os.sched_setaffinity(0, before)
    monkeypatch.setenv(threads.SHARE, "6")
    assert threads.cpu_count() == 6
    assert [threads.cpu_share(n) for n in (1, 4, 7)] == [6, 1, 1]
    monkeypatch.setenv(threads.SHARE, "many")
    assert 1 <= threads.cpu_count() <= len(before)


@pytest.mark.parametrize(
    ("given", "expected"),
    [({}, threads.WAITING), ({"OMP_WAIT_POLICY": "ACTIVE"}, {"OMP_WAIT_POLICY": "ACTIVE"})],
)
def test_threads_wait_passively_unless_the_user_says_otherwise(given, expected):
    others = {name: value for name, value in os.environ.items() if name not in threads.WAITING}
    code = "import kit, json, os; print(json.dumps(dict(os.environ)))"
    out = subprocess.run(
        [sys.executable, "-c", code], env={**others, **given}, check=True, capture_output=True, text=True
    ).stdout
    seen = json.loads(out)
    assert {name: seen[name] for name in threads.WAITING if name in seen} == expected


def test_torch_has_its_threads_back_afterwards():
    import torch

    before = torch.get_num_threads()
    with threads.with_threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
