"""A photo's bytes: whole or not, and made smaller."""

from __future__ import annotations

from kit.download.fetch import FetchError

START, END = b"\xff\xd8", b"\xff\xd9"
TAIL = 1 << 16  # bytes at the end of a photo in which its end mark is looked for


def whole_jpeg(data: bytes) -> bytes:
    """The data, where it is a whole JPEG. Raises FetchError."""
    if not data.startswith(START):
        page = data[:200].lstrip().lower()
        raise FetchError("a web page came instead of a photo" if page.startswith(b"<") else "not a JPEG")
    if END not in data[-TAIL:]:
        raise FetchError("a photo was cut off")
    return data


def scaled(data: bytes, longest: int) -> bytes:
    """The photo with its longest side at most so long; as it came where it is small enough or unreadable."""
    import cv2
    import numpy as np

    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if picture is None or max(picture.shape[:2]) <= longest:
        return data
    factor = longest / max(picture.shape[:2])
    size = max(1, round(picture.shape[1] * factor)), max(1, round(picture.shape[0] * factor))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return bytes(cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 95])[1])
