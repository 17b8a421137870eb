"""A stage that is killed, or fails, at any of its operations on files loses nothing."""

import json
import os
import sys

import pytest

from kit.base.errors import KitError
from kit.config import Config
from kit.data.photos import photo_place
from kit.download.photo_store import DIGESTS, find_corrupt, save
from kit.pipeline.pipeline import Pipeline
from kit.pipeline.run import Run
from tests.jpegs import jpeg
from tests.stages import small_stage

EVENTS = {"open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "shutil.rmtree"}


def do(run, value, force=False):
    def work(context):
        (context.path / "result").write_text(str(value))
        return {"value": value}

    stage = small_stage("s", settings=value, work=work)
    return Pipeline(run, [stage]).do("s", force=force)["metrics"]["value"]


def killed_at(n, path, work):
    """Do `work` in a process that is gone at its n-th operation below `path`; whether it came so far."""
    pid = os.fork()
    if pid:
        return os.WEXITSTATUS(os.waitpid(pid, 0)[1]) == 9
    left = [n]

    def hook(event, args):
        if event in EVENTS and isinstance(args[0], (str, os.PathLike)):
            place, flags = os.path.abspath(args[0]), args[2] if event == "open" else os.O_RDWR
            if place.startswith(str(path)) and flags & (os.O_WRONLY | os.O_RDWR):
                left[0] -= 1
                if not left[0]:
                    os._exit(9)

    code = 1
    try:
        sys.addaudithook(hook)
        work()
        code = 0
    finally:
        os._exit(code)


@pytest.mark.parametrize("before", [False, True])
def test_a_kill_anywhere(tmp_path, before):
    """What was finished stays or is replaced whole; the next process ends what was begun."""
    came = 0
    for n in range(1, 200):
        path = tmp_path / str(n) / "run"
        if before:
            do(Run(Config(), path), 1)
        more = killed_at(n, path, lambda path=path: do(Run(Config(), path), 2))
        found = Run(Config(), path).record("s")
        assert found is not None or not before, n
        if found is not None:
            came += found["metrics"]["value"] == 2
            assert (path / "s" / "result").read_text() == str(found["metrics"]["value"])
        assert do(Run(Config(), path), 2) == 2
        left = {p.name for p in path.iterdir() if not p.name.endswith((".lock", ".part"))}
        assert left == {"s", "config.yaml", "manifest.json"}
        assert json.loads((path / "manifest.json").read_text())["stages"]["s"]["metrics"] == {"value": 2}
        if not more:
            break
    assert 12 < n < 199
    assert came > 2  # the renames that were left were done without the work


@pytest.mark.parametrize("name", ["rename", "replace", "fsync", "mkdir", "open"])
def test_an_operation_that_fails_is_one_line_and_loses_nothing(tmp_path, monkeypatch, name):
    real, said = getattr(os, name), []
    for n in range(40):
        path = tmp_path / str(n) / "run"
        do(Run(Config(), path), 1)
        left = [n]

        def failing(*args, left=left, **options):
            left[0] -= 1
            if left[0] < 0:
                raise OSError(28, "No space left on device", str(args[0]))
            return real(*args, **options)

        with monkeypatch.context() as patch:
            patch.setattr(os, name, failing)
            try:
                do(Run(Config(), path), 2)
                break
            except KitError as error:
                said.append(str(error))
        assert Run(Config(), path).record("s")["metrics"]["value"] in (1, 2)
        assert do(Run(Config(), path), 2) == 2
    assert n < 39
    assert all("No space left on device" in text for text in said)


def test_a_photo_is_never_without_its_digest(tmp_path):
    """A download that is killed anywhere: what is there can be verified, and the next one is whole."""
    data = jpeg(0)
    for n in range(1, 20):
        folder = tmp_path / str(n)
        more = killed_at(n, folder, lambda folder=folder: save(folder, "aa00", data))
        path = photo_place(folder, "aa00")
        assert not path.exists() or (path.parent / DIGESTS).read_text().startswith("aa00,")
        assert list(find_corrupt(folder, ["aa00"])) == []
        save(folder, "aa00", data)
        assert path.read_bytes() == data
        if not more:
            break
    assert 3 < n < 19
