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
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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

    mids, names: one per label, in label order; classes: number of object classes; allowed_triplets: rows of
    (predicate, subject, object), in order.
    """

    mids: tuple[str, ...]
    names: tuple[str, ...]
    classes: int
    allowed_triplets: tuple[tuple[int, int, int], ...]
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
        import numpy as np

        return np.asarray(self.allowed_triplets, np.int64)

    @cached_property
    def allowed(self) -> NDArray[np.bool_]:
        """True where (subject, object) may have the predicate; bool, shape (predicates, labels, labels)."""
        import numpy as np

        allowed = np.zeros((len(self.predicates), self.labels, self.labels), bool)
        allowed[tuple(self.triplets.T)] = True
        allowed.setflags(write=False)
        return allowed

    @property
    def attribute_classes(self) -> tuple[str, ...]:
        """The names of the 42 (object, attribute) classes that "is" relates, by object: "Table is Wooden"."""
        pairs = (
            (subject, object_) for predicate, subject, object_ in self.allowed_triplets if predicate == IS
        )
        return tuple(f"{self.names[subject]} is {self.names[object_]}" for subject, object_ in pairs)


def _rows(name: str) -> list[dict[str, str]]:
    with files(__name__).joinpath(name).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


@lru_cache(maxsize=1)
def vocabulary() -> Vocabulary:
    """The challenge's vocabulary, read once from the package's own tables."""
    labels = sorted(_rows("labels.csv"), key=lambda row: int(row["id"]))
    names = tuple(row["name"] for row in labels)
    index = {name: i for i, name in enumerate(names)}
    triplets = {
        (PREDICATES.index(row["predicate"]), index[row["subject"]], index[name])
        for row in _rows("triplets.csv")
        for name in row["objects"].split("; ")
    }
    return Vocabulary(
        mids=tuple(row["mid"] for row in labels),
        names=names,
        classes=sum(row["kind"] == "class" for row in labels),
        allowed_triplets=tuple(sorted(triplets)),
    )
