"""Boxes that feed training, fusion or a submission: none inverted, all within [0, 1]; what that costs is told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.boxes import inverted
from kit.tables.left_out import LeftOut
from kit.tables.official_columns import box_columns
from kit.tables.ranges import clip_boxes, refuse_outside, tell_without_area
from kit.tables.source import Source

Array = NDArray[Any]


def checked_boxes(
    source: Source, left: LeftOut, boxes: list[Array], sides: Sequence[str], strict: bool
) -> list[Array]:
    """The boxes, none inverted; with `strict` within [0, 1], and what that costs told.

    sides: of every array of boxes, what its columns' names end in. Raises FileFault.
    """
    for side, box in zip(sides, boxes, strict=True):
        if strict:
            refuse_outside(source, tuple(c.name for c in box_columns(side)), box)
        refuse_inverted(source, box, side)
    if strict:
        boxes = clip_boxes(left, source, boxes)
        tell_without_area(left, source, boxes)
    return boxes


def refuse_inverted(source: Source, box: Array, side: str = "") -> None:
    """Raise FileFault at the first box that ends before it begins."""
    wrong = inverted(box)
    if wrong.any():
        row = int(np.argmax(wrong))
        axis = "X" if box[row, 0] > box[row, 2] else "Y"
        problem = f"inverted box: {axis}Min{side} is over {axis}Max{side}"
        raise source.fault(row, f"{axis}Min{side}", problem)
