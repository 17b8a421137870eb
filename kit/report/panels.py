"""Images put together: with a caption, side by side, as a contact sheet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kit.base.files import atomic_write
from kit.report.drawing import DARK, LIGHT, Pixels, font_of

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
    return contact_sheet(images, len(images), None)


def contact_sheet(images: Sequence[Pixels], columns: int | None = None, tile: int | None = TILE) -> Pixels:
    """Images in rows. columns: default about as many as rows; tile: their longest side, None as they are."""
    from PIL import Image

    columns = columns or math.ceil(math.sqrt(len(images)))
    shown = [Image.fromarray(image) for image in images]
    for image in shown if tile else ():
        image.thumbnail((tile or 0, tile or 0), Image.Resampling.LANCZOS)
    rows = [shown[i : i + columns] for i in range(0, len(shown), columns)]
    wide = [max(row[i].width for row in rows if i < len(row)) for i in range(min(columns, len(shown)))]
    high = [max(image.height for image in row) for row in rows]
    canvas = Image.new("RGB", (sum(wide) + GAP * (len(wide) - 1), sum(high) + GAP * (len(high) - 1)), LIGHT)
    for j, row in enumerate(rows):
        for i, image in enumerate(row):
            left = sum(wide[:i]) + GAP * i + (wide[i] - image.width) // 2
            canvas.paste(image, (left, sum(high[:j]) + GAP * j))
    return np.asarray(canvas, np.uint8)


def save_png(path: Path, image: Pixels) -> None:
    """Write an image as PNG; a file that is there is replaced whole."""
    from PIL import Image

    with atomic_write(path, durable=False) as part:
        Image.fromarray(image).save(part, "PNG", compress_level=3)
