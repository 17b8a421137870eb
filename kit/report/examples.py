"""Images inside the page: examples of errors and of disagreements, as small JPEGs."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence

import numpy as np

from kit.base.errors import KitError
from kit.data.decode import UnreadableError
from kit.report.blocks import Picture
from kit.report.drawing import Pixels
from kit.report.results import RunResults

QUALITY = 80  # of the JPEGs
LONGEST = 640  # pixels of their longer side


def pictures(
    results: RunResults, image: str, views: Callable[[Pixels], Sequence[tuple[Pixels, str]]]
) -> list[Picture]:
    """Views of an image with what they show; none where the image cannot be had."""
    try:
        pixels = results.images.pixels(image)
    except (KitError, UnreadableError):
        return []
    return [Picture(data_address(drawn), text[:1].upper() + text[1:]) for drawn, text in views(pixels)]


def data_address(image: np.ndarray) -> str:
    """A small JPEG of an image (RGB) as an address that holds it."""
    from PIL import Image

    shown = Image.fromarray(image)
    shown.thumbnail((LONGEST, LONGEST))
    data = io.BytesIO()
    shown.save(data, "JPEG", quality=QUALITY, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(data.getvalue()).decode('ascii')}"
