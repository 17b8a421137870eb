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
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from kit import __version__
from kit.config import Config
from kit.errors import KitError
from kit.files import write_json, write_text
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
        self._hashes = _Hashes(self.path / "hashes.json")
        self._probing = False

    def finished(self, name: str) -> dict[str, Any] | None:
        """What `stage.json` of a finished stage says; None where it is not finished or a file is gone."""
        folder = self.path / name
        try:
            record: dict[str, Any] = json.loads((folder / "stage.json").read_text(encoding="utf-8"))
            whole = all((folder / file).stat().st_size == size for file, size in record["files"].items())
            return record if whole and "made_from" in record else None
        except (OSError, ValueError, KeyError, AttributeError):
            return None

    def folder(self, name: str) -> Path:
        """The folder of a finished stage. Raises KitError where it is not finished."""
        if self.finished(name) is None:
            kind, _, rest = name.partition("-")
            by_split = MADE_BY[kind].endswith("--split {}")
            command = MADE_BY[kind].format(rest.split("-")[0] if by_split else rest)
            raise KitError(f"{self.path}: stage {name} is not there", f"run `kit {command}` first")
        return self.path / name

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
        with self._locked(name):
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
                "files": _sizes(part),
            }
            write_json(part / "stage.json", record)
            self._swap(part, self.path / name)
            (self.path / f".{name}.json").unlink()
            with self._locked("manifest", wait=True):
                self._write_manifest()

    def _part(self, name: str, made_from: dict[str, Any], force: bool) -> Path:
        """The folder to work in: what an interrupted try of the same stage left there is kept."""
        part = self.path / f".{name}.part"
        purpose = self.path / f".{name}.json"
        try:
            same = json.loads(purpose.read_text(encoding="utf-8")) == made_from and not force
        except (OSError, ValueError):
            same = False
        if not same:
            shutil.rmtree(part, ignore_errors=True)
            write_json(purpose, made_from)
        part.mkdir(exist_ok=True)
        return part

    def _swap(self, part: Path, place: Path) -> None:
        old = place.with_name(f".{place.name}.old")
        shutil.rmtree(old, ignore_errors=True)
        if place.exists():
            place.rename(old)
        part.rename(place)
        shutil.rmtree(old, ignore_errors=True)

    @contextmanager
    def _locked(self, name: str, wait: bool = False) -> Iterator[None]:
        """Keep other processes out of a stage; different stages of one run may be at work at once."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = (self.path / f".{name}.lock").open("w")
        except OSError as error:
            raise KitError(f"{self.path}: cannot be written ({error.strerror})") from None
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                raise KitError(
                    f"{self.path}: another kit is at work on {name}", "wait, or give --run"
                ) from None
            yield

    def write_config(self) -> None:
        """Write the resolved configuration into the folder."""
        import yaml

        text = yaml.safe_dump(self.config.model_dump(mode="json"), sort_keys=False)
        write_text(self.path / "config.yaml", text)

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


class _Hashes:
    """Content hashes of files, remembered by size and time of change."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.known: dict[str, list[Any]] = json.loads(path.read_text())
        except (OSError, ValueError):
            self.known = {}

    def of(self, path: Path) -> str:
        try:
            stat = path.stat()
        except OSError:
            raise KitError(f"{path}: no such file") from None
        if path.is_dir():
            raise KitError(f"{path}: a folder, not a file")
        stamp = [stat.st_size, stat.st_mtime_ns]
        known = self.known.get(str(path.resolve()))
        if not known or known[:2] != stamp:
            with path.open("rb") as file:
                known = [*stamp, hashlib.file_digest(file, "sha256").hexdigest()]
            self.known[str(path.resolve())] = known
            write_json(self.path, self.known)
        return str(known[2])


def _id(made_from: dict[str, Any], start: datetime) -> str:
    """What later stages know this result by: another one each time the stage is done."""
    text = json.dumps([made_from, start.isoformat()], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _sizes(folder: Path) -> dict[str, int]:
    """Every file below a folder with its size in bytes."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.stat().st_size for path in files}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _git_state() -> str | None:
    """Commit of the source tree, with -dirty where it is changed; None outside a checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
