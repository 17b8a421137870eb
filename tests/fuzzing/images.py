"""Photos and what lies beside them."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np

from kit.config import Decoding
from kit.data.decode import UnreadableError, read_image
from kit.download.photo_store import read_missing, scaled, tidy_missing, whole_jpeg
from kit.download.remote import FetchError


def jpegs(_folder: Path) -> list[bytes]:
    """Photos: baseline, progressive, with restart marks."""
    pixels = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
    ways = ([], [cv2.IMWRITE_JPEG_PROGRESSIVE, 1], [cv2.IMWRITE_JPEG_RST_INTERVAL, 1])
    return [cv2.imencode(".jpg", pixels, list(way))[1].tobytes() for way in ways]


def read_photo(path: Path) -> None:
    """Decode it, check it, make it smaller."""
    with suppress(UnreadableError):
        read_image(path, Decoding())
    data = path.read_bytes()
    with suppress(FetchError):
        whole_jpeg(data)
    scaled(data, 16)


def missing_photos(path: Path) -> None:
    """Read and tidy the list of missing photos."""
    list(read_missing(path.parent))
    tidy_missing(path.parent)
