"""The short form of `make test-faults`: some kills and conditions, and damage that is known to be found."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from contextlib import chdir
from pathlib import Path

import pytest

from kit.pipeline.run import Run
from tests.faults.judges import differences, outcome, untrue
from tests.faults.victims import RUN, config, training

IN_TURN = ("predict", "submit", "download", "train-prior", "train-stack", "predict", "submit", "download")
CONDITIONS = ("two-at-once", "older-version", "read-only")


@pytest.fixture(scope="module")
def world(whole, tiny_folder, tmp_path_factory):
    """What commands begin with, from the runs that the suite has."""
    folder = tmp_path_factory.mktemp("faults")
    (folder / "challenge").mkdir()
    (folder / "challenge/data").symlink_to(tiny_folder / "data")
    run = folder / "fast-train-all" / RUN
    for stage in training("fast"):
        shutil.copytree(whole / stage, run / stage)
    with chdir(run.parents[1]):
        made = Run(config("fast").model_copy(update={"run": RUN}))
        made.write_config()
        made.write_manifest()
        Path("data").symlink_to(tiny_folder / "data")
        Path("made").touch()
    return folder


def faults(world: Path, *words: str) -> list[str]:
    command = [sys.executable, "-m", "tests.faults", "--folder", str(world), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def test_twelve_kills_lose_nothing(world):
    *lines, last = faults(world, "--kills", "12", "--seed", "4", *IN_TURN)
    assert sum(line.endswith("s)") and "as expected" in line for line in lines) == len(lines)
    struck = int(last.split()[0])
    assert struck >= 12
    assert last.endswith("0 conditions (0 skipped), 0 failures")


def test_conditions_say_their_line(world):
    *lines, last = faults(world, *CONDITIONS)
    assert len(lines) == len(CONDITIONS)
    assert last.endswith("0 failures")


def test_what_is_lost_doubled_or_half_written_is_seen(finished):
    """The judges have to fail on each of these, or they judge nothing."""
    folder = finished.parent / "work"
    shutil.copytree(finished, folder / RUN)
    expected = outcome(folder, {})
    assert differences(outcome(folder, {}), expected) == []
    record = json.loads((folder / RUN / "prior/stage.json").read_text())
    (folder / RUN / "prior/stage.json").write_text(json.dumps({**record, "seconds": 99, "started": "later"}))
    assert differences(outcome(folder, {}), expected) == []
    assert untrue(folder, expected, {}) == []
    (folder / RUN / ".stack.part").mkdir()
    (folder / RUN / ".stack.part/x").touch()
    left = [f"{RUN}/.stack.part/x: left over"]
    assert differences(outcome(folder, {}), expected) == left
    data = folder / RUN / "prior/statistics.npz"
    data.write_bytes(data.read_bytes()[:-1])
    half = f"{RUN}/prior/statistics.npz: another content"
    assert untrue(folder, expected, {}) == [half]
    shutil.rmtree(folder / RUN / "stack")
    found = differences(outcome(folder, {}), expected)
    assert half in found
    assert f"{RUN}/stack/stage.json: lost" in found
