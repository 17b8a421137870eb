"""The records of a COCO file: its images, its categories, references and numbers; each fault with its record."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.base.errors import FileFault
from kit.base.log import logger
from kit.boxes import OVERSHOOT
from kit.tables.image_name import is_image_name, why_bad
from kit.tables.left_out import LeftOut
from kit.tables.schema import LABEL
from kit.tables.unpack import BROKEN, broken, kind_of, open_unpacked

INSTANCES = "a COCO instances file"
MOST_CLASSES = int(np.iinfo(LABEL).max) + 1
NUMBERS = {int, float, bool}
LARGEST = int(sys.float_info.max)
ROUNDING = 1.0  # pixels that a box may lie outside its image, or OVERSHOOT of the side where that is more
UNSEEN = 0.02  # pixels: what two decimals of a corner and a side may add up to
FORM = "a bbox is x, y, width, height in pixels"
Id = (int, float, str)
Doubles = NDArray[np.float64]


@dataclass
class CocoImages:
    """names: ids of the images in file order; number: of an image by its COCO id; size: (width, height)."""

    names: tuple[str, ...]
    number: dict[Any, int]
    size: Doubles

    @classmethod
    def of(cls, path: Path, records: list[dict[str, Any]]) -> CocoImages:
        """The images of a file. Raises FileFault."""
        number = numbered(path, "image", records)
        names = [
            Path(text_of(path, "image", i, record, "file_name")).stem for i, record in enumerate(records)
        ]
        bad = next((i for i, name in enumerate(names) if not is_image_name(name)), None)
        if bad is not None:
            place = record_name("image", bad, records[bad])
            raise FileFault(path, f"{place}: file_name: {why_bad(names[bad])}")
        if len(set(names)) < len(names):
            first = {name: i for i, name in reversed(list(enumerate(names)))}
            i = next(i for i, name in enumerate(names) if first[name] != i)
            raise FileFault(
                path, f"{record_name('image', i, records[i])}: a second image is named {names[i]}"
            )
        size = numbers_of(path, "image", records, lambda record: (record["width"], record["height"]), 2)
        if (wrong := (size < 1).any(axis=1)).any():
            i = int(np.argmax(wrong))
            size_text = f"{size[i, 0]:g} x {size[i, 1]:g}"
            raise FileFault(
                path, f"{record_name('image', i, records[i])}: {size_text} is no size of an image"
            )
        return cls(tuple(names), number, size)


def classes_of(path: Path, records: list[dict[str, Any]]) -> tuple[dict[Any, int], tuple[str, ...]]:
    """The label of every category id, and the names by label."""
    if len(records) > MOST_CLASSES:
        raise FileFault(path, f"{len(records):,} categories, {MOST_CLASSES:,} at most")
    numbered(path, "category", records)
    try:
        ordered = sorted(records, key=lambda record: record["id"])
    except TypeError:
        raise FileFault(path, f"not {INSTANCES} (category ids of several types)") from None
    names = tuple(text_of(path, "category", i, record, "name") for i, record in enumerate(ordered))
    bad = next((i for i, name in enumerate(names) if not name.strip() or not name.isprintable()), None)
    if bad is not None:
        place = record_name("category", bad, ordered[bad])
        raise FileFault(path, f"{place}: name: {names[bad][:40]!r} is no name of a class")
    first = {name: i for i, name in reversed(list(enumerate(names)))}
    if again := [i for i, name in enumerate(names) if first[name] != i]:
        count = f"{len(again)} categor{'y has' if len(again) == 1 else 'ies have'} the name of an earlier one"
        logger.warning(
            f"{path}: {count}, the first {record_name('category', again[0], ordered[again[0]])}, "
            f"{names[again[0]]}: each is a class of its own"
        )
    return {record["id"]: label for label, record in enumerate(ordered)}, names


def as_fractions(
    path: Path, left: LeftOut, box: Doubles, size: Doubles, place: Callable[[int], str]
) -> tuple[Doubles, NDArray[np.bool_]]:
    """Corners as fractions of the images, from x, y, width, height in pixels; and which boxes lie outside theirs.

    What lies outside by no more than rounding is clipped and told. Raises FileFault at a negative side, and where
    all boxes look like fractions already.
    """
    with np.errstate(over="ignore"):
        low, high = box[:, :2], box[:, :2] + box[:, 2:]
    if (negative := (box[:, 2:] < 0).any(axis=1)).any():
        row = int(np.argmax(negative))
        raise FileFault(path, f"{place(row)}: bbox has a negative side: {shown(box[row])}")
    if (
        len(box) and (high <= 1 + OVERSHOOT).all() and (box % 1).any()
    ):  # no set has all boxes in its first pixels
        text = f"bbox {shown(box[0])}, like all in the file, lies within the image's first pixel: fractions?"
        raise FileFault(path, f"{place(0)}: {text}", hint=FORM)
    over = np.maximum(-low, high - size)
    beyond: NDArray[np.bool_] = np.asarray((over > np.maximum(ROUNDING, OVERSHOOT * size)).any(axis=1))
    clipped = (over > UNSEEN).any(axis=1) & ~beyond
    consequence = "lie outside their image by no more than rounding and are clipped"
    left.tell(clipped, left.rows, "boxes", consequence, place)
    fractions = np.concatenate([low / size, high / size], axis=1)
    return np.where(beyond[:, None], fractions, fractions.clip(0, 1)), beyond


def json_content(path: Path, what: str) -> Any:
    """The value of a JSON file, plain or packed. Raises FileFault: not `what`, and why."""
    with open_unpacked(path) as file:
        try:
            data = file.read()
        except BROKEN as error:
            raise broken(path, error) from None
    if not data.strip():
        raise FileFault(path, f"empty: not {what}")
    if kind := kind_of(data):
        raise FileFault(path, f"{kind} data, not {what}")
    try:
        content = json.loads(data.decode("utf-8-sig"))
    except json.JSONDecodeError as error:
        problem = f"not {what} ({error.msg})"
        raise FileFault(path, problem, line=error.lineno) from None
    except UnicodeDecodeError:
        raise FileFault(path, f"not {what} (not UTF-8 text)") from None
    except RecursionError:
        raise FileFault(path, f"not {what} (nested too deeply)") from None
    except ValueError as error:  # an integer of thousands of digits
        raise FileFault(path, f"not {what} ({error})") from None
    return content


def records_of(path: Path, content: dict[str, Any], name: str, what: str = INSTANCES) -> list[dict[str, Any]]:
    """A list of records that a file has. Raises FileFault where it has none, or an empty one."""
    records = content.get(name)
    if records is None:
        raise FileFault(path, f"not {what}: {name!r} is missing")
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise FileFault(path, f"not {what}: {name!r} is no list of objects")
    if not records:
        raise FileFault(path, f"not {what}: {name!r} is empty")
    return records


def numbered(path: Path, kind: str, records: list[dict[str, Any]]) -> dict[Any, int]:
    """The place of every record of a kind by its id. Raises FileFault where an id is there twice or is none."""
    number: dict[Any, int] = {}
    for i, record in enumerate(records):
        own = _value(path, kind, i, record, "id")
        if not isinstance(own, Id):
            raise FileFault(path, f"{kind} {i + 1}: {own!r} is no id")
        if number.setdefault(own, i) != i:
            raise FileFault(path, f"{kind} {i + 1}: the id {own!r} is there twice")
    return number


def references(
    path: Path, kind: str, records: list[dict[str, Any]], key: str, number: dict[Any, int]
) -> NDArray[np.int64]:
    """The records that others, of this kind, refer to, by their numbers."""
    out = np.zeros(len(records), np.int64)
    for i, record in enumerate(records):
        own = record.get(key)
        if not isinstance(own, Id) or own not in number:
            problem = f"{key} is missing" if own is None else f"{key} {own!r} is not defined"
            raise FileFault(path, f"{record_name(kind, i, record)}: {problem}")
        out[i] = number[own]
    return out


def numbers_of(
    path: Path,
    kind: str,
    records: list[dict[str, Any]],
    values: Callable[[dict[str, Any]], Sequence[Any]],
    width: int,
) -> Doubles:
    """So many finite numbers of every record, shape (records, width)."""
    rows = []
    for i, record in enumerate(records):
        try:
            row = values(record)
        except KeyError as error:
            raise FileFault(path, f"{record_name(kind, i, record)}: {error} is missing") from None
        if not isinstance(row, (list, tuple)) or len(row) != width or not set(map(type, row)) <= NUMBERS:
            expected = f"{width} numbers" if width > 1 else "a number"
            problem = f"expected {expected}, given {str(row)[:80]}"
            raise FileFault(path, f"{record_name(kind, i, record)}: {problem}")
        rows.append(row)
    try:
        out = np.asarray(rows, np.float64).reshape(-1, width)
    except OverflowError:
        i = next(i for i, row in enumerate(rows) if any(abs(value) > LARGEST for value in row))
        raise FileFault(path, f"{record_name(kind, i, records[i])}: a number that is too large") from None
    if not (good := np.isfinite(out).all(axis=1)).all():
        i = int(np.argmin(good))
        raise FileFault(path, f"{record_name(kind, i, records[i])}: {shown(out[i])} is not finite")
    return out


def _value(path: Path, kind: str, i: int, record: dict[str, Any], key: str) -> Any:
    if key not in record:
        raise FileFault(path, f"{record_name(kind, i, record)}: {key!r} is missing")
    return record[key]


def text_of(path: Path, kind: str, i: int, record: dict[str, Any], key: str) -> str:
    """A text of a record. Raises FileFault where there is none."""
    text = _value(path, kind, i, record, key)
    if not isinstance(text, str) or (not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text)):
        raise FileFault(path, f"{record_name(kind, i, record)}: {key} is no text: {text!r}")
    return text


def record_name(kind: str, i: int, record: dict[str, Any]) -> str:
    """A record in words: its place in the list and its id."""
    own = record.get("id")
    return f"{kind} {i + 1}" + (f" (id {str(own)[:40]})" if isinstance(own, Id) else "")


def shown(values: Doubles) -> str:
    """Numbers in a message."""
    return "[" + ", ".join(f"{value:g}" for value in values) + "]"
