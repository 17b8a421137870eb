"""Which of the real data a config needs: files, and photos by the annotations that name them."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel

from kit.base.errors import KitError
from kit.base.log import logger
from kit.base.remote_place import address_of
from kit.base.split_names import SplitName
from kit.config import Config
from kit.download.photo_download import PhotoSource
from kit.download.remote import RemoteFile, remotes
from kit.tables.image_lists import distinct_images, image_id_array
from kit.tables.official import read_relations
from kit.vocabulary import PREDICATES, vocabulary

WantedPhotos = tuple[PhotoSource, pa.StringArray]  # where they come from, and their ids
NeededImages = Callable[[SplitName], Collection[str]]  # ids of a split's images that something looks at
Target = Literal["annotations", "photos", "weights", "test", "all"]
ELSEWHERE = "those of a store are read where they lie; set it to a folder to download into"
IN_ADDRESS = (
    r"^[\w-]{1,200}$"  # an id that stands in an address as it is (stricter than `kit.tables.image_name`)
)
PHOTO_BYTES = 293_000  # of a photo of Open Images, on average
FOLDERS = {"train": "train", "stack": "test", "val": "validation", "test": "challenge2018"}


@dataclass(frozen=True)
class PhotoFilter:
    """Which photos: of these splits, so many a split at most, and of what the annotations name there those
    with a relation of these predicates, and with a relation or (without predicates) a box of these classes.

    needed: without predicates and classes only what it gives of a split; None for all that is named.
    part: (i, n) for the i-th of n parts of these, from 1, without what the others have.
    """

    splits: Sequence[SplitName] = ("train", "stack", "val")
    predicates: Sequence[str] = ()
    classes: Sequence[str] = ()
    limit: int | None = None
    needed: NeededImages | None = None
    part: tuple[int, int] = (1, 1)


def photo_part(text: str) -> tuple[int, int]:
    """What "i/n" says of the part of the photos. Raises KitError where that is none."""
    found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
    number, parts = map(int, found.groups()) if found else (0, 0)
    if not 1 <= number <= parts:
        raise KitError(f"--part {text[:30]}: no part", "give one such as 1/8, 2/8, up to 8/8")
    return number, parts


def wanted_files(config: Config, target: Target, every: bool = False) -> list[RemoteFile]:
    """The files of a kind that a key of the config names, in whatever folder; every: also those that none does."""
    named = _named_files(config)
    files = [r for r in _published(config, target) if every or r.path.name in named]
    if target in ("test", "all") and config.data.test.ids:
        samples = remotes("sample", config.data.root)
        files += [replace(sample, path=config.data.test.ids) for sample in samples]
    return files


def tell_unread(config: Config, target: Target) -> None:
    """Log which files of a kind are published and read by nothing of this config."""
    named = _named_files(config)
    unread = [r.path.name for r in _published(config, target) if r.path.name not in named]
    if unread:
        text = f"{len(unread)} published files are left out, this config does not read them"
        logger.info(f"{text} (--all gets them too): {', '.join(unread)}")


def _published(config: Config, target: Target) -> list[RemoteFile]:
    kinds = [kind for kind in ("annotations", "weights") if target in (kind, "all")]
    root, mirror = config.data.root, config.data.download.address()
    return [remote for kind in kinds for remote in remotes(kind, root, mirror)]


def _named_files(part: object) -> set[str]:
    """The names of all files in a part of the configuration."""
    if isinstance(part, Path):
        return {part.name}
    if isinstance(part, BaseModel):
        part = [getattr(part, name) for name in type(part).model_fields]
    values = part.values() if isinstance(part, dict) else part if isinstance(part, list | tuple) else ()
    return {name for value in values for name in _named_files(value)}


def wanted_splits(config: Config, target: Target, photo_filter: PhotoFilter) -> list[SplitName]:
    """The splits whose photos are wanted. Raises KitError for a name that is none, or where what names photos is
    missing while photos alone are asked for.
    """
    for names, known, kind in (
        (photo_filter.predicates, PREDICATES, "predicate"),
        (photo_filter.classes, vocabulary().names, "class"),
    ):
        for name in names:
            _number(name, known, kind)
    splits: list[SplitName] = list(photo_filter.splits) if target in ("photos", "all") else []
    splits += ["test"] if target == "test" or (target == "all" and config.data.test.ids) else []
    for split in splits:
        if getattr(config.data, split).images is None:
            raise KitError(f"data.{split}.images is not set", "say where the photos go")
        if (address := address_of(getattr(config.data, split).images)) is not None:
            raise KitError(f"data.{split}.images is {address}: photos are downloaded into folders", ELSEWHERE)
        missing = [path for path in _named_by(config, split) if not path.exists()]
        if missing and target == "photos":
            hint = "it names the photos: `kit download annotations` first"
            raise KitError(f"{missing[0]} is not there", hint)
    return splits


def wanted_photos(config: Config, split: SplitName, photo_filter: PhotoFilter) -> WantedPhotos | None:
    """Source and ids of the photos of a split; None where the files that name them are not there.

    How many of them the filter's `needed` leaves out is told. Raises KitError.
    """
    if not all(path.exists() for path in _named_by(config, split)):
        return None
    data = config.data
    urls = {r.path.name: r.url for r in remotes("photos", data.root, data.download.address())}
    folder, max_side = getattr(data, split).images, data.download.max_side
    source = PhotoSource(urls[FOLDERS[split]], folder, max_side, data.max_pixels)
    ids = _safe(_ids(config, split, photo_filter), split)
    if photo_filter.needed and split != "test" and not photo_filter.predicates and not photo_filter.classes:
        ids = _only(photo_filter.needed(split), ids, split)
    number, parts = photo_filter.part
    ids = ids.slice(0, photo_filter.limit)
    return source, ids.take(pa.array(np.arange(number - 1, len(ids), parts)))


def _named_by(config: Config, split: str) -> list[Path]:
    """The files that name a split's photos."""
    if split == "test":
        if config.data.test.ids is None:
            raise KitError("data.test.ids is not set", "give the sample submission")
        return [config.data.test.ids]
    files = getattr(config.data, split)
    return [*files.relations, *files.boxes, *files.labels]


def _ids(config: Config, split: str, photo_filter: PhotoFilter) -> pa.StringArray:
    if split == "test":
        return image_id_array(_named_by(config, split)[0])
    files = getattr(config.data, split)
    if not photo_filter.predicates and not photo_filter.classes:
        return distinct_images([*files.relations, *files.boxes])
    labels = [_number(c, vocabulary().names, "class") for c in photo_filter.classes]
    relations = read_relations(files.relations, skip_unknown=True)
    kept = np.ones(len(relations), bool)
    if photo_filter.predicates:
        kept &= np.isin(
            relations.predicate, [_number(p, PREDICATES, "predicate") for p in photo_filter.predicates]
        )
    if labels:
        kept &= np.isin(relations.subject, labels) | np.isin(relations.object, labels)
    ids = pa.array([relations.images[i] for i in np.unique(relations.image[kept])], pa.string())
    return (
        ids
        if photo_filter.predicates
        else pa.concat_arrays([ids, distinct_images(files.boxes, labels)]).unique()
    )


def _only(needed: Collection[str], ids: pa.StringArray, split: str) -> pa.StringArray:
    """Those of the ids that are needed; what that leaves out is told."""
    kept = ids.filter(pc.is_in(ids, pa.array(needed, pa.string())))
    if len(kept) < len(ids):
        few, whole = (f"{PHOTO_BYTES * len(some) / 1e9:,.1f}" for some in (kept, ids))
        logger.info(
            f"photos {split}: `kit train all` looks at {len(kept):,} of {len(ids):,}, about {few} GB instead of "
            f"{whole}; --all gets every one"
        )
    return kept


def _safe(ids: pa.StringArray, split: str) -> pa.StringArray:
    """The ids, where all can be asked for by their names. Raises KitError."""
    valid = pc.fill_null(pc.match_substring_regex(ids, IN_ADDRESS), False)
    first = pc.index(valid, False).as_py()
    if first >= 0:
        hint = "look at the file that names it"
        raise KitError(f"data.{split}: image id {_short(ids[first].as_py())} cannot be a photo's name", hint)
    return ids


def _short(name: str | None) -> str:
    return repr(name) if name is None or len(name) <= 60 else f"{name[:60]!r} ... ({len(name)} characters)"


def report_empty(splits: Sequence[str], photo_filter: PhotoFilter, alone: bool) -> None:
    """Log which splits have no photo to get. Raises KitError where these are all that was asked for (`alone`)."""
    if splits and alone:
        raise KitError(f"photos {', '.join(splits)}: {nothing_fits(photo_filter)}", "choose others")
    for split in splits:
        logger.warning(f"photos {split}: {nothing_fits(photo_filter)}")


def nothing_fits(photo_filter: PhotoFilter) -> str:
    """That nothing fits, with the filter."""
    number, parts = photo_filter.part
    options = (
        ("--predicates", photo_filter.predicates),
        ("--classes", photo_filter.classes),
        ("--part", [f"{number}/{parts}"] * (parts > 1)),
    )
    asked = " ".join(f"{option} {','.join(names)}" for option, names in options if names)
    if asked:
        return f"no photo fits {asked}"
    if photo_filter.needed:
        return (
            "no photo is looked at by `kit train all` with this config; --all gets those that its files name"
        )
    return "no photo is named by the files of the config"


def _number(name: str, names: Sequence[str], kind: str) -> int:
    if name not in names:
        raise KitError(f"no {kind} {name}", f"one of: {', '.join(names)}")
    return names.index(name)


def iter_ids(ids: pa.StringArray) -> Iterator[str]:
    """The ids one by one, few of them as Python's own text at a time."""
    for start in range(0, len(ids), 10_000):
        yield from ids.slice(start, 10_000).to_pylist()
