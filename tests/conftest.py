from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path

import pytest

from kit.cli import main
from kit.config import Config, load_config
from kit.data.mini import build_mini
from kit.run import Run
from kit.stages.detector import detector_stage
from kit.tables.official import read_boxes
from kit.tables.official_writer import write_detections
from tests.fakekaggle import Kaggle, environment, kaggle_at_home
from tests.imperfect import imperfect

TINY = (
    "data.mini={train: 150, stack: 20, val: 60, test: 30, source: 40, side: 96, seed: 3}",
    "data.test.detections=data/mini/test-detections.csv",
    "relation.spatial.rounds=40",
    "relation.spatial.block=20",
)


FEW = (
    "detector.source.training={iterations: 4, batch: 4, size: [96, 96], validate_every: 4, validate_pictures: 4}",
    "detector.training={iterations: 6, batch: 4, size: [96, 96], checkpoint_every: 2, validate_every: 3, "
    "validate_pictures: 8, warmup: 2}",
    "detector.inference={views: [{size: [96, 96]}, {size: [96, 96], flip: true}], per_image: 20, shard: 25}",
    "detector.device=cpu",
    "attribute.training={iterations: 3, batch: 4, size: [96, 96], validate_every: 3, validate_pictures: 8}",
    "relation.visual={size: 32, hidden: 16, epochs: 1, negatives: 0.5}",
    "relation.stack={rounds: 20, block: 10, max_depth: 3, least: 3}",
    "relation.budget={boxes: 10, per_image: 20, per_pair: 5}",
)


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tiny mini challenge in it, below data/mini."""
    folder = tmp_path_factory.mktemp("tiny")
    with chdir(folder):
        config = load_config("mini", TINY)
        build_mini(config.data.root, config.data.mini)
        hidden = read_boxes(["data/mini/hidden/test-vrd-bbox.csv"])
        write_detections("data/mini/test-detections.csv", imperfect(hidden, 3))
    return folder


@pytest.fixture
def tiny(tiny_folder: Path) -> Iterator[Path]:
    """Work inside the folder of the tiny challenge."""
    before = os.getcwd()
    os.chdir(tiny_folder)
    yield tiny_folder
    os.chdir(before)


def config(*more: str) -> Config:
    """The tiny challenge with detectors of few iterations."""
    return load_config("mini", [*TINY, *FEW, "data.test.detections=[]", *more])


@pytest.fixture(scope="session")
def trained(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run with both detectors trained; tests copy what they change."""
    with chdir(tiny_folder):
        run = Run(config(), tmp_path_factory.mktemp("detectors") / "run")
        for name in ("resnext", "hrnet"):
            detector_stage(run, name)
    return run


@pytest.fixture
def copied(trained: Run, tiny: Path, tmp_path: Path) -> Run:
    """A copy of the run with trained detectors."""
    shutil.copytree(trained.path, tmp_path / "run")
    return Run(trained.config, tmp_path / "run")


@pytest.fixture
def run(tiny: Path, tmp_path: Path) -> Run:
    """An empty run on the tiny challenge."""
    return Run(load_config("mini", TINY), tmp_path / "run")


@pytest.fixture
def kit(capsys, monkeypatch):
    """Call the command line: (exit code, stdout, stderr)."""

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["kit", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            main()
        out, err = capsys.readouterr()
        return stop.value.code, out, err

    return call


@pytest.fixture(autouse=True)
def _local(monkeypatch: pytest.MonkeyPatch) -> None:
    """The servers of the tests are asked without the proxy that the machine may have."""
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")


@pytest.fixture
def kaggle(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Kaggle]:
    """Kaggle on this machine, and an environment that leads the real client to it alone."""
    (tmp_path / "home").mkdir()
    with kaggle_at_home() as served:
        for name, value in environment(served, tmp_path / "home").items():
            monkeypatch.setenv(name, value)
        yield served
