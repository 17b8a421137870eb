"""What a config needs and does not have yet, and getting it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import aiohttp
import numpy as np

from kit.config import Config
from kit.download.fetch import FetchError, fetch, is_whole, limits
from kit.download.photos import Album, Tally, fetch_photos, whole_jpeg
from kit.download.registry import Remote, remotes
from kit.errors import KitError
from kit.files import write_json
from kit.progress import Line
from kit.tables.official import read_image_ids, read_relations
from kit.vocabulary import PREDICATES, vocabulary

What = Literal["annotations", "photos", "weights", "test", "all"]
FOLDERS = {"train": "train", "stack": "test", "val": "validation", "test": "challenge2018"}
RECORD = "downloads.json"  # size and sha256 of every file that was got


@dataclass(frozen=True)
class Choice:
    """Which photos: of these splits, with these predicates and classes (none: any), so many a split at most."""

    splits: Sequence[str] = ("train", "stack", "val")
    predicates: Sequence[str] = ()
    classes: Sequence[str] = ()
    limit: int | None = None


@dataclass
class Outcome:
    """What came of a download."""

    files: list[str] = field(default_factory=list)
    photos: dict[str, Tally] = field(default_factory=dict)
    failed: list[tuple[str, str]] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing is left to get, missing photos apart."""
        return not self.failed and not any(t.failures() for t in self.photos.values())


def wanted_files(config: Config, what: What) -> list[Remote]:
    """The files of a kind that the config needs; of the weights those of its detectors."""
    root, mirror = config.data.root, config.data.download.mirror
    files = remotes("annotations", root, mirror) if what in ("annotations", "all") else []
    if what in ("weights", "all"):
        named = {m.weights.resolve() for m in config.detector.models.values() if m.weights}
        files += [r for r in remotes("weights", root, mirror) if r.path.resolve() in named]
    return files


def wanted_photos(config: Config, what: What, choice: Choice) -> list[tuple[str, Album, list[str]]]:
    """Split, album and ids of the photos that the annotations (the sample submission) name."""
    splits = list(choice.splits) if what in ("photos", "all") else []
    if what == "test" or (what == "all" and config.data.test.ids and config.data.test.ids.exists()):
        splits.append("test")
    urls = {r.path.name: r.url for r in remotes("photos", config.data.root, config.data.download.mirror)}
    out = []
    for split in splits:
        files = getattr(config.data, split)
        if files.images is None:
            raise KitError(f"data.{split}.images is not set", "say where the photos go")
        album = Album(urls[FOLDERS[split]], files.images, config.data.download.longest)
        out.append((split, album, _ids(config, split, choice)[: choice.limit]))
    return out


def _ids(config: Config, split: str, choice: Choice) -> list[str]:
    if split == "test":
        if config.data.test.ids is None:
            raise KitError("data.test.ids is not set", "give the sample submission")
        return list(read_image_ids(config.data.test.ids))
    relations = read_relations(getattr(config.data, split).relations, others=True)
    kept = np.ones(len(relations), bool)
    if choice.predicates:
        kept &= np.isin(relations.predicate, [_number(p, PREDICATES, "predicate") for p in choice.predicates])
    if choice.classes:
        labels = [_number(c, vocabulary().names, "class") for c in choice.classes]
        kept &= np.isin(relations.subject, labels) | np.isin(relations.object, labels)
    return [relations.images[i] for i in np.unique(relations.image[kept])]


def _number(name: str, names: Sequence[str], kind: str) -> int:
    if name not in names:
        raise KitError(f"no {kind} {name}", f"one of: {', '.join(names)}")
    return names.index(name)


def download(config: Config, what: What, choice: Choice, ask_again: bool = False) -> Outcome:
    """Get what is not there; what fails is told at the end and tried again by the next call."""
    outcome = Outcome()
    asyncio.run(_download_files(config, wanted_files(config, what), outcome))
    for split, album, ids in wanted_photos(config, what, choice) if not outcome.failed else ():
        outcome.photos[split] = asyncio.run(_download_photos(config, split, album, ids, ask_again))
    return outcome


async def _download_files(config: Config, files: Sequence[Remote], outcome: Outcome) -> None:
    patience = config.data.download.patience()
    async with aiohttp.ClientSession(timeout=limits(patience)) as session:
        for remote in files:
            line = Line(0, f"get {remote.path.name}")
            line.begin()
            arrived = 0

            def tell(n: int, line: Line = line) -> None:
                nonlocal arrived
                arrived += n
                line.total = max(line.total, arrived)
                line.show(arrived, f"{arrived / 1e6:,.1f} MB")

            try:
                if await fetch(session, remote, patience, tell):
                    outcome.files.append(str(remote.path))
                    note(config.data.root, remote.path)
            except FetchError as error:
                outcome.failed.append((remote.url, error.cause))
            finally:
                line.close()


async def _download_photos(
    config: Config, split: str, album: Album, ids: Sequence[str], ask_again: bool
) -> Tally:
    line, start = Line(len(ids), f"photos {split}"), time.monotonic()
    line.begin()

    def tell(tally: Tally) -> None:
        seconds = max(time.monotonic() - start, 1e-3)
        done = tally.got + tally.there + tally.missing + tally.failures()
        rate = f"{tally.got / seconds:,.0f} files/s, {tally.bytes / seconds / 1e6:,.1f} MB/s"
        line.show(done, f"{rate}, {tally.missing} missing")

    settings = config.data.download
    try:
        return await fetch_photos(album, ids, settings.at_once, settings.patience(), tell, ask_again)
    finally:
        line.close()


def note(root: Path, path: Path) -> None:
    """Remember a file's size and sha256."""
    known = _known(root)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    known[str(path.relative_to(root))] = {"size": path.stat().st_size, "sha256": digest}
    write_json(root / RECORD, known)


def verify(config: Config, what: What, choice: Choice) -> list[str]:
    """Take away what is not as it came, so that `download` gets it again; the names."""
    root, bad = config.data.root, []
    known = _known(root)
    files = wanted_files(config, what)
    annotated = all(r.path.exists() for r in files)
    albums = wanted_photos(config, what, choice) if annotated else []
    for remote in files:
        own = known.get(str(remote.path.relative_to(root)), {})
        expected = Remote(remote.url, remote.path, own.get("size"), own.get("sha256", remote.sha256))
        if remote.path.exists() and not is_whole(expected):
            bad.append(str(remote.path))
            remote.path.unlink()
    for _, album, ids in albums:
        bad += _broken(album, ids)
    return bad


def _broken(album: Album, ids: Iterable[str]) -> list[str]:
    bad = []
    for name in ids:
        path = album.folder / f"{name}.jpg"
        try:
            whole_jpeg(path.read_bytes())
        except FileNotFoundError:
            continue
        except (FetchError, OSError):
            bad.append(str(path))
            path.unlink()
    return bad


def _known(root: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((root / RECORD).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}
