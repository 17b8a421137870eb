"""A run elsewhere (s3://bucket/run): a store has its finished stages, a folder of this machine is worked in.

The store has `config.yaml`; `stages/NAME.json`, the record of a finished stage; `files/NAME/VERSION/`, its files.
A stage is published by writing its record, after all its files and by one write: who reads sees the old stage or
the new one, whole. The version is a hash of the files, so that an upload that was cut off is gone on with.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from kit.base.errors import KitError
from kit.base.files import read_json, sync, write_json, write_text, writing
from kit.base.lease import EXPIRY, Lease
from kit.base.log import logger, warn_once
from kit.base.remote_place import address_of, is_below, local_name
from kit.base.retry import RemoteError, RetryPolicy, retry
from kit.base.store import PATIENT, Store
from kit.pipeline.record import KINDS, RECORD, read_record, sizes_below
from kit.pipeline.run_cache import drop, make_room, mark, use

STAGES, FILES, CONFIG, MANIFEST = "stages", "files", "config.yaml", "manifest.json"
VERSION = "version"  # in a record: the hash of all files
HASH = re.compile(r"[0-9a-f]{32}")
STAGE = re.compile(rf"{STAGES}/([^/]+)\.json")
UNSAFE = re.compile(r"[\\\x00-\x1f\x7f\ud800-\udfff]")  # in the name of a file or a stage
OWNER = ".owner"  # in the working copy: a name that no other has
Record = dict[str, Any]
TRIES = 3  # of a fetch, where what is fetched is published anew meanwhile


class RunMissingError(KitError):
    """There is no run at an address."""


class RemoteRun:
    """The store of a run and its working copy.

    records: of the stages that were published when `refresh` was called last, by name.
    """

    def __init__(self, address: str, path: Path, expiry: float = EXPIRY) -> None:
        """path: the working copy; expiry: seconds after which the lock of a killed holder is free."""
        self.store, self.path, self.expiry = Store(address), path, expiry
        self.records: dict[str, Record] = {}
        self._published: dict[str, tuple[str, bytes]] = {}  # by stage: the object's tag, and its bytes

    @classmethod
    def of(cls, path: Path) -> RemoteRun | None:
        """The run whose working copy a path is; None for a folder of this machine."""
        address = address_of(path)
        return None if address is None else cls(address, path)

    def refresh(self) -> None:
        """Read what is published. Raises RemoteError."""
        use(self.path)
        before, self._published, self.records = self._published, {}, {}
        for name, entry in self.store.entries(STAGES).items():
            stage = _stage_of(name)
            if stage is None:
                warn_once(f"{self.store.address}/{name!a}: not the record of a stage; it is left out")
                continue
            known = before.get(stage)
            data = known[1] if known and known[0] == entry.tag else self.store.read(name)
            record = self._record(stage, data) if data is not None else None
            if data is not None and record is not None:
                self._published[stage], self.records[stage] = (entry.tag, data), record

    def is_alone(self, name: str) -> bool:
        """Whether the working copy has a stage that was published, and is no more."""
        with suppress(KitError):
            return name not in self._published and VERSION in read_json(self.path / name / RECORD, dict)
        return False

    def is_old(self, name: str) -> bool:
        """Whether a published stage of the working copy is damaged, or not what is published now."""
        if name not in self._published or self.unpublished(name) or not (self.path / name).exists():
            return False
        with suppress(OSError, KitError):
            read_record(self.path / name)
            return (self.path / name / RECORD).read_bytes() != self._published[name][1]
        return True

    def fetch(self, name: str) -> None:
        """Bring the files of a published stage into the working copy, whole; go on from a fetch that was cut off.

        Raises KitError where one of them is gone or damaged.
        """
        for _ in range(TRIES):
            if name not in self._published:
                return
            before = self._published[name]
            fault = self._fetch(name, before[1])
            if fault is None:
                return
            self.refresh()
            if self._published.get(name, before)[1] == before[1]:
                break
        raise KitError(f"{self.store.address}: {fault}", f"do stage {name} again with --force")

    def _fetch(self, name: str, data: bytes) -> str | None:
        """Fetch the stage of a record; what is wrong with it."""
        record = self.records[name]
        version = record[VERSION]
        part = self.path / f".{name}.{version}.fetched"
        with writing(part):
            part.mkdir(parents=True, exist_ok=True)
            there = sizes_below(part)
            for file in there.keys() - record["files"].keys():  # what a fetch that was killed was writing
                (part / file).unlink()
            below = f"{FILES}/{name}/{version}"
            lacking = [file for file, size in record["files"].items() if there.get(file) != size]
            size = sum(record["files"][file] for file in lacking)
            make_room(size)
            logger.info(f"{self.store.address}: {name} is fetched ({size / 1e6:,.1f} MB) into {self.path}")
            gone = self.store.download({f"{below}/{file}": part / file for file in lacking})
            if gone:
                return f"{gone[0]} is gone"
            if version_of(part) != version:
                shutil.rmtree(part)
                return f"{below} is damaged: its files are not those that were published"
            (part / RECORD).write_bytes(data)
            if not (self.path / name).exists():
                part.rename(self.path / name)
            sync(self.path)
            for old in self.path.glob(f".{name}.*.fetched"):
                shutil.rmtree(old, ignore_errors=True)
        return None

    def lease(self, name: str) -> Lease:
        """The lock of a stage between machines."""
        file = self.path / OWNER
        if not file.exists():
            write_text(file, secrets.token_hex(16))
        owner = file.read_text(encoding="ascii")
        return Lease(self.store, name, owner, self.expiry)

    def unpublished(self, name: str) -> bool:
        """Whether the working copy has a stage that is not published yet."""
        return self._mark(name).exists()

    def all_unpublished(self) -> list[str]:
        """The names of the stages that are not published yet."""
        return sorted(path.name[1:].rpartition(".")[0] for path in self.path.glob(mark(Path(), "*").name))

    def will_publish(self, name: str) -> None:
        """Note, before a stage takes its place, that it is to be published, and what that replaces."""
        write_json(self._mark(name), {"replaces": self.records.get(name, {}).get(VERSION)})

    def forget_mark(self, name: str) -> None:
        """Note that there is nothing to publish."""
        self._mark(name).unlink(missing_ok=True)

    def publish(self, name: str, lease: Lease) -> None:
        """Publish a finished stage of the working copy; what another kit has published meanwhile stays.

        Raises KitError where that fails, or the lock is lost; a later call goes on from what is in the store.
        """
        store = replace(self.store, policy=PATIENT)
        data = (self.path / name / RECORD).read_bytes()
        record = self._record(name, data)
        if record is None:
            raise KitError(
                f"{self.path / name}: not a stage that can be published", "do it again with --force"
            )
        self.refresh()
        now = self.records.get(name, {}).get(VERSION)
        if now not in (self._replaced(name), record[VERSION]):
            logger.warning(f"{name} was published by another kit meanwhile; the one made here is thrown away")
            self.forget_mark(name)
            drop(self.path / name)
            return
        below = f"{FILES}/{name}/{record[VERSION]}"
        there = store.entries(below)
        files = {f"{below}/{file}": self.path / name / file for file in record["files"]}
        again = now == record[VERSION] == self._replaced(name)  # by force: what is there may be damaged
        store.upload(
            {k: p for k, p in files.items() if again or k not in there or there[k].size != p.stat().st_size}
        )
        self._write_record(name, data, lease)
        lease.check()  # where it went meanwhile, another has removed files of these: the mark stays
        for own in (CONFIG, MANIFEST):
            store.write(own, (self.path / own).read_bytes())
        self.forget_mark(name)
        self.refresh()
        with suppress(KitError):  # the next one removes it
            lease.check()
            store.remove([old for old in store.entries(f"{FILES}/{name}") if not old.startswith(f"{below}/")])

    def _write_record(self, name: str, data: bytes, lease: Lease) -> None:
        """Write a stage's record; before every attempt the lock has to be held."""
        once = replace(self.store, policy=RetryPolicy(attempts=1))

        def attempt() -> None:
            lease.check()
            once.write(f"{STAGES}/{name}.json", data)

        def say(error: RemoteError, seconds: float) -> None:
            warn_once(f"{error.message}; asked again in {seconds:.0f} s")

        retry(attempt, PATIENT, say, time.sleep)

    def _mark(self, name: str) -> Path:
        return mark(self.path, name)

    def _replaced(self, name: str) -> str | None:
        """The version that a stage of the working copy stands for, once it is published."""
        with suppress(KitError):
            replaced = read_json(self._mark(name), dict).get("replaces")
            return None if replaced is None else str(replaced)
        return None

    def _record(self, name: str, data: bytes) -> Record | None:
        """What a record says; None, and a notice, where it is damaged."""
        fault = "not JSON"
        with suppress(ValueError, RecursionError):
            record = json.loads(data)
            fault = _fault(record) if isinstance(record, dict) else "not an object"
            if not fault:
                return record
        where = f"{self.store.address}/{STAGES}/{name}.json"
        logger.warning(f"{where}: {fault}, so damaged; stage {name} is done again")
        return None


def _stage_of(name: str) -> str | None:
    """The stage whose record an object is, by its name; None where a folder cannot be called so."""
    stage = STAGE.fullmatch(name)
    return stage[1] if stage and _is_safe(stage[1]) else None


def _fault(record: Mapping[str, Any]) -> str:
    """What is wrong with a record; nothing it names may lie outside the stage's folder."""
    for key, kind in {**KINDS, VERSION: str}.items():
        if not isinstance(record.get(key), kind):
            return f"{key} is missing or of another kind"
    if not HASH.fullmatch(record[VERSION]):
        return f"{VERSION} is not 32 hexadecimal digits"
    for file, size in record["files"].items():
        if not _is_safe(file):
            return f"{file!a} is not the name of a file below the stage"
        if not isinstance(size, int) or size < 0:
            return f"{file!a} has no size"
    return ""


def _is_safe(name: str) -> bool:
    return is_below(name) and not UNSAFE.search(name)


def fetch_config(path: Path) -> None:
    """Bring the configuration of a run elsewhere into its working copy; nothing for a folder of this machine.

    Raises KitError where there is no run.
    """
    address = address_of(path)
    if address is not None:
        data = Store(address).read(CONFIG)
        if data is None:
            raise RunMissingError(
                f"{address}: no run there (it has no {CONFIG})", "give the address of a run"
            )
        write_text(path / CONFIG, data.decode("utf-8", "replace"))


def runs_below(folder: Path) -> list[Path]:
    """The working copies of the runs of a folder elsewhere, each with its configuration."""
    found = []
    for name in filter(is_below, Store(address_of(folder) or "").folders()):
        with suppress(RunMissingError):
            fetch_config(folder / local_name(name))
            found.append(folder / local_name(name))
    return found


def version_of(folder: Path) -> str:
    """A hash of the names and bytes of all files of a stage, also those that hold times."""
    whole = hashlib.sha256()
    for name in sorted(sizes_below(folder)):
        with (folder / name).open("rb") as file:
            whole.update(f"{name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return whole.hexdigest()[:32]
