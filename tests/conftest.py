from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path

import pytest

from kit.cli import main
from kit.config import load_config
from kit.data.mini import build_mini
from kit.run import Run
from kit.tables.official import read_boxes
from kit.tables.official_writer import write_detections
from tests.imperfect import imperfect

TINY = (
    "data.mini={train: 150, stack: 20, val: 60, test: 30, source: 40, side: 96, seed: 3}",
    "data.test.detections=data/mini/test-detections.csv",
    "relation.spatial.rounds=40",
    "relation.spatial.block=20",
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
