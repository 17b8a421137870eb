"""Images put together: with a caption, side by side, as a contact sheet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kit.base.files import atomic_write
from kit.report.drawing import DARK, LIGHT, MARGIN, Pixels, font_of

GAP = 8  # pixels between images
TILE = 480  # longest side of an image on a contact sheet
CAPTION = 18  # size of a caption's letters, pixels
SHORTEST = 160  # width that a caption needs


def captioned(image: Pixels, text: str) -> Pixels:
    """The image with a caption above it, in as many lines as its width needs."""
    from PIL import Image, ImageDraw

    wide = max(image.shape[1], SHORTEST)
    lines = wrapped(text, wide - 2 * GAP)
    step = round(1.4 * CAPTION)
    canvas = Image.new("RGB", (wide, step * len(lines) + GAP + image.shape[0]), DARK)
    pen = ImageDraw.Draw(canvas)
    for i, line in enumerate(lines):
        pen.text((GAP, GAP / 2 + (i + 0.5) * step), line, LIGHT, font_of(CAPTION), anchor="lm")
    canvas.paste(Image.fromarray(image), ((wide - image.shape[1]) // 2, step * len(lines) + GAP))
    return np.asarray(canvas, np.uint8)


def wrapped(text: str, wide: int) -> list[str]:
    """The text in lines of at most so many pixels; a longer word is cut in two."""
    lines, font = [""], font_of(CAPTION)
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= wide:
            lines[-1] = longer
            continue
        lines = lines if lines[-1] else []
        while font.getlength(word) > wide:
            fits = max(1, next(n for n in range(len(word), -1, -1) if font.getlength(word[:n]) <= wide))
            lines.append(word[:fits])
            word = word[fits:]
        lines.append(word)
    return lines


def side_by_side(images: Sequence[Pixels]) -> Pixels:
    """Images in a row, as high as the highest."""
    return contact_sheet(images, len(images))


def thumbnail(image: Pixels) -> Pixels:
    """The image as it stands on a contact sheet."""
    from PIL import Image

    small = Image.fromarray(image)
    small.thumbnail((TILE, TILE), Image.Resampling.LANCZOS)
    return np.asarray(small, np.uint8)


def contact_sheet(images: Sequence[Pixels], columns: int | None = None) -> Pixels:
    """Images in rows. columns: default about as many as rows."""
    columns = columns or math.ceil(math.sqrt(len(images)))
    rows = [images[i : i + columns] for i in range(0, len(images), columns)]
    wide = [max(row[i].shape[1] for row in rows if i < len(row)) for i in range(len(rows[0]))]
    high = [max(image.shape[0] for image in row) for row in rows]
    sheet = np.full(
        (sum(high) + GAP * (len(high) - 1), sum(wide) + GAP * (len(wide) - 1), 3), MARGIN, np.uint8
    )
    for j, row in enumerate(rows):
        for i, image in enumerate(row):
            top = sum(high[:j]) + GAP * j
            left = sum(wide[:i]) + GAP * i + (wide[i] - image.shape[1]) // 2
            sheet[top : top + image.shape[0], left : left + image.shape[1]] = image
    return sheet


def save_png(path: Path, image: Pixels) -> None:
    """Write an image as PNG; a file that is there is replaced whole."""
    from PIL import Image

    with atomic_write(path, durable=False) as part:
        Image.fromarray(image).save(part, "PNG", compress_level=3)
