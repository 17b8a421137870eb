"""A photo's bytes: whole or not, and made smaller."""

from __future__ import annotations

from kit.download.fault import FetchError

START, END = b"\xff\xd8", b"\xff\xd9"
SCAN, ALONE = 0xDA, (0x01, *range(0xD0, 0xD8))  # the pixels' segment; markers without a length
TAIL = 1 << 16  # bytes at the end of a photo in which its end mark is looked for


def whole_jpeg(data: bytes) -> bytes:
    """The data, where it is a whole JPEG: segments up to the pixels, and an end mark behind these.

    Raises FetchError.
    """
    if not data.startswith(START):
        page = data[:200].removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<")
        raise FetchError("a web page came instead of a photo" if page else "not a JPEG")
    pixels = _pixels(data)
    if pixels < 0 or data.find(END, max(pixels, len(data) - TAIL)) < 0:
        raise FetchError("a photo was cut off")
    return data


def _pixels(data: bytes) -> int:
    """Where the pixels begin; -1 where they do not. A thumbnail, with an end mark of its own, lies before them."""
    place = len(START)
    while (place := data.find(b"\xff", place)) >= 0 and place + 4 <= len(data):
        marker = data[place + 1]
        if marker == SCAN:
            return place
        if marker == 0xFF:
            place += 1
        elif marker in ALONE or marker == 0:
            place += 2
        else:
            place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return -1


def scaled(data: bytes, longest: int) -> bytes:
    """The photo with its longest side at most so long; as it came where it is small enough or unreadable."""
    import cv2
    import numpy as np

    try:
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:  # more pixels than it reads
        return data
    if picture is None or max(picture.shape[:2]) <= longest:
        return data
    factor = longest / max(picture.shape[:2])
    size = max(1, round(picture.shape[1] * factor)), max(1, round(picture.shape[0] * factor))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return bytes(cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 95])[1])
