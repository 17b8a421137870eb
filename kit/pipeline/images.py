"""Which images a stage reads, for its fingerprint: by names and sizes, wherever they lie."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kit.base.errors import KitError
from kit.base.files import read_json, write_json
from kit.base.log import warn_once
from kit.data.photos import list_photos
from kit.pipeline.run import Run

if TYPE_CHECKING:
    from kit.pipeline.pipeline import Pipeline

MEMORY = "images.json"  # in a run's folder: what was found of a folder that has not changed since
Found = dict[str, Any]
_listed: dict[Path, tuple[dict[str, int], str]] | None = None


def images_key(run: Run, folder: Path, named: str, wanted: Callable[[], Sequence[str]]) -> Found:
    """How many images are wanted and there, and a digest of the names and sizes of those; and how they are read.

    named: tells one set of wanted images from another (hashes of the files that name them); wanted: their ids,
    asked for only where the folder or `named` has changed. Raises KitError where the folder has none.
    """
    sizes, stamp = _listing(folder)
    place = f"{folder.resolve()} {named}"
    memory = _memory(run)
    known: Any = memory.get(place)
    if not _is_found(known) or known["folder"] != stamp:
        known = {"folder": stamp, **_found(sizes, wanted())}
        with suppress(KitError):  # a run that cannot be written to can be looked at
            if run.path.is_dir():
                write_json(run.path / MEMORY, {**memory, place: known})
    if not known["there"]:
        raise KitError(
            f"{folder}: none of the {known['wanted']} images wanted is here",
            "run `kit download`, or set data.*.images",
        )
    found = {name: known[name] for name in ("wanted", "there", "digest")}
    return {**found, **run.config.data.decoding().model_dump()}


@contextmanager
def listed_once() -> Iterator[None]:
    """Inside, every folder is listed once: for a look at many stages that changes nothing."""
    global _listed
    before, _listed = _listed, {}
    try:
        yield
    finally:
        _listed = before


def digest(texts: Iterable[str]) -> str:
    """A hash of texts in order."""
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def say_left_out(pipeline: Pipeline, stage: str) -> None:
    """One notice, a kind of images, of those that a stage or the detections that it needs could not look at."""
    for name in pipeline.closure([stage]):
        record = pipeline.run.record(name)
        split = re.fullmatch(r"(?:attribute-)?detect-(\w+?)-.*", name)
        if split and record and record["metrics"].get("left_out"):
            _tell_left_out(split[1], record)


def _tell_left_out(split: str, record: dict[str, Any]) -> None:
    images = record["fingerprint"]["inputs"].get(f"data.{split}.images")
    if images is None:  # a plugin's stage of such a name
        return
    total, gone = images["wanted"], images["wanted"] - images["there"]
    unread = record["metrics"]["left_out"] - gone
    parts = []
    if gone:
        parts.append(f"{gone} of {total} {split} images ({gone / total:.1%}) were not there")
    if unread > 0:
        parts.append(f"{unread} of {total} {split} images ({unread / total:.1%}) could not be read")
    warn_once(f"{' and '.join(parts)} when detection ran; skipped.csv of the stage names them")


def _listing(folder: Path) -> tuple[dict[str, int], str]:
    place = folder.resolve()
    if _listed is not None and place in _listed:
        return _listed[place]
    sizes = list_photos(folder).sizes()
    listing = sizes, _sizes_digest(sizes)
    if _listed is not None:
        _listed[place] = listing
    return listing


def _found(sizes: dict[str, int], wanted: Sequence[str]) -> Found:
    there = {name: sizes[name] for name in wanted if name in sizes}
    return {"wanted": len(set(wanted)), "there": len(there), "digest": _sizes_digest(there)}


def _sizes_digest(sizes: dict[str, int]) -> str:
    return digest([f"{name} {size}" for name, size in sorted(sizes.items())])


def _memory(run: Run) -> dict[str, Any]:
    """What was found before; nothing where that cannot be read."""
    try:
        return read_json(run.path / MEMORY, dict)
    except KitError:
        return {}


def _is_found(known: Any) -> bool:
    kinds = {"folder": str, "wanted": int, "there": int, "digest": str}
    return isinstance(known, dict) and all(isinstance(known.get(k), kind) for k, kind in kinds.items())
