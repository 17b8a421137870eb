"""Photos of real size and spectrum, where the real ones are not there, and names for them."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from kit.base.files import writing
from kit.data.photos import place_below

COUNT = 32  # different photos
LONG, SHORT = 1024, 683  # pixels of Open Images' photos
QUALITY = 80  # a photo of such a spectrum then weighs about what those of Open Images do, 293 KB
GREY, COLOUR = 45.0, 10.0  # deviations of the brightness, and of a channel from it
PORTRAITS = 4  # every so many-th stands upright


def make_photos(folder: Path, count: int = COUNT) -> list[Path]:
    """Write JPEGs of noise whose spectrum falls as photos' does (1 / f); their paths."""
    from PIL import Image

    paths = [folder / f"{i:016x}.jpg" for i in range(count)]
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for i, path in enumerate(paths):
            size = (SHORT, LONG) if i % PORTRAITS == 0 else (LONG, SHORT)
            file = io.BytesIO()
            Image.fromarray(_noise(np.random.default_rng(i), size)).save(file, "JPEG", quality=QUALITY)
            path.write_bytes(file.getvalue())
    return paths


def _noise(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """Uint8 (height, width, 3) with the spectrum 1 / f; the channels are mostly the same, as a photo's."""
    width, height = size
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequency[0, 0] = 1.0

    def channel(deviation: float) -> np.ndarray:
        phase = np.exp(2j * np.pi * rng.random(frequency.shape))
        image = np.fft.irfft2(phase / frequency, (height, width))
        return np.asarray(deviation * (image - image.mean()) / image.std())

    grey = 128 + channel(GREY)
    colours = np.stack([grey + channel(COLOUR) for _ in range(3)], axis=-1)
    return np.asarray(colours.clip(0, 255).astype(np.uint8))


def link_photos(folder: Path, names: Iterable[str], photos: Sequence[Path]) -> None:
    """Give photos of a few files many names, one an id, without any copy."""
    files, made = [str(photo.resolve()) for photo in photos], set[str]()
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for i, name in enumerate(names):
            place = f"{folder}/{place_below(name)}"
            parent = os.path.dirname(place)
            if parent not in made:
                os.makedirs(parent, exist_ok=True)
                made.add(parent)
            _link(files[i % len(files)], place)


def _link(photo: str, place: str) -> None:
    try:
        os.link(photo, place)
    except FileExistsError:
        pass
    except OSError as error:  # on another disk, or the file has as many names as it may have
        if error.errno not in (errno.EXDEV, errno.EMLINK, errno.EPERM):
            raise
        os.symlink(photo, place)
