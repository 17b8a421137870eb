"""Weights that a detector starts from: a checkpoint, and the names of its classes, known to fit its heads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kit.base.errors import FileFault, KitError
from kit.base.log import logger
from kit.detector.checkpoint import State, names_in, read_checkpoint, weights_of
from kit.detector.weight_transfer import (
    CLASSIFICATION,
    TransferReport,
    head_classes,
    take_rows,
    transfer_weights,
)
from kit.vocabulary.class_map import listed_names
from kit.vocabulary.class_names import background, is_checkpoint


@dataclass(frozen=True)
class Trained:
    """A checkpoint's weights and its class names, one for each row of its heads but the background."""

    path: Path
    state: State
    names: tuple[str, ...]

    def transferred(self, target: State, class_map: NDArray[np.int64]) -> tuple[State, TransferReport]:
        """`transfer_weights` from these weights; its errors name the checkpoint."""
        try:
            return transfer_weights(self.state, target, class_map)
        except KitError as error:
            raise FileFault(self.path, error.message, hint=error.hint) from None


def read_trained(path: Path, classes: str | Path | None, named: bool = True) -> Trained:
    """A detector's checkpoint and its class names.

    classes: coco or a names file; None takes what the checkpoint says itself. named: without, its classes do not
    matter and have no names. Raises KitError where it is no detector's, where nobody names its classes, and where
    the names are not as many as the rows of its heads.
    """
    checkpoint = read_checkpoint(path)
    state, recorded = weights_of(checkpoint, path), names_in(checkpoint, path)
    count = _count(path, state)
    if count is None:
        raise FileFault(path, f"not a detector's checkpoint: it has no {CLASSIFICATION} layer")
    if not named:
        return Trained(path, state, ())
    if classes is None:
        names = _named(path, recorded)
        _check(names, count, path, path)
    else:
        names = source_names(classes)
        _check(names, count, classes, path)
        _compare(names, recorded, classes, path)
    return Trained(path, state, names)


def with_rows_of(path: Path, state: State, classes: NDArray[np.int64], count: int) -> State:
    """`take_rows` from a checkpoint of `count` classes. Raises KitError, naming it, where it does not fit."""
    donor = read_trained(path, None, named=False)
    classes_there = _count(path, donor.state)
    if classes_there != count:
        raise FileFault(path, f"a detector of {classes_there} classes, but {count} are wanted")
    try:
        return take_rows(state, donor.state, classes)
    except KitError as error:
        raise FileFault(path, error.message, hint=error.hint) from None


def source_names(source: str | Path) -> tuple[str, ...]:
    """Class names in the order of their weights: "coco", a file of names, or a checkpoint.

    Raises KitError where there are none, and where a checkpoint's own names do not fit its heads.
    """
    path = Path(source)
    return own_names(path) if is_checkpoint(path) else listed_names(source)


def own_names(path: Path) -> tuple[str, ...]:
    """The class names that a checkpoint gives itself. Raises KitError, also where they do not fit its heads."""
    checkpoint = read_checkpoint(path)
    names = _named(path, names_in(checkpoint, path))
    count = _count(path, weights_of(checkpoint, path))
    if count is not None:
        _check(names, count, path, path)
    return names


def _count(path: Path, state: State) -> int | None:
    try:
        return head_classes(state)
    except KitError as error:
        raise FileFault(path, error.message, hint=error.hint) from None


def _named(path: Path, names: tuple[str, ...] | None) -> tuple[str, ...]:
    if names is None:
        raise FileFault(path, "the checkpoint does not name its classes", hint="give a names file instead")
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise FileFault(path, f"it names the class {name} twice", hint="give a names file instead")
        seen.add(name)
    return names


def _check(names: Sequence[str], count: int, origin: str | Path, path: Path) -> None:
    """Raise FileFault where the names are not as many as the classes of the checkpoint's heads."""
    if len(names) == count:
        return
    place = background(names)
    if place is None:
        hint = "give the names that it was trained with, in their order"
    else:
        hint = f"name {place + 1} is {names[place]}: the background, the heads' last row, has no name; take it out"
    whose = "" if origin == path else f" ({path})"
    raise FileFault(origin, f"{len(names)} names, the checkpoint has {count} classes{whose}", hint=hint)


def _compare(names: Sequence[str], recorded: Sequence[str] | None, origin: str | Path, path: Path) -> None:
    """Say where given names stand elsewhere than in the checkpoint's own; wholly other words are no such case."""
    given, said = ([name.lower() for name in some] for some in (names, recorded or ()))
    other = [i for i, (one, two) in enumerate(zip(given, said, strict=False)) if one != two]
    if (
        recorded is None
        or len(recorded) != len(names)
        or not other
        or not {given[i] for i in other} & set(said)
    ):
        return
    i, share = other[0], 100 * len(other) / len(names)
    logger.warning(
        f"{origin}: {len(other)} of {len(names)} names ({share:.1f}%) are not those of {path}, first name {i + 1} "
        f"({names[i]}, there {recorded[i]})"
    )
