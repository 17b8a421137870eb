"""What a file of detections may not say itself: the images' sizes, and the names of its classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

Size = tuple[int, int]  # width and height in pixels
Sizes = Mapping[str, Size]  # of images by their ids


@dataclass(frozen=True)
class SideFiles:
    """What stands beside detections.

    images: a COCO file of images and categories; sizes: of images that are there as files, where there is no such
    file; classes: names of the classes, in the order of the labels.
    """

    images: Path | None = None
    sizes: Sizes | None = None
    classes: Path | None = None


NOTHING = SideFiles()
