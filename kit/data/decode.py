"""Images from bytes: what is too large is seen in the header, before any pixel is decoded."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from kit.base.remote_place import address_of
from kit.config import Decoding
from kit.data.image_header import NOT_AN_IMAGE as NOT_AN_IMAGE
from kit.data.image_header import UnreadableError as UnreadableError
from kit.data.image_header import header_size as header_size
from kit.data.photos import GONE
from kit.data.remote_photos import photo_bytes

Pixels = NDArray[np.uint8]
BYTES = 8  # of a pixel at the most: 16 bits, four channels

cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # a broken image is told by kit


def read_image(path: Path | None, how: Decoding) -> Pixels:
    """The image as (height, width, 3) in BGR order.

    path: None for one that is not there; one of a folder elsewhere is fetched. Raises UnreadableError where it is
    missing, broken or too large, RemoteError where its store cannot be asked.
    """
    if path is None:
        raise UnreadableError(GONE)
    most = BYTES * how.max_pixels + (1 << 26)
    data = _local_bytes(path, most) if address_of(path) is None else _remote_bytes(path, most)
    return decode(data, how)


def _local_bytes(path: Path, most: int) -> bytes:
    try:
        if not path.exists():
            raise UnreadableError(GONE)
        if not path.is_file():
            raise UnreadableError("not a file")
        size = path.stat().st_size
        if size > most:
            raise UnreadableError(f"a file of {size:,} bytes")
        return path.read_bytes()
    except OSError as error:
        raise UnreadableError(f"cannot be read ({error.strerror})") from None


def _remote_bytes(path: Path, most: int) -> bytes:
    data = photo_bytes(path)
    if data is None:
        raise UnreadableError(GONE)
    if len(data) > most:
        raise UnreadableError(f"a file of {len(data):,} bytes")
    return data


def decode(data: bytes, how: Decoding) -> Pixels:
    """The pixels of an image's file. Raises UnreadableError where it is broken or too large."""
    wide, high = header_size(data)
    if wide * high > how.max_pixels:
        raise UnreadableError(f"{wide} x {high} pixels are more than data.max_pixels ({how.max_pixels})")
    flags = cv2.IMREAD_COLOR | (0 if how.exif_orientation == "apply" else cv2.IMREAD_IGNORE_ORIENTATION)
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        image = None
    if image is None or not image.size:
        raise UnreadableError(NOT_AN_IMAGE)
    return np.asarray(image, np.uint8)


def fitted(size: tuple[int, int], longest: int, shortest: int) -> tuple[int, int]:
    """(height, width) scaled so that neither side exceeds its limit, as mmdet's Resize with keep_ratio.

    A side is one pixel at the least.
    """
    scale = min(longest / max(size), shortest / min(size))
    return max(1, int(size[0] * scale + 0.5)), max(1, int(size[1] * scale + 0.5))


def resized(image: Pixels, longest: int, shortest: int) -> Pixels:
    """The image as `fitted` says."""
    high, wide = fitted((image.shape[0], image.shape[1]), longest, shortest)
    if (high, wide) == image.shape[:2]:
        return image
    return np.asarray(cv2.resize(image, (wide, high), interpolation=cv2.INTER_LINEAR), np.uint8)
