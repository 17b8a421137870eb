"""The temporary folder of a cluster of this machine: removed once its owner is dead, whoever comes next."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from kit.pipeline.engine import ray_folder
from kit.pipeline.engine.ray_folder import FRESH, OWNER, new_folder


@pytest.fixture
def place(monkeypatch):
    folder = Path(tempfile.mkdtemp(prefix="k", dir="/tmp"))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setattr(ray_folder.stopping, "at_end", lambda _: None)
    yield folder
    shutil.rmtree(folder)


def aged(folder):
    long_ago = time.time() - 2 * FRESH
    os.utime(folder / OWNER, (long_ago, long_ago))
    return folder


def test_what_a_killed_process_left_is_removed_and_nothing_else(place):
    killed = subprocess.run(
        [
            sys.executable,
            "-c",
            "import os, signal; from kit.pipeline.engine.ray_folder import new_folder; "
            "print(new_folder(), flush=True); os.kill(os.getpid(), signal.SIGKILL)",
        ],
        env={**os.environ, "TMPDIR": str(place)},
        capture_output=True,
        text=True,
    )
    left = Path(killed.stdout.strip())
    assert left.parent == place
    (left / "session").mkdir()
    held = aged(new_folder())
    assert left.is_dir()  # its owner may be about to hold it
    aged(left)
    (place / "kit-ray-other").mkdir()
    (place / "another").mkdir()
    new = new_folder()
    assert set(place.iterdir()) == {held, new, place / "kit-ray-other", place / "another"}


def test_a_long_temporary_folder_is_passed_over(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / ("x" * ray_folder.LONGEST)))
    folder = new_folder()
    assert folder.parent == Path("/tmp")
    shutil.rmtree(folder)
