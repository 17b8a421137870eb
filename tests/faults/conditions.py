"""What can be wrong around a command beside a kill: each says its one line, and once it is right all goes on."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from kit.pipeline.record import RECORD
from tests.faults.command import ROOT, Command, start
from tests.faults.disks import full_disk, read_only_mount
from tests.faults.judges import but_config, differences, finished_stages
from tests.faults.scene import Absent, Scene, of, says, train_all
from tests.faults.victims import RUN, World, options

RELATIONS = "data/mini/challenge-2019-train-vrd.csv"
LIBRARY = Path("/usr/lib")  # where libfaketime is found below


def clock_set_back(scene: Scene) -> Iterator[str]:
    """Three days back: what is finished stays so, what is made is the same, a changed input is seen."""
    scene.begin("train-stack")
    _own_data(scene)
    kept = finished_stages(scene.folder)
    yield from _in_the_past(scene, train_all(), 0, ".*")
    if any(finished_stages(scene.folder).get(name) != began for name, began in kept.items()):
        yield "finished stages were made again"
    yield from scene.trained()
    past = time.time() - 3 * 86400
    text = (scene.folder / RELATIONS).read_text().replace(",at\n", ",on\n", 1)
    (scene.folder / RELATIONS).write_text(text)
    os.utime(scene.folder / RELATIONS, (past, past))
    command = scene.run([*train_all(), "--dry-run"])
    if "data.train.relations: other content" not in command.out.replace("\n", " "):
        yield f"a changed input that looks old is not seen: {command.out}"


def _in_the_past(scene: Scene, words: list[str], code: int, pattern: str) -> Iterator[str]:
    library = next(iter(LIBRARY.rglob("faketime/libfaketimeMT.so.1")), None)
    if library is None:
        raise Absent("libfaketime is not there: apt-get install faketime")
    past = {"LD_PRELOAD": str(library), "FAKETIME": "-3d", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "kit", *words],
        cwd=scene.folder,
        env={**os.environ, **past, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != code or not re.search(pattern, done.stderr):
        yield f"exit code {done.returncode}: {done.stderr[-600:]}"


def _own_data(scene: Scene) -> None:
    """The data as a copy that may be changed."""
    (scene.folder / "data").unlink()
    shutil.copytree(scene.world.data, scene.folder / "data")


def vanished_input(scene: Scene) -> Iterator[str]:
    """A file of annotations goes between two stages: one line names it; once it is back the run goes on."""
    scene.begin("train-all")
    _own_data(scene)
    command = start(train_all(), scene.folder)
    _until(lambda: (scene.folder / RUN / "prior").exists(), command)
    (scene.folder / RELATIONS).rename(scene.folder / "aside")
    command.wait()
    known = rf"kit: {RELATIONS}: (no such file.*|cannot be read.*)"
    if command.code:  # it may have read it in time
        yield from says(command, 2, known)
    yield from says(scene.run([*train_all(), "--force"]), 2, known)
    (scene.folder / "aside").rename(scene.folder / RELATIONS)
    yield from says(scene.run(train_all()), 0, ".*")
    yield from scene.trained()


def replaced_input(scene: Scene) -> Iterator[str]:
    """A file of annotations is another one from the second stage on: in the end all is made from the new one."""
    scene.begin("train-all")
    _own_data(scene)
    text = (scene.folder / RELATIONS).read_text().splitlines(keepends=True)
    command = start(train_all(), scene.folder)
    _until(lambda: (scene.folder / RUN / "prior").exists(), command)
    (scene.folder / "other").write_text("".join(text[:-40]))
    (scene.folder / "other").rename(scene.folder / RELATIONS)
    command.wait()
    shown = scene.run([*train_all(), "--dry-run"]).out.replace("\n", " ")
    if "data.train.relations: other content" not in shown:
        yield f"nothing is stale: {shown}"
    yield from says(scene.run(train_all()), 0, ".*")
    fresh = scene.folder.with_name(f"{scene.folder.name}-fresh")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    (fresh / "data").symlink_to(scene.folder / "data")
    yield from says(scene.run(train_all(), fresh), 0, ".*")
    yield from differences(of(scene.folder / RUN), of(fresh / RUN))


def copied_and_moved(scene: Scene) -> Iterator[str]:
    """A killed run goes on in a copy; a finished one that was moved is finished; one moved at work says so."""
    scene.begin("train-all")
    command = start(train_all(), scene.folder)
    _until(lambda: (scene.folder / RUN / ".spatial.part").exists(), command)
    command.kill()
    shutil.copytree(scene.folder / RUN, scene.folder / "runs/copy")
    words = ["train", "all", "--run", "runs/copy", *options("fast")[2:]]
    kept = finished_stages(scene.folder)
    yield from says(scene.run(words), 0, ".*")
    now = finished_stages(scene.folder)
    if any(now[name] != began for name, began in kept.items()):
        yield "a finished stage was made again in a copy"
    reference = but_config(of(scene.world.run("fast", ["train", "all"]) / RUN))
    yield from differences(but_config(of(scene.folder / "runs/copy")), reference)
    (scene.folder / "runs/copy").rename(scene.folder / "runs/moved")
    words[3] = "runs/moved"
    yield from says(scene.run(words), 0, ".*")
    yield from differences(but_config(of(scene.folder / "runs/moved")), reference)
    words.append("--force")
    command = start(words, scene.folder)
    _until(lambda: (scene.folder / "runs/moved/.spatial.part").exists(), command)
    (scene.folder / "runs/moved").rename(scene.folder / "runs/away")
    command.wait()
    yield from says(command, 2, r"kit: runs/moved.*")
    words[3] = "runs/away"
    yield from says(scene.run(words), 0, ".*")
    yield from differences(but_config(of(scene.folder / "runs/away")), reference)


def two_at_once(scene: Scene) -> Iterator[str]:
    """The second says who is at work; the first, which stood still meanwhile, comes to its end."""
    scene.begin("train-all")
    first = start(train_all(), scene.folder)
    _until(lambda: any((scene.folder / RUN).glob(".*.part/*")), first)
    os.kill(first.pid, signal.SIGSTOP)
    at_work = [path.name[1:-5] for path in (scene.folder / RUN).glob(".*.part") if path.is_dir()]
    second = scene.folder.with_name(f"{scene.folder.name}-second")
    second.unlink(missing_ok=True)
    second.symlink_to(scene.folder)
    yield from says(
        scene.run(train_all(), second),
        2,
        rf"kit: runs/r: another kit is at work on ({'|'.join(at_work)}); wait, or give --run",
    )
    os.kill(first.pid, signal.SIGCONT)
    first.wait()
    yield from says(first, 0, ".*")
    yield from scene.trained()


def older_version(scene: Scene) -> Iterator[str]:
    """A run of an older kit: a stage of an older version, a record of an older form, a key that has a new name."""
    scene.begin("train-stack")
    shutil.copytree(scene.world.run("fast", ["train", "all"]) / RUN / "stack", scene.folder / RUN / "stack")
    for name, change in (("prior", _older), ("stack", _of_another_form)):
        path = scene.folder / RUN / name / RECORD
        record = json.loads(path.read_text())
        change(record)
        path.write_text(json.dumps(record))
    shown = " ".join(scene.run([*train_all(), "--dry-run"]).out.split())
    for words in ("version: 0 → 1", "not the record of a stage"):
        if words not in shown:
            yield f"{words!r} is not told: {shown}"
    command = scene.run(train_all())
    yield from says(command, 0, ".*")
    if "stage stack is done again" not in command.err:
        yield f"that a stage is done again is not told: {command.err}"
    yield from scene.trained()


def _older(record: dict[str, dict[str, object]]) -> None:
    record["fingerprint"]["version"] = 0


def _of_another_form(record: dict[str, dict[str, object]]) -> None:
    del record["files"]


def _until(met: Callable[[], bool], command: Command, seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not met() and not command.ended() and time.monotonic() < end:
        time.sleep(0.002)


CONDITIONS: dict[str, Callable[[Scene], Iterator[str]]] = {
    "vanished-input": vanished_input,
    "replaced-input": replaced_input,
    "copied-and-moved": copied_and_moved,
    "two-at-once": two_at_once,
    "older-version": older_version,
    "clock-set-back": clock_set_back,
    "read-only": read_only_mount,
    "full-disk-train": lambda scene: full_disk(scene, "train-all"),
    "full-disk-predict": lambda scene: full_disk(scene, "predict", 16 << 10),
    "full-disk-submit": lambda scene: full_disk(scene, "submit", 16 << 10),
    "full-disk-download-mini": lambda scene: full_disk(scene, "download-mini", 128 << 10),
    "full-disk-download": lambda scene: full_disk(scene, "download", 128 << 10),
    "full-disk-detector": lambda scene: full_disk(scene, "few-detector-resnext", 2 << 20),
    "full-disk-detect": lambda scene: full_disk(scene, "few-detect-val-hrnet", 16 << 10),
    "full-disk-visual": lambda scene: full_disk(scene, "few-visual", 2 << 20),
}


def try_condition(name: str, world: World) -> list[str]:
    """What is wrong under a condition. Raises Absent, or MountError, where it cannot be had here."""
    folder = world.folder / "work" / name
    for path in (world.folder / "work").glob(f"{name}*"):
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    folder.mkdir(parents=True)
    return list(CONDITIONS[name](Scene(world, folder)))
