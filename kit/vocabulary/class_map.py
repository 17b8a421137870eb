"""Class maps for partial weight transfer (paper 2.1): which source class each of the 57 takes its weights from.

A class is matched by its name, else by a synonym, else by what it is a kind of in the Open Images hierarchy
(man: person); in each by a whole source name first, then by a part of one ("Handbag/Satchel", "Desk or table").
The map is a YAML file that a person can edit; every match says on what it is based.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray

from kit.base.errors import FileFault, KitError
from kit.base.files import read_text, write_text
from kit.base.yamlfile import NAMES, compose_names, entries, is_null, line_of
from kit.vocabulary import vocabulary
from kit.vocabulary.class_names import read_names

COCO = "coco"
NOTHING = "no counterpart"
PARTS = re.compile(r"\s+or\s+|[/,;|]", re.IGNORECASE)  # between the parts of a compound name
MAP = "a class map"
MAKE_ONE = "make it with `kit classmap`"


@dataclass(frozen=True)
class Match:
    """A target class, the source class whose weights it takes (None: initialised), and why."""

    name: str
    source: str | None
    basis: str


def build_class_map(source: Sequence[str]) -> tuple[Match, ...]:
    """Match every one of the 57 classes to the given source class names."""
    whole = {_word(name): name for name in reversed(source)}
    parts = {_word(part): name for name in reversed(source) for part in reversed(_parts_of(name))}
    return tuple(_match(name, whole, parts) for name in _own())


def class_indices(source: Sequence[str], origin: str | Path = "the source") -> NDArray[np.int64]:
    """The source index of every target class by `build_class_map`, -1 for none, shape (57,).

    origin: where the names come from. Raises KitError where no class has a counterpart.
    """
    place = {name: i for i, name in enumerate(source)}
    found = (match.source for match in matched(source, origin))
    return np.asarray([-1 if name is None else place[name] for name in found])


def matched(source: Sequence[str], origin: str | Path) -> tuple[Match, ...]:
    """`build_class_map`; raises KitError where no class has a counterpart."""
    matches = build_class_map(source)
    if all(match.source is None for match in matches):
        raise KitError(
            f"{origin}: 0 of {len(matches)} classes matched; its names are {', '.join(source[:3])}, ...",
            "look at the names, or edit the map of `kit classmap coco --out map.yaml`",
        )
    return matches


def listed_names(source: str | Path) -> tuple[str, ...]:
    """Class names in the order of their weights: "coco", or a file of names. Raises KitError without any."""
    return coco_names() if source == COCO else read_names(Path(source))


def coco_names() -> tuple[str, ...]:
    """COCO's 80 classes in the order of its weights."""
    return tuple(files(__package__).joinpath("coco.txt").read_text(encoding="utf-8").split("\n")[:-1])


def write_class_map(path: Path, source: str, matches: Sequence[Match]) -> None:
    """Write the map as YAML: source class or null, and the basis, per target class."""
    table = {m.name: {"source": m.source, "basis": m.basis} for m in matches}
    write_text(path, yaml.safe_dump({"from": source, "classes": table}, sort_keys=False))


def read_class_map(path: Path, source: Sequence[str]) -> NDArray[np.int64]:
    """The source index of every target class, -1 for none, shape (57,).

    Raises FileFault where a class is missing, unknown, there twice, or maps to a name that the source does not
    have, and where no class has a source.
    """
    wanted, place = _wanted(path), {name: i for i, name in enumerate(source)}
    for name, (_, line) in wanted.items():
        if name not in _own():
            raise FileFault(path, f"{name} is not one of the 57 classes", line=line, hint=_near(name, _own()))
    indices = []
    for name in _own():
        if name not in wanted:
            raise FileFault(path, f"class {name} is missing", hint="give it source: null to leave it out")
        chosen, line = wanted[name]
        if chosen is not None and chosen not in place:
            problem = f"{name}: the source has no class {chosen!r}"
            raise FileFault(path, problem, line=line, hint=_near(chosen, source))
        indices.append(-1 if chosen is None else place[chosen])
    if max(indices) < 0:
        raise FileFault(path, f"0 of {len(indices)} classes have a source", hint="give a source to some")
    return np.asarray(indices)


def _wanted(path: Path) -> dict[str, tuple[str | None, int]]:
    """The source name of every class in a map file, and its line."""
    text = read_text(path, MAP, NAMES.size, MAKE_ONE)
    top = entries(path, compose_names(path, text, MAP), "the file")
    if "classes" not in top:
        raise FileFault(path, f"not {MAP}: it has no classes", hint=MAKE_ONE)
    wanted = {}
    for name, node in entries(path, top["classes"], "classes").items():
        entry = entries(path, node, name)
        chosen = entry.get("source")
        if not isinstance(chosen, yaml.ScalarNode):
            problem = f"{name} has no source" if chosen is None else f"the source of {name} is not a name"
            raise FileFault(
                path, problem, line=line_of(chosen or node), hint="write source: NAME or source: null"
            )
        wanted[name] = (None if is_null(chosen) else str(chosen.value), line_of(chosen))
    return wanted


def _near(name: str, known: Sequence[str]) -> str:
    near = get_close_matches(name, known, 1)
    return f"did you mean {near[0]}?" if near else ""


def _match(name: str, whole: dict[str, str], parts: dict[str, str]) -> Match:
    synonyms, kinds = _relatives()[name]
    mid = vocabulary().mids[vocabulary().names.index(name)]
    bases = [(name, "name"), (mid, "id"), *((other, "synonym") for other in synonyms)]
    for other, basis in bases + [(kind, f"a kind of {kind.lower()}") for kind in kinds]:
        if _word(other) in whole:
            return Match(name, whole[_word(other)], basis)
        if _word(other) in parts:
            return Match(name, parts[_word(other)], f"{basis}, a part: {other}")
    return Match(name, None, NOTHING)


def _own() -> tuple[str, ...]:
    return vocabulary().names[: vocabulary().classes]


def _parts_of(name: str) -> list[str]:
    """The parts of a compound name; none where it is not one, nor for an id of Open Images."""
    parts = [part.strip() for part in PARTS.split(name) if part.strip()]
    return parts if len(parts) > 1 and not name.startswith("/") else []


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
