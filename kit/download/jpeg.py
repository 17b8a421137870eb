"""A photo's bytes: whole or not, and made smaller."""

from __future__ import annotations

from kit.config import Decoding
from kit.data import jpeg
from kit.download.fault import FetchError


def whole_jpeg(data: bytes) -> bytes:
    """The data, where it is a whole JPEG: segments up to the pixels, and an end mark behind these.

    Raises FetchError.
    """
    if not data.startswith(jpeg.START):
        page = data[:200].removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<")
        raise FetchError("a web page came instead of a photo" if page else "not a JPEG")
    if not jpeg.is_whole(data):
        raise FetchError("a photo was cut off")
    return data


def is_picture(data: bytes) -> bool:
    """Whether a file is a whole JPEG, or another picture that the detectors can read."""
    from kit.data.decode import UnreadableError, decode

    if jpeg.is_whole(data):
        return True
    try:
        decode(data, Decoding())
    except UnreadableError:
        return False
    return True


def scaled(data: bytes, longest: int, max_pixels: int | None = None) -> bytes:
    """The photo with its longest side at most so long; as it came where it is small enough or unreadable.

    Pixels stay as they are stored, and what EXIF says of their orientation stays with them.
    max_pixels: a larger one is left as it came (default: the configuration's).
    """
    import cv2

    from kit.data.decode import UnreadableError, decode

    try:
        picture = decode(data, Decoding(max_pixels=max_pixels) if max_pixels else Decoding())
    except UnreadableError:
        return data
    if max(picture.shape[:2]) <= longest:
        return data
    factor = longest / max(picture.shape[:2])
    size = max(1, round(picture.shape[1] * factor)), max(1, round(picture.shape[0] * factor))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    stored = bytes(cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 95])[1])
    turned = jpeg.orientation(data)
    return stored if turned == 1 else jpeg.with_orientation(stored, turned)
