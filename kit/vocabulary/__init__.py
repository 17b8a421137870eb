"""The challenge's vocabulary: 57 object classes, 5 attributes, 10 predicates, 329 triplets.

A label is an integer: its rank by the official class id, object classes first (0-56), then attributes
(57-61). A predicate is its official id minus one (0-9). Both orders are those by which the metric breaks
ties (`metric`, rule R4).
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

PREDICATES = (
    "at",
    "on",
    "holds",
    "plays",
    "interacts_with",
    "wears",
    "is",
    "inside_of",
    "under",
    "hits",
)
IS = PREDICATES.index("is")


@dataclass(frozen=True)
class Vocabulary:
    """Names and integers of the challenge.

    mids, names: one per label, in label order; classes: number of object classes;
    allowed: bool, shape (predicates, labels, labels), True where (subject, object) may have the predicate.
    """

    mids: tuple[str, ...]
    names: tuple[str, ...]
    classes: int
    allowed: NDArray[np.bool_]
    predicates: tuple[str, ...] = PREDICATES

    @cached_property
    def label(self) -> dict[str, int]:
        """MID to label."""
        return {mid: i for i, mid in enumerate(self.mids)}

    @cached_property
    def predicate(self) -> dict[str, int]:
        """Predicate name to predicate."""
        return {name: i for i, name in enumerate(self.predicates)}

    @property
    def labels(self) -> int:
        """Number of labels: object classes and attributes together."""
        return len(self.mids)

    @property
    def triplets(self) -> NDArray[np.int64]:
        """The allowed triplets, rows of (predicate, subject, object), shape (329, 3)."""
        return np.argwhere(self.allowed)


def _rows(name: str) -> list[dict[str, str]]:
    with files(__name__).joinpath(name).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


@lru_cache(maxsize=1)
def vocabulary() -> Vocabulary:
    """The challenge's vocabulary, read once from the package's own tables."""
    labels = sorted(_rows("labels.csv"), key=lambda row: int(row["id"]))
    names = tuple(row["name"] for row in labels)
    index = {name: i for i, name in enumerate(names)}
    allowed = np.zeros((len(PREDICATES), len(names), len(names)), bool)
    for row in _rows("triplets.csv"):
        for name in row["objects"].split("; "):
            allowed[PREDICATES.index(row["predicate"]), index[row["subject"]], index[name]] = True
    allowed.setflags(write=False)
    return Vocabulary(
        mids=tuple(row["mid"] for row in labels),
        names=names,
        classes=sum(row["kind"] == "class" for row in labels),
        allowed=allowed,
    )
