"""Images' sizes from the first bytes of their files, before any pixel is decoded."""

from __future__ import annotations

import io
import warnings

from kit.data import jpeg

NOT_AN_IMAGE = "not readable as an image"
FORMATS = ("PNG", "BMP", "GIF", "TIFF", "JPEG2000", "PPM")  # whose headers Pillow reads


class UnreadableError(Exception):
    """An image that cannot be had; the text says why."""


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
