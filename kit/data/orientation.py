"""How an image and its boxes are turned to be seen upright: by EXIF's orientation, or Open Images' Rotation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kit.tables.csvfile import Column, CsvFile
from kit.tables.schema import Floats

Pixels = NDArray[np.uint8]
OF_ROTATION = {0: 1, 90: 8, 180: 3, 270: 6}  # degrees counterclockwise -> EXIF's orientation
MIRRORED = (2, 4, 5, 7)
QUARTERS = {1: 0, 2: 0, 3: 2, 4: 2, 5: 1, 6: 3, 7: 3, 8: 1}  # turns counterclockwise, after the mirror


def upright(image: Pixels, boxes: Floats, orientation: int) -> tuple[Pixels, Floats]:
    """A stored image (height, width, ...) and its boxes, normalised xyxy (n, 4), as they are meant to be seen.

    orientation: EXIF's, 1 to 8, as `kit.data.jpeg.orientation` finds it; of Open Images' Rotation by OF_ROTATION.
    """
    low, high = boxes[:, :2], boxes[:, 2:]
    if orientation in MIRRORED:
        image = image[:, ::-1]
        low, high = np.column_stack([1 - high[:, 0], low[:, 1]]), np.column_stack([1 - low[:, 0], high[:, 1]])
    for _ in range(QUARTERS[orientation]):  # counterclockwise (x, y) goes to (y, 1 - x)
        low, high = np.column_stack([low[:, 1], 1 - high[:, 0]]), np.column_stack([high[:, 1], 1 - low[:, 0]])
    turned = np.ascontiguousarray(np.rot90(image, QUARTERS[orientation]))
    return turned, np.concatenate([low, high], axis=1).astype(boxes.dtype)


def read_rotations(path: Path | str) -> dict[str, int]:
    """EXIF's orientation of every image by the Rotation column of Open Images' image files; 1 where it has none.

    Raises FileFault at a rotation that is no multiple of 90 degrees.
    """
    file, found = CsvFile(path), {}
    columns = (Column("ImageID", "text", ("ImageId",)), Column("Rotation", "text"))
    row = 0
    for batch in file.batches(columns):
        for name, text in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            degrees = _degrees(text)
            if degrees not in OF_ROTATION:
                raise file.fault(row, "Rotation", f"{text!r} where 0, 90, 180 or 270 degrees belong")
            found[name] = OF_ROTATION[degrees]
            row += 1
    return found


def _degrees(text: str) -> int | None:
    """Whole degrees; 0 where none are told."""
    if not text or text.lower() == "nan":
        return 0
    whole, _, rest = text.partition(".")
    return int(whole) if whole.isdecimal() and not rest.strip("0") else None
