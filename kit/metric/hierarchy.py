"""The class hierarchy of Open Images: expansion of boxes and image labels for the detection metric."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.base.errors import FileFault
from kit.base.files import read_text
from kit.tables.schema import Labels

LARGEST = 16 << 20  # bytes; that of Open Images has 86,000


@dataclass(frozen=True)
class Hierarchy:
    """ancestors, descendants: per MID, all of them (itself excluded), the virtual root left out."""

    ancestors: dict[str, tuple[str, ...]]
    descendants: dict[str, tuple[str, ...]]

    def __contains__(self, mid: str) -> bool:
        return mid in self.ancestors


def read_hierarchy(path: Path | str) -> Hierarchy:
    """Read a hierarchy file: nested LabelName and Subcategory; a label may occur in several places.

    Raises FileFault where it is not one, and where a label is its own ancestor.
    """
    ancestors: dict[str, dict[str, None]] = {}
    try:
        todo: list[tuple[Any, tuple[str, ...]]] = [
            (child, ()) for child in reversed(_read(Path(path))["Subcategory"])
        ]
        while todo:
            node, above = todo.pop()
            mid = node["LabelName"]
            if not isinstance(mid, str):
                raise TypeError
            if mid in above:
                raise FileFault(path, f"not a class hierarchy: {mid!r} is its own ancestor")
            ancestors.setdefault(mid, {}).update(dict.fromkeys(above))
            todo += [(child, (*above, mid)) for child in reversed(node.get("Subcategory", ()))]
    except (KeyError, TypeError, AttributeError):
        raise FileFault(path, "not a class hierarchy: LabelName and Subcategory expected") from None
    for mid, parents in ancestors.items():
        if other := next((above for above in parents if mid in ancestors[above]), None):
            problem = f"{mid!r} is above {other!r} in one place and below it in another"
            raise FileFault(path, f"not a class hierarchy: {problem}")
    descendants: dict[str, dict[str, None]] = {mid: {} for mid in ancestors}
    for mid, parents in ancestors.items():
        for ancestor in parents:
            descendants[ancestor][mid] = None
    return Hierarchy(
        {mid: tuple(parents) for mid, parents in ancestors.items()},
        {mid: tuple(below) for mid, below in descendants.items()},
    )


@dataclass(frozen=True)
class ClassRelatives:
    """Of every class of a list its own number, then those of its ancestors, or descendants, in the list."""

    ancestors: tuple[tuple[int, ...], ...]
    descendants: tuple[tuple[int, ...], ...]


def relatives_among(hierarchy: Hierarchy, mids: Sequence[str]) -> ClassRelatives:
    """The relatives of classes among themselves; one that the hierarchy has not has none."""
    place = {mid: i for i, mid in enumerate(mids)}

    def numbers(relatives: dict[str, tuple[str, ...]]) -> tuple[tuple[int, ...], ...]:
        return tuple(
            (i, *(place[other] for other in relatives.get(mid, ()) if other in place))
            for i, mid in enumerate(mids)
        )

    return ClassRelatives(numbers(hierarchy.ancestors), numbers(hierarchy.descendants))


def spread(label: Labels, targets: Sequence[Sequence[int]]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows (m,) and labels (m,) after copying every row to the targets of its label, in their order.

    label: (n,); targets: by label.
    """
    count = np.asarray([len(several) for several in targets], np.intp)
    flat = np.asarray([target for several in targets for target in several], np.intp)
    copies = count[label]
    rows = np.repeat(np.arange(len(label)), copies)
    nth = np.arange(len(rows)) - np.repeat(np.cumsum(copies) - copies, copies)
    return rows, flat[(np.cumsum(count) - count)[label[rows]] + nth]


def _read(path: Path) -> Any:
    text = read_text(path, "a class hierarchy", LARGEST)
    try:
        return json.loads(text)
    except RecursionError:
        raise FileFault(path, "not a class hierarchy: nested too deeply") from None
    except ValueError as error:  # not JSON, a number of too many digits
        raise FileFault(path, f"not a JSON file ({error})", line=getattr(error, "lineno", None)) from None
