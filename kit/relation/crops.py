"""What the visual model sees (paper 2.2): the union of both boxes, everything outside the two boxes black."""

from __future__ import annotations

import cv2
import numpy as np

from kit.data.decode import Pixels
from kit.tables.schema import Floats


def union_crop(image: Pixels, subject: Floats, object_: Floats, size: int) -> Pixels:
    """The masked union crop as (size, size, 3), its aspect kept, in the middle of black.

    image: (height, width, 3); subject, object_: normalised xyxy (4,).
    """
    high, wide = image.shape[:2]
    one, two = (_pixels(box, wide, high) for box in (subject, object_))
    left, top = min(one[0], two[0]), min(one[1], two[1])
    right, bottom = max(one[2], two[2]), max(one[3], two[3])
    crop = np.zeros((bottom - top, right - left, 3), np.uint8)
    for x1, y1, x2, y2 in (one, two):
        crop[y1 - top : y2 - top, x1 - left : x2 - left] = image[y1:y2, x1:x2]
    return _fitted(crop, size)


def _fitted(crop: Pixels, size: int) -> Pixels:
    high, wide = crop.shape[:2]
    scale = size / max(high, wide)
    shape = max(1, round(wide * scale)), max(1, round(high * scale))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    small = np.asarray(cv2.resize(crop, shape, interpolation=way), np.uint8)
    out = np.zeros((size, size, 3), np.uint8)
    left, top = (size - shape[0]) // 2, (size - shape[1]) // 2
    out[top : top + shape[1], left : left + shape[0]] = small
    return out


def _pixels(box: Floats, wide: int, high: int) -> tuple[int, int, int, int]:
    """Whole pixels that a box touches, at least one, inside the image."""
    x1, y1 = (min(max(int(np.floor(v * s)), 0), s - 1) for v, s in ((box[0], wide), (box[1], high)))
    x2, y2 = (min(max(int(np.ceil(v * s)), 1), s) for v, s in ((box[2], wide), (box[3], high)))
    return x1, y1, max(x2, x1 + 1), max(y2, y1 + 1)
