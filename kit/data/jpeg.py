"""A JPEG's segments: its size, its orientation, whether it is whole; nothing is decoded."""

from __future__ import annotations

from collections.abc import Iterator

START, END = b"\xff\xd8", b"\xff\xd9"
SCAN, APP1 = 0xDA, 0xE1
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
ALONE = (0x01, *range(0xD0, 0xD8))  # markers without a length
EXIF = b"Exif\0\0"
ORIENTATION = 0x0112


def segments(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Marker, place and content of every segment up to the first scan's; nothing behind a cut."""
    place = len(START)
    while (place := data.find(b"\xff", place)) >= 0 and place + 4 <= len(data):
        marker = data[place + 1]
        if marker == 0xFF:
            place += 1
        elif marker in ALONE or marker == 0:
            place += 2
        else:
            length = int.from_bytes(data[place + 2 : place + 4], "big")
            yield marker, place, data[place + 4 : place + 2 + length]
            if marker == SCAN:
                return
            place += 2 + length


def size(data: bytes) -> tuple[int, int] | None:
    """Width and height; None where no frame is there."""
    for marker, _, content in segments(data):
        if marker in FRAMES and len(content) >= 5:
            return int.from_bytes(content[3:5], "big"), int.from_bytes(content[1:3], "big")
    return None


def is_whole(data: bytes) -> bool:
    """Whether there are pixels and an end mark behind them; a thumbnail, with its own, lies before them."""
    scan = next((place for marker, place, _ in segments(data) if marker == SCAN), -1)
    return data.startswith(START) and scan >= 0 and data.find(END, scan) >= 0


def orientation(data: bytes) -> int:
    """EXIF's orientation, 1 to 8; 1 where none is told."""
    for marker, _, content in segments(data):
        if marker == APP1 and content.startswith(EXIF):
            told = _tag(content[len(EXIF) :], ORIENTATION)
            return told if 1 <= told <= 8 else 1
    return 1


def with_orientation(data: bytes, value: int) -> bytes:
    """A JPEG without EXIF, with this orientation."""
    entry = ORIENTATION.to_bytes(2, "big") + b"\0\x03\0\0\0\x01" + value.to_bytes(2, "big") + b"\0\0"
    content = EXIF + b"MM\0\x2a\0\0\0\x08\0\x01" + entry + b"\0\0\0\0"
    segment = bytes((0xFF, APP1)) + (len(content) + 2).to_bytes(2, "big") + content
    return data[:2] + segment + data[2:]


def _tag(tiff: bytes, wanted: int) -> int:
    """A short value of the first directory; 0 where it is not there."""
    little = tiff.startswith(b"II")

    def number(place: int, length: int) -> int:
        return int.from_bytes(tiff[place : place + length], "little" if little else "big")

    directory = number(4, 4)
    for i in range(number(directory, 2)):
        entry = directory + 2 + 12 * i
        if number(entry, 2) == wanted:
            return number(entry + 8, 2)
    return 0
