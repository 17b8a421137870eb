"""What can be right in a table: coordinates and scores in [0, 1], and ids that can be the names of images.

What lies outside by more than rounding is refused, what lies outside by less is clipped and counted.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from kit.boxes import OVERSHOOT
from kit.tables.arrow import as_numpy
from kit.tables.csvfile import CsvFile
from kit.tables.image_name import BAD, LONGEST, why_bad
from kit.tables.left_out import LeftOut
from kit.tables.source import Source

SCORE_ROUNDING = 1e-6
PIXELS, PERCENT = 2.0, 1.5  # from here on a value looks like one
Array = NDArray[Any]


def refuse_outside(source: Source, names: tuple[str, ...], box: Array) -> None:
    """Raise FileFault at the first coordinate that is beyond [0, 1] by more than rounding; box: float (n, 4)."""
    wrong = (box < -OVERSHOOT) | (box > 1 + OVERSHOOT)
    if wrong.any():
        row, side = divmod(int(np.argmax(wrong)), 4)
        value = float(box[row, side])
        pixels = np.abs(box[row]).max() >= PIXELS
        raise source.fault(
            row,
            names[side],
            f"{value:g} is outside [0, 1]{': pixels?' if pixels else ''}",
            hint="coordinates are fractions of the image's width and height",
        )


def clip_boxes(left: LeftOut, source: Source, boxes: list[Array]) -> list[Array]:
    """The boxes within [0, 1]; how many rows that keeps from lying outside is told."""
    outside = np.zeros(left.rows, bool)
    for box in boxes:
        if len(box) and (box.min() < 0 or box.max() > 1):
            outside |= ((box < 0) | (box > 1)).any(axis=1)
    outside &= left.kept
    consequence = f"lie outside [0, 1] by at most {OVERSHOOT} and are clipped"
    left.tell(outside, int(left.kept.sum()), "boxes", consequence, source.place)
    return [box.clip(0, 1) for box in boxes] if outside.any() else boxes


def tell_without_area(left: LeftOut, source: Source, boxes: list[Array]) -> None:
    """Tell how many of the rows that stay have a box without area."""
    flat = np.zeros(left.rows, bool)
    for box in boxes:
        flat |= (box[:, 0] >= box[:, 2]) | (box[:, 1] >= box[:, 3])
    flat &= left.kept
    consequence = "have no area and count for nothing"
    left.tell(flat, int(left.kept.sum()), "boxes", consequence, source.place)


def checked_scores(source: Source, name: str, score: Array) -> Array:
    """The scores, where all lie in [0, 1]. Raises FileFault at the first that does not."""
    wrong = (score < -SCORE_ROUNDING) | (score > 1 + SCORE_ROUNDING)
    if wrong.any():
        row = int(np.argmax(wrong))
        percent = score.min() >= 0 and PERCENT <= score.max() <= 100
        raise source.fault(
            row,
            name,
            f"score {score[row]:g} is outside [0, 1]{': percent?' if percent else ''}",
            hint="scores are probabilities",
        )
    return np.clip(score, 0, 1)


def refuse_bad_ids(file: CsvFile, column: str, row: int, values: pa.Array) -> None:
    """Raise FileFault at the first id that is empty or cannot be a file's name; row: of the first value."""
    coded = pa.types.is_dictionary(values.type)
    bad = _bad_names(values.dictionary if coded else values)
    if coded and len(bad):
        bad = np.flatnonzero(np.isin(as_numpy(values.indices), bad))
    if len(bad):
        first = int(bad[0])
        raise file.fault(row + first, column, why_bad(values[first].as_py()))


def _bad_names(names: pa.Array) -> Array:
    """The rows of texts that can be no image's id."""
    length = as_numpy(pc.binary_length(names))
    wrong = np.flatnonzero((length == 0) | (length > LONGEST))
    texts = as_numpy(pc.indices_nonzero(pc.match_substring_regex(names, BAD)))
    return np.union1d(wrong, texts.astype(np.int64))
