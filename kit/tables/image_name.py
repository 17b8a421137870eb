"""Which texts can be an image's id: the name of its file, without the ending, below any folder."""

from __future__ import annotations

import re

LONGEST = 250  # bytes; with ".jpeg" the 255 of a file's name
BAD = (
    r"^\.|[\x00-\x1f\x7f-\x9f/\\]"  # a hidden file, a path, control characters: as RE2 and as Python read it
)
_BAD = re.compile(BAD)


def is_image_name(name: str) -> bool:
    """Whether a text can be an image's id."""
    return 0 < _length(name) <= LONGEST and not _BAD.search(name)


def why_bad(name: str) -> str:
    """Why a text can be no image's id."""
    if not name:
        return "empty where an image id belongs"
    if (length := _length(name)) > LONGEST:
        return f"an image id of {length} bytes (at most {LONGEST}): {name[:40]}..."
    return f"{name!r} cannot be an image's id: no slashes, control characters or a dot in front"


def _length(name: str) -> int:
    return len(name.encode("utf-8", "surrogatepass"))
