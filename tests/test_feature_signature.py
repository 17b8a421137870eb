"""The signature of the features in a run's folder: it stands for the code that it was computed by, and no other."""

import json
import shutil
from contextlib import chdir
from pathlib import Path

import pytest

import kit as package
from kit.config import load_config
from kit.pipeline.feature_signature import MEMORY, feature_signature
from kit.pipeline.pipeline import Pipeline
from kit.pipeline.run import Run
from kit.relation.features import signature
from tests.conftest import FAST
from tests.stages import in_a_process, set_words


@pytest.fixture(scope="module")
def run(tiny_folder, tmp_path_factory):
    """A run with the spatial model trained."""
    with chdir(tiny_folder):
        run = Run(load_config("mini", FAST), tmp_path_factory.mktemp("spatial") / "run")
        Pipeline(run).make(["prior", "spatial"])
    return run


def states(run, folder):
    """The state of every stage, and why, as a process of its own sees it."""
    words = ("train", "all", "--dry-run", "--json", "--run", run.path, *set_words(*FAST))
    done = in_a_process(*words, folder=folder)
    assert done.returncode == 0, done.stderr
    return {row["stage"]: (row["state"], row["why"]) for row in json.loads(done.stdout)}


def test_it_is_remembered_as_it_was_computed(run, tiny):
    assert states(run, tiny)["spatial"] == ("finished", [])
    memory = json.loads((run.path / MEMORY).read_text())
    assert memory["signature"] == signature() == feature_signature(run)


def test_changed_code_is_seen_whatever_is_remembered(run, tiny, tmp_path, monkeypatch):
    assert states(run, tiny)["spatial"] == ("finished", [])
    source = Path(package.__file__).parent
    shutil.copytree(source, tmp_path / "kit", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(source.parent / "configs", tmp_path / "configs")
    geometry = tmp_path / "kit/relation/geometry.py"
    plain, flipped = '"dx_by_subject": (ocx - scx)', '"dx_by_subject": (scx - ocx)'
    assert plain in geometry.read_text()
    geometry.write_text(geometry.read_text().replace(plain, flipped))
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("PYTHONPATH", str(tmp_path))
        for _ in range(2):
            state, why = states(run, tiny)["spatial"]
            assert state == "stale"
            assert why[0].startswith("settings: pair_features ")
    assert states(run, tiny)["spatial"] == ("finished", [])


@pytest.mark.parametrize(
    "text", ["", "[]", '{"code": 3}', '{"code": "x", "signature": {"pair_features": "y"}}']
)
def test_a_damaged_memory_is_made_anew(run, tiny, text):
    (run.path / MEMORY).write_text(text)
    assert states(run, tiny)["spatial"] == ("finished", [])
    assert json.loads((run.path / MEMORY).read_text())["signature"] == signature()


def test_a_run_that_is_not_there_is_not_made(tiny, tmp_path):
    run = Run(load_config("mini", FAST), tmp_path / "none")
    assert feature_signature(run) == signature()
    assert states(run, tiny)["spatial"] == ("to do", [])
    assert not run.path.exists()
