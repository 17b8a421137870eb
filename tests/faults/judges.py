"""What a command leaves, in a form that equals an undisturbed one's: times and how it was resumed are left out."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from kit.base.hashes import HASHES, sha256_of
from kit.pipeline.images import MEMORY
from kit.pipeline.order import LOGS
from kit.pipeline.record import RECORD

Outcome = dict[str, Any]  # of a folder: path -> what is in it
ASIDE = {HASHES, MEMORY, "features.json", ".tables", LOGS}  # what only saves time, and logs
HOW = {"seconds", "resumed_at", "images_per_second", "seconds_per_image", "decoding_share", "started"}
CONFIG = "config.yaml"
DIGESTS = "digests.csv"  # of photos: a row each, in the order in which they came


def outcome(folder: Path, timing: Mapping[str, Collection[str]]) -> Outcome:
    """Every file below a folder but locks, by its content. timing: of stages, the files that hold times."""
    names = _names(folder, timing)
    return {name: _content(folder / name, timing.get(Path(name).parent.name, ())) for name in names}


def differences(found: Outcome, expected: Outcome) -> list[str]:
    """What is lost, too much, or another than it should be."""
    out = [f"{name}: lost" for name in sorted(expected.keys() - found.keys())]
    out += [f"{name}: left over" for name in sorted(found.keys() - expected.keys())]
    both = sorted(found.keys() & expected.keys())
    return out + [
        f"{name}: {_change(found[name], expected[name])}" for name in both if found[name] != expected[name]
    ]


def but_config(found: Outcome) -> Outcome:
    """All but the configuration of the run, which says where and by what it is made."""
    return {name: value for name, value in found.items() if Path(name).name != CONFIG}


def finished_stages(folder: Path) -> dict[str, Any]:
    """When each stage of the runs below a folder was begun that is finished, in its place or but for its name."""
    began = {}
    for place in _records(folder):
        began[str(_place(place).relative_to(folder))] = json.loads((place / RECORD).read_text())["started"]
    return began


def untrue(folder: Path, expected: Outcome, timing: Mapping[str, Collection[str]]) -> list[str]:
    """What is wrong in stages that look finished, right after a kill."""
    out = []
    for place in _records(folder):
        stage = str(_place(place).relative_to(folder))
        inside = {name: value for name, value in expected.items() if name.startswith(f"{stage}/")}
        times = timing.get(Path(stage).name, ())
        names = [path.relative_to(place) for path in _files(place)]
        kept = [name for name in names if not _holds_times(place.name / name, {place.name: times})]
        found = {f"{stage}/{name}": _content(place / name, times) for name in kept}
        out += differences(found, inside) if inside else []
    return out


def _records(folder: Path) -> list[Path]:
    """The folders of stages that have a record; those that have not got their names come last."""
    return sorted((path.parent for path in folder.glob(f"runs/*/*/{RECORD}")), key=lambda p: p.name[0] == ".")


def _place(folder: Path) -> Path:
    """Where the folder of a stage belongs that has not got its name yet (or had it before)."""
    return folder.with_name(folder.name.removeprefix(".").removesuffix(".part").removesuffix(".old"))


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.endswith(".lock"))


def _names(folder: Path, timing: Mapping[str, Collection[str]]) -> Iterator[str]:
    for path in _files(folder):
        name = path.relative_to(folder)
        if not ASIDE.intersection(name.parts) and not _holds_times(name, timing):
            yield str(name)


def _holds_times(name: Path, timing: Mapping[str, Collection[str]]) -> bool:
    """Whether a file of a stage is one of those that hold times."""
    for i, part in enumerate(name.parts[:-1]):
        inside = "/".join(name.parts[i + 1 :])
        if any(fnmatch(inside, pattern) for pattern in timing.get(part, ())):
            return True
    return False


def _content(path: Path, timing: Collection[str]) -> Any:
    if path.name == RECORD:
        return _record(json.loads(path.read_text()), timing)
    if path.name == "manifest.json":
        return {name: record["id"] for name, record in json.loads(path.read_text())["stages"].items()}
    if path.name == "downloads.json":
        return json.loads(path.read_text())
    if path.name == DIGESTS:
        return dict(sorted(line.split(",", 1) for line in path.read_text().splitlines()))
    return sha256_of(path)


def _record(record: dict[str, Any], timing: Collection[str]) -> dict[str, Any]:
    files = {n: size for n, size in record["files"].items() if not any(fnmatch(n, t) for t in timing)}
    same = {name: record[name] for name in ("id", "fingerprint")}
    return {**same, "metrics": _without(record["metrics"]), "files": files}


def _without(value: Any) -> Any:
    """A value without times and what tells how it was resumed."""
    if isinstance(value, dict):
        return {key: _without(v) for key, v in value.items() if key not in HOW}
    return value


def _change(found: Any, expected: Any) -> str:
    if not isinstance(found, dict) or not isinstance(expected, dict):
        return "another content"
    keys = [key for key in {**found, **expected} if found.get(key) != expected.get(key)]
    return ", ".join(f"{key} {found.get(key)} instead of {expected.get(key)}"[:300] for key in keys)
