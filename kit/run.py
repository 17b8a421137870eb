"""A run lives in one folder: the resolved config, a manifest, one folder a stage.

A stage's folder appears by one rename when the stage is finished, with a `stage.json` that says what it was
made from; while these are unchanged the stage is fresh and is not run again.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import platform
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from kit import __version__, stopping
from kit.config import Config
from kit.errors import KitError
from kit.files import read_json, sync, sync_below, write_json, write_text, writing
from kit.hashes import FileHashes
from kit.progress import notice
from kit.stage_record import RECORD, is_done, read_record, sizes_below, tidy_part
from kit.threads import machine, use_threads

MADE_BY = {
    "prior": "train prior",
    "spatial": "train spatial",
    "source": "train detector",
    "detector": "train detector {}",
    "detect": "detect --split {}",
    "fuse": "fuse --split {}",
    "attribute": "train attribute {}",
    "attribute_detect": "detect --attributes --split {}",
    "attribute_fuse": "fuse --attributes --split {}",
    "visual": "train visual",
    "stack": "train stack",
    "pairs": "predict --split {}",
    "predict": "predict --split {}",
}
PACKAGES = ("numpy", "pyarrow", "pandas", "xgboost", "torch", "mmdet")


@dataclass
class Stage:
    """A stage at work: write results below `path`, figures into `metrics`.

    After an interruption `path` still holds the files that were whole; a stage may go on from them.
    """

    name: str
    path: Path
    metrics: dict[str, Any] = field(default_factory=dict)


class WouldRunError(Exception):
    """A stage would have to run, while it was only asked whether it is fresh."""


class Run:
    """A run's folder."""

    def __init__(self, config: Config, path: Path | None = None) -> None:
        """Open or make the folder and write the resolved config into it."""
        self.config = config
        self.path = path or config.run
        if self.path.exists() and not self.path.is_dir():
            raise KitError(f"{self.path} is a file, not a run folder", "give another --run")
        self._hashes = FileHashes(self.path / "hashes.json")
        self._probing = False
        self._end_swaps()

    def finished(self, name: str) -> dict[str, Any] | None:
        """What `stage.json` of a finished stage says; None where it is not finished or a file is gone."""
        try:
            return read_record(self.path / name)
        except KitError:
            return None

    def folder(self, name: str) -> Path:
        """The folder of a finished stage. Raises KitError where it is not finished, or damaged."""
        fault = self._fault(name)
        if fault is not None or self.finished(name) is None:
            kind, _, rest = name.partition("-")
            by_split = MADE_BY[kind].endswith("--split {}")
            command = f"run `kit {MADE_BY[kind].format(rest.split('-')[0] if by_split else rest)}`"
            if fault is not None:
                raise KitError(fault, f"{command} to do stage {name} again")
            raise KitError(f"{self.path}: stage {name} is not there", f"{command} first")
        return self.path / name

    def _fault(self, name: str) -> str | None:
        """What is wrong with the folder of a stage; None where nothing is, or there is none."""
        if not (self.path / name).exists():
            return None
        try:
            read_record(self.path / name)
        except KitError as error:
            return error.message
        return None

    def key(self, settings: Any, inputs: Sequence[Path] = (), after: Sequence[str] = ()) -> dict[str, Any]:
        """What a stage is made from: settings, input files by content, earlier stages by their keys."""
        earlier = {name: (self.finished(name) or {}).get("id") for name in after}
        return {
            "kit": __version__,
            "settings": json.loads(json.dumps(settings, default=str)),
            "inputs": {str(path): self._hashes.of(path) for path in inputs},
            "after": earlier,
        }

    @contextmanager
    def probing(self) -> Iterator[None]:
        """Inside, a stage that is not fresh raises WouldRunError where it would do its work."""
        self._probing = True
        try:
            yield
        finally:
            self._probing = False

    @contextmanager
    def stage(self, name: str, made_from: dict[str, Any], *, force: bool = False) -> Iterator[Stage | None]:
        """Give the stage to do, or None where it is fresh. The folder is there only after a clean end."""
        record = self.finished(name)
        if record and record["made_from"] == made_from and not force:
            yield None
            return
        if self._probing:
            raise WouldRunError(name)
        with self._locked(name), stopping.keeping(f"stage {name} goes on from what it has in {self.path}"):
            fault = self._fault(name)
            if fault is not None:
                notice(f"{fault}; stage {name} is done again")
            part = self._part(name, made_from, force)
            self.write_config()
            stage = Stage(name, part)
            use_threads(self.config.cpu_threads)
            start, clock = datetime.now(UTC), time.monotonic()
            yield stage
            record = {
                "id": _id(made_from, start),
                "started": start.isoformat(timespec="seconds"),
                "seconds": round(time.monotonic() - clock, 2),
                "machine": machine(),
                "metrics": stage.metrics,
                "made_from": made_from,
                "files": sizes_below(part),
            }
            with writing(part):
                sync_below(part)
            write_json(part / RECORD, record)
            self._end_swap(name)

    def _part(self, name: str, made_from: dict[str, Any], force: bool) -> Path:
        """The folder to work in: what an interrupted try of the same stage left there whole is kept."""
        part, purpose = self._part_of(name), self.path / f".{name}.json"
        with writing(part):
            same = False
            if part.exists() and not force:
                try:
                    same = read_json(purpose, object) == made_from
                except KitError as error:
                    notice(f"{error.message}; what an interrupted {name} left is thrown away")
            if same:
                tidy_part(part)
            else:
                purpose.unlink(missing_ok=True)
                shutil.rmtree(part, ignore_errors=True)
                write_json(purpose, made_from)
                part.mkdir(exist_ok=True)
        return part

    def _part_of(self, name: str) -> Path:
        return self.path / f".{name}.part"

    def _end_swaps(self) -> None:
        """Bring to its end what a kill between a stage's last write and its renames left."""
        names = {path.parent.name[1:-5] for path in self.path.glob(f".*.part/{RECORD}")}
        names |= {path.name[1:-4] for path in self.path.glob(".*.old")}
        begun = {path.name[1:-5] for path in self.path.glob(".*.json")}
        names |= {name for name in begun if not self._part_of(name).exists()}
        for name in sorted(names):
            with suppress(KitError), self._locked(name):  # at work elsewhere, or nothing can be written
                self._end_swap(name)

    def _end_swap(self, name: str) -> None:
        """Put a part with a whole record into its place; the stage that was there goes only then.

        Wherever this is cut off, the next call ends it.
        """
        part, place, old = self._part_of(name), self.path / name, self.path / f".{name}.old"
        with writing(place):
            if is_done(part):
                if place.exists():
                    shutil.rmtree(old, ignore_errors=True)
                    place.rename(old)
                part.rename(place)
                sync(self.path)
            elif old.exists() and not place.exists():
                old.rename(place)
            shutil.rmtree(old, ignore_errors=True)
        with self._locked("manifest", wait=True):
            self._write_manifest()
        if not part.exists():
            with writing(place):
                (self.path / f".{name}.json").unlink(missing_ok=True)

    @contextmanager
    def _locked(self, name: str, wait: bool = False) -> Iterator[None]:
        """Keep other processes out of a stage; different stages of one run may be at work at once."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = (self.path / f".{name}.lock").open("w")
        except OSError as error:
            what = f"{name} would have to be written, but the folder cannot be ({error.strerror})"
            raise KitError(f"{self.path}: {what}") from None
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                raise KitError(
                    f"{self.path}: another kit is at work on {name}", "wait, or give --run"
                ) from None
            yield

    def write_config(self) -> None:
        """Write the resolved configuration into the folder, where it is another one."""
        import yaml

        text = yaml.safe_dump(self.config.model_dump(mode="json"), sort_keys=False)
        path = self.path / "config.yaml"
        with suppress(OSError, ValueError):
            if path.read_text(encoding="utf-8") == text:
                return
        write_text(path, text)

    def _write_manifest(self) -> None:
        stages = {}
        for folder in sorted(p for p in self.path.iterdir() if p.is_dir() and not p.name.startswith(".")):
            record = self.finished(folder.name)
            if record:
                stages[folder.name] = record
        write_json(
            self.path / "manifest.json",
            {
                "kit": __version__,
                "git": _git_state(),
                "python": platform.python_version(),
                "machine": platform.platform(),
                "packages": {name: _version(name) for name in PACKAGES},
                "seed": self.config.seed,
                "stages": stages,
            },
        )


def _id(made_from: dict[str, Any], start: datetime) -> str:
    """What later stages know this result by: another one each time the stage is done."""
    text = json.dumps([made_from, start.isoformat()], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _git_state() -> str | None:
    """Commit of the source tree, with -dirty where it is changed; None outside a checkout."""
    place = str(Path(__file__).parent)  # no lock: a git that is killed would leave it behind
    command = ["git", "--no-optional-locks", "-C", place, "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
