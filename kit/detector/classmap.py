"""Class maps for partial weight transfer (paper 2.1): which source class each of the 57 takes its weights from.

A class is matched by its name, else by a synonym, else by what it is a kind of in the Open Images hierarchy
(man: person). The map is a YAML file that a person can edit; every match says on what it is based.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from kit.errors import FileFault, KitError
from kit.vocabulary import vocabulary

COCO = "coco"
NOTHING = "no counterpart"


@dataclass(frozen=True)
class Match:
    """A target class, the source class whose weights it takes (None: initialised), and why."""

    name: str
    source: str | None
    basis: str


def build_class_map(source: Sequence[str]) -> tuple[Match, ...]:
    """Match every one of the 57 classes to the given source class names."""
    by_word = {_word(name): name for name in reversed(source)}
    return tuple(_match(name, by_word) for name in vocabulary().names[: vocabulary().classes])


def class_indices(source: Sequence[str]) -> NDArray[np.int64]:
    """The source index of every target class by `build_class_map`, -1 for none, shape (57,)."""
    place = {name: i for i, name in enumerate(source)}
    return np.asarray([-1 if m.source is None else place[m.source] for m in build_class_map(source)])


def source_names(source: str) -> tuple[str, ...]:
    """Class names in the order of their weights: "coco", a file with a name a line, or a checkpoint (.pth).

    Raises KitError where there are none.
    """
    if source == COCO:
        return tuple(files(__package__).joinpath("coco.txt").read_text(encoding="utf-8").split("\n")[:-1])
    path = Path(source)
    if path.suffix in (".pth", ".pt"):
        return _names_of_checkpoint(path)
    try:
        names = tuple(line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    except FileNotFoundError:
        raise FileFault(path, "no such file", hint="give coco, a names file or a checkpoint") from None
    except (OSError, UnicodeDecodeError) as error:
        raise FileFault(path, f"not a file of class names ({error})") from None
    repeated = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if not names or repeated:
        raise FileFault(path, f"{repeated} is there twice" if repeated else "no class name")
    return names


def write_class_map(path: Path, source: str, matches: Sequence[Match]) -> None:
    """Write the map as YAML: source class or null, and the basis, per target class."""
    from kit.files import write_text

    table = {m.name: {"source": m.source, "basis": m.basis} for m in matches}
    write_text(path, yaml.safe_dump({"from": source, "classes": table}, sort_keys=False))


def read_class_map(path: Path, source: Sequence[str]) -> NDArray[np.int64]:
    """The source index of every target class, -1 for none, shape (57,).

    Raises FileFault where a class is missing, unknown, or maps to a name that the source does not have.
    """
    try:
        table: Any = yaml.safe_load(path.read_text(encoding="utf-8"))["classes"]
        wanted = {name: entry["source"] for name, entry in table.items()}
    except FileNotFoundError:
        raise FileFault(path, "no such file", hint="make it with `kit classmap`") from None
    except (yaml.YAMLError, OSError, UnicodeDecodeError, KeyError, TypeError, AttributeError):
        raise FileFault(path, "not a class map", hint="make it with `kit classmap`") from None
    own = vocabulary().names[: vocabulary().classes]
    for name in wanted:
        if name not in own:
            raise FileFault(path, f"{name} is not one of the 57 classes")
    place = {name: i for i, name in enumerate(source)}
    indices = []
    for name in own:
        if name not in wanted:
            raise FileFault(path, f"class {name} is missing", hint="give it source: null to leave it out")
        if wanted[name] is not None and wanted[name] not in place:
            raise FileFault(path, f"{name}: the source has no class {wanted[name]!r}")
        indices.append(-1 if wanted[name] is None else place[wanted[name]])
    return np.asarray(indices)


def _match(name: str, by_word: dict[str, str]) -> Match:
    synonyms, kinds = _relatives()[name]
    if _word(name) in by_word:
        return Match(name, by_word[_word(name)], "name")
    for other in synonyms:
        if _word(other) in by_word:
            return Match(name, by_word[_word(other)], "synonym")
    for kind in kinds:
        if _word(kind) in by_word:
            return Match(name, by_word[_word(kind)], f"a kind of {kind.lower()}")
    return Match(name, None, NOTHING)


def _word(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum())


@lru_cache(maxsize=1)
def _relatives() -> dict[str, tuple[list[str], list[str]]]:
    """Synonyms and kinds (nearest first) of every class."""
    with files(__package__).joinpath("classmap.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {r["name"]: (_parts(r["synonyms"]), _parts(r["kinds"])) for r in rows}


def _parts(text: str) -> list[str]:
    return [part for part in text.split("; ") if part]


def _names_of_checkpoint(path: Path) -> tuple[str, ...]:
    from kit.detector.checkpoint import read_checkpoint

    meta = read_checkpoint(path).get("meta") or {}
    names = (meta.get("dataset_meta") or {}).get("classes") or meta.get("CLASSES")
    if not names:
        raise KitError(f"{path}: the checkpoint does not name its classes", "give a names file instead")
    return tuple(str(name) for name in names)
