"""A run lives in one folder: the resolved config, a manifest, one folder a stage.

A stage's folder appears by one rename when the stage is finished, with a `stage.json` that holds its
fingerprint: what it was made from. The folder of a run elsewhere is its working copy: what is published there
is fetched when it is asked for, and a finished stage is published (kit.pipeline.remote_run).
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kit.base import stopping
from kit.base.clock import Clock
from kit.base.errors import KitError
from kit.base.files import read_json, remove_stale_parts, sync, sync_below, write_json, write_text, writing
from kit.base.hashes import HASHES, FileHashes
from kit.base.locks import LockedError, exclusive_lock
from kit.base.log import logger
from kit.base.threads import machine, use_threads
from kit.config import Config
from kit.pipeline.changes import differences
from kit.pipeline.manifest import manifest
from kit.pipeline.order import LOGS
from kit.pipeline.record import RECORD, content_id, is_done, read_record, sizes_below, tidy_part
from kit.pipeline.remote_run import VERSION, RemoteRun, version_of
from kit.pipeline.run_cache import drop


@dataclass
class Attempt:
    """A stage at work: results go below `path`, `metrics` into its record.

    share: of the time that is this stage's, where others are made at the same time; nodes: of a cluster, with how
    many shards each has made; machine: what computed it, by default as it is at the end.
    """

    path: Path
    share: float = 1.0
    metrics: dict[str, Any] = field(default_factory=dict)
    nodes: Mapping[str, int] = field(default_factory=dict)
    machine: Mapping[str, Any] = field(default_factory=dict)


class Run:
    """A run's folder."""

    def __init__(self, config: Config, path: Path | None = None, *, tend: bool = True) -> None:
        """Open the folder. tend: end what a kill has cut off there; a process that only reads leaves it alone."""
        self.path = path or config.run
        self.config = config if path in (None, config.run) else config.model_copy(update={"run": path})
        if self.path.exists() and not self.path.is_dir():
            raise KitError(f"{self.path} is a file, not a run folder", "give another --run")
        self.hashes = FileHashes(self.path / HASHES)
        self.remote = RemoteRun.of(self.path)
        if tend:
            self._end_swaps()
            remove_stale_parts(self.path)
        if self.remote:
            self._join(self.remote)

    def record(self, name: str) -> dict[str, Any] | None:
        """What `stage.json` of a finished stage says; None where it is not finished or damaged."""
        if self.remote and not (self.path / name).exists():
            return self.remote.records.get(name)
        try:
            return read_record(self.path / name)
        except KitError:
            return None

    def fault(self, name: str) -> str | None:
        """What is wrong with the folder of a stage; None where nothing is, or there is none."""
        if not (self.path / name).exists():
            return None
        try:
            read_record(self.path / name)
        except KitError as error:
            return error.message
        return None

    def begun(self, name: str) -> bool:
        """Whether an interrupted try of a stage left something to go on from."""
        return self.part_of(name).exists()

    def folder(self, name: str, command: str = "train all") -> Path:
        """The folder of a finished stage. Raises KitError where it is not finished, or damaged.

        command: the words after `kit` that make it.
        """
        if self.remote and not (self.path / name).exists() and name in self.remote.records:
            with self._locked(f"{name}.fetched", wait=True):
                if not (self.path / name).exists():
                    self.remote.fetch(name)
        fault = self.fault(name)
        if fault is not None:
            raise KitError(fault, f"run `kit {command}` to do stage {name} again")
        if self.record(name) is None:
            raise KitError(f"{self.path}: stage {name} is not there", f"run `kit {command}` first")
        return self.path / name

    @contextmanager
    def working(
        self,
        name: str,
        fingerprint: dict[str, Any],
        *,
        force: bool = False,
        timing_files: Sequence[str] = (),
    ) -> Iterator[Attempt]:
        """Give a folder to make a stage's results in; they take the stage's place only after a clean end."""
        keeping = stopping.keeping(f"stage {name} goes on from what it has in {self.path}")
        with self._locked(name), self._leased(name), keeping:
            fault = self.fault(name)
            if fault is not None:
                logger.warning(f"{fault}; stage {name} is done again")
            part = self._part(name, fingerprint, force)
            self.write_config()
            attempt = Attempt(part)
            use_threads(self.config.cpu_threads)
            start, clock = datetime.now(UTC), Clock()
            yield attempt
            record = {
                "id": content_id(part, timing_files),
                "started": start.isoformat(timespec="seconds"),
                "seconds": round(attempt.share * clock.seconds, 2),
                "processor_seconds": round(attempt.share * clock.processor_seconds, 2),
                "machine": attempt.machine or machine(),
                **({"nodes": dict(sorted(attempt.nodes.items()))} if attempt.nodes else {}),
                "metrics": attempt.metrics,
                "fingerprint": fingerprint,
                "files": sizes_below(part),
            }
            with writing(part):
                sync_below(part)
            if self.remote:
                record[VERSION] = version_of(part)
                self.remote.will_publish(name)
            write_json(part / RECORD, record)
            self._end_swap(name)

    @contextmanager
    def helping(self, name: str, task: str) -> Iterator[Path]:
        """Give the folder that another process makes a stage in, to do a task of it there, alone at this task."""
        with self._locked(f"{name}.{task}", wait=True):
            yield self.part_of(name)

    def _wait_for_helpers(self, name: str) -> None:
        """Wait for tasks of an earlier try, whose own process is gone: they would write into the new one."""
        for lock in self.path.glob(f".{name}.*.lock"):
            task = lock.name[1 : -len(".lock")]
            try:
                with self._locked(task):
                    pass
            except LockedError:
                logger.warning(f"waits for {task} of an earlier try, which is at work still")
                with self._locked(task, wait=True):
                    pass

    def _join(self, remote: RemoteRun) -> None:
        """See what is published: what the working copy has otherwise goes, what it alone has is published."""
        remote.refresh()
        names = [path.parent.name for path in self.path.glob(f"*/{RECORD}")]
        for name in filter(remote.is_old, names):
            with suppress(LockedError), self._locked(name):
                drop(self.path / name)
        for name in filter(remote.is_alone, names):
            logger.warning(f"{remote.store.address}: {name}, which {self.path} has, is published no more")
            remote.will_publish(name)
        for name in remote.all_unpublished():
            try:
                with self._locked(name), self._leased(name):
                    logger.info(f"{remote.store.address}: {name} was not published before; that is done now")
            except LockedError:  # at work elsewhere
                continue
            except KitError as error:
                logger.warning(f"{error}; {name} is kept in {self.path} and published by a later kit")

    @contextmanager
    def _leased(self, name: str) -> Iterator[None]:
        """Keep kits of other machines out of a stage of a run elsewhere; what is finished then is published."""
        if self.remote is None:
            yield
            return
        with self.remote.lease(name) as lease:
            self.remote.refresh()
            yield
            if self.remote.unpublished(name):
                if (self.path / name).exists():
                    self.remote.publish(name, lease)
                else:  # cut off before it was finished
                    self.remote.forget_mark(name)

    def _part(self, name: str, fingerprint: dict[str, Any], force: bool) -> Path:
        """The folder to work in: what an interrupted try of the same stage left there whole is kept."""
        part, fingerprint_file = self.part_of(name), begun_file(self.path, name)
        with writing(part):
            self._wait_for_helpers(name)
            same = False
            if part.exists() and not force:
                try:
                    same = read_json(fingerprint_file, object) == fingerprint
                except KitError as error:
                    logger.warning(f"{error.message}; what an interrupted {name} left is thrown away")
            if same:
                tidy_part(part)
            else:
                if not force:
                    self.check_processes(name, fingerprint.get("settings", {}))
                self._say_thrown_away(name, part, fingerprint_file, fingerprint)
                fingerprint_file.unlink(missing_ok=True)
                shutil.rmtree(part, ignore_errors=True)
                write_json(fingerprint_file, fingerprint)
                part.mkdir(exist_ok=True)
        return part

    def check_processes(self, name: str, settings: Mapping[str, Any], *, whole: bool = True) -> None:
        """Raise KitError where an interrupted try differs in the number of processes alone: it is kept.

        settings: those that the stage's result depends on now; whole: they are all, with what code finds of them.
        """
        before: dict[str, Any] = {}
        with suppress(KitError, AttributeError):
            before = dict(read_json(self.path / f".{name}.json", dict).get("settings") or {})
        was, now = (values.get("processes", 1) for values in (before, settings))
        before = before if whole else {key: before[key] for key in settings if key in before}
        same = before | {"processes": now} == json.loads(
            json.dumps({**settings, "processes": now}, default=str)
        )
        if was == now or not same or next(self.part_of(name).rglob("*.*"), None) is None:
            return
        text = f"{name}: interrupted under {was} process{'es' * (was != 1)}, now {now}"
        text += ": its draws, and a detector's learning rate, would be others"
        raise KitError(text, f"start it under {was} again, or give --force to begin anew")

    def _say_thrown_away(self, name: str, part: Path, file: Path, fingerprint: dict[str, Any]) -> None:
        """One notice of what an interrupted try left that was made from something else."""
        with suppress(KitError, TypeError, AttributeError, KeyError):
            kept = sum(path.is_file() for path in part.rglob("*")) if part.exists() else 0
            reasons = differences(read_json(file, dict), fingerprint) if kept else ()
            if reasons:
                files = f"{kept} file{'s' * (kept != 1)}"
                logger.warning(f"what an interrupted {name} left ({files}) is thrown away ({reasons[0]})")

    def part_of(self, name: str) -> Path:
        """The folder that a stage is made in."""
        return self.path / f".{name}.part"

    def _end_swaps(self) -> None:
        """Bring to its end what a kill between a stage's last write and its renames left."""
        names = {path.parent.name[1:-5] for path in self.path.glob(f".*.part/{RECORD}")}
        names |= {path.name[1:-4] for path in self.path.glob(".*.old")}
        begun = {path.name[1:-5] for path in self.path.glob(".*.json")}
        names |= {name for name in begun if not self.part_of(name).exists()}
        for name in sorted(names):
            with suppress(KitError), self._locked(name):  # at work elsewhere, or nothing can be written
                self._end_swap(name)

    def _end_swap(self, name: str) -> None:
        """Put a part with a whole record into its place; the stage that was there goes only then.

        Wherever this is cut off, the next call ends it.
        """
        part, place, old = self.part_of(name), self.path / name, self.path / f".{name}.old"
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
            self.write_manifest()
        if not part.exists():
            with writing(place):
                begun_file(self.path, name).unlink(missing_ok=True)

    @contextmanager
    def _locked(self, name: str, wait: bool = False) -> Iterator[None]:
        """Keep other processes out of a stage; different stages of one run may be at work at once."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            (self.path / f".{name}.lock").touch()
        except OSError as error:
            what = f"{name} would have to be written, but the folder cannot be ({error.strerror})"
            raise KitError(f"{self.path}: {what}") from None
        busy = f"{self.path}: another kit is at work on {name}"
        with exclusive_lock(
            self.path / f".{name}.lock", busy, "wait, or give --run", wait=None if wait else 0.0
        ):
            yield

    def write_config(self) -> None:
        """Write the resolved configuration into the folder, where it is another one."""
        text, path = self.config.as_yaml(), self.path / "config.yaml"
        with suppress(OSError, ValueError):
            if path.read_text(encoding="utf-8") == text:
                return
        write_text(path, text)

    def own_config(self) -> Path:
        """A file of the configuration for processes at work with this one: no kit writes another one there."""
        text = self.config.as_yaml()
        digest = hashlib.sha256(text.encode()).hexdigest()
        path = self.path / LOGS / f"config-{digest[:16]}.yaml"
        if not path.exists():
            with writing(path):
                path.parent.mkdir(parents=True, exist_ok=True)
            write_text(path, text)
        return path

    def write_manifest(self) -> None:
        """Write what the run's finished stages say of themselves, and what made them, into one file."""
        names = {p.name for p in self.path.iterdir() if p.is_dir() and not p.name.startswith(".")}
        names |= set(self.remote.records if self.remote else ())
        records = {name: record for name in sorted(names) if (record := self.record(name))}
        write_json(self.path / "manifest.json", manifest(self.config.seed, records))


def begun_file(run: Path, name: str) -> Path:
    """The file that says what a stage at work is made from: written when its folder is begun anew."""
    return run / f".{name}.json"
