"""Images from bytes: what is too large is seen in the header, before any pixel is decoded."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from kit.config import Decoding
from kit.data import jpeg
from kit.data.photos import GONE

Pixels = NDArray[np.uint8]
NOT_AN_IMAGE = "not readable as an image"
BYTES = 8  # of a pixel at the most: 16 bits, four channels
FORMATS = ("PNG", "BMP", "GIF", "TIFF", "JPEG2000", "PPM")  # whose headers Pillow reads

cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # a broken image is told by kit


class UnreadableError(Exception):
    """An image that cannot be had; the text says why."""


def read_image(path: Path | None, how: Decoding) -> Pixels:
    """The image as (height, width, 3) in BGR order.

    path: None for one that is not there. Raises UnreadableError where it is missing, broken or too large.
    """
    try:
        if path is None or not path.exists():
            raise UnreadableError(GONE)
        if not path.is_file():
            raise UnreadableError("not a file")
        size = path.stat().st_size
        if size > BYTES * how.max_pixels + (1 << 26):
            raise UnreadableError(f"a file of {size:,} bytes")
        data = path.read_bytes()
    except OSError as error:
        raise UnreadableError(f"cannot be read ({error.strerror})") from None
    return decode(data, how)


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


def header_size(data: bytes) -> tuple[int, int]:
    """Width and height as the file's header says. Raises UnreadableError where it is no image's."""
    if not data:
        raise UnreadableError("empty")
    if data.startswith(jpeg.START):
        size = jpeg.size(data)
    else:
        size = _webp_size(data) if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else _other_size(data)
    if size is None:
        raise UnreadableError(NOT_AN_IMAGE)
    return size


def _other_size(data: bytes) -> tuple[int, int] | None:
    """By Pillow's readers of headers, without its own limit of pixels."""
    from PIL import Image

    Image.init()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of odd tags
        for kind in FORMATS:
            factory, accept = Image.OPEN[kind]
            if accept is None or accept(data[:16]) is not True:
                continue
            try:
                wide, high = factory(io.BytesIO(data), "").size
            except Exception:  # a header of any bytes makes Pillow raise nearly anything
                return None
            return wide, high
    return None


def _webp_size(data: bytes) -> tuple[int, int] | None:
    kind = data[12:16]
    if len(data) < 30:
        return None
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    return int.from_bytes(data[26:28], "little") & 0x3FFF, int.from_bytes(data[28:30], "little") & 0x3FFF


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
