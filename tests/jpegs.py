"""Photos of noise, made in the test."""

import io

import numpy as np
from PIL import Image


def jpeg(i, size=(64, 48)):
    """The bytes of a photo; i: which one."""
    file = io.BytesIO()
    pixels = np.random.default_rng(i).integers(0, 255, (size[1], size[0], 3)).astype(np.uint8)
    Image.fromarray(pixels).save(file, "JPEG")
    return file.getvalue()
