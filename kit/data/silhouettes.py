"""What the classes of the mini challenge look like: strokes in the object's own box (silhouettes.txt)."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

Colour = tuple[int, int, int]
FINE = 2  # strokes are drawn this many times finer than the image
FIXED: dict[str, Colour] = {"s": (222, 178, 140), "k": (28, 28, 34), "w": (240, 240, 236)}


class Stroke(NamedTuple):
    """kind: P polygon, O oval, L line; tone; width of a line; points in hundredths of the box."""

    kind: str
    tone: str
    width: float
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Silhouette:
    """A class's look. aspect: width by height; height: usual height by the image's longer side."""

    name: str
    aspect: float
    height: float
    strokes: tuple[Stroke, ...]


@lru_cache(maxsize=1)
def silhouettes() -> dict[str, Silhouette]:
    """The silhouettes of the 57 classes by name."""
    text = files(__package__).joinpath("silhouettes.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return {shape.name: shape for shape in map(_parse, lines)}


@lru_cache(maxsize=256)
def invented(name: str) -> Silhouette:
    """A silhouette for a class that none of the 57 looks like; the same name, the same silhouette."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    spikes = rng.uniform(0.45, 1.0, int(rng.integers(5, 12)))
    angle = np.linspace(0, 2 * np.pi, len(spikes), endpoint=False)
    outline = np.stack([np.cos(angle), np.sin(angle)], axis=1) * spikes[:, None]
    low, high = outline.min(axis=0), outline.max(axis=0)
    strokes = [Stroke("P", "m", 0, _points((outline - low) / (high - low) * 100))]
    for _ in range(int(rng.integers(1, 4))):
        corner, side = rng.uniform(20, 60, 2), rng.uniform(10, 35, 2)
        kind, tone = str(rng.choice(["O", "L"])), str(rng.choice(["d", "l", "k", "w"]))
        strokes.append(Stroke(kind, tone, 7, _points(np.stack([corner, corner + side]))))
    aspect, height = float(np.exp(rng.normal(0, 0.4))), float(rng.uniform(0.12, 0.35))
    return Silhouette(name, aspect, height, tuple(strokes))


def draw(shape: Silhouette, size: tuple[int, int], main: Colour) -> tuple[Image.Image, Image.Image]:
    """The silhouette at FINE times `size` (width, height): its RGBA image, and where the main tone shows."""
    wide, high = size[0] * FINE, size[1] * FINE
    image = Image.new("RGBA", (wide, high), (*main, 0))
    mask = Image.new("L", (wide, high), 0)
    for stroke in shape.strokes:
        _stroke(ImageDraw.Draw(image), stroke, (wide, high), (*_tone(stroke.tone, main), 255))
        _stroke(ImageDraw.Draw(mask), stroke, (wide, high), 255 if stroke.tone == "m" else 0)
    return image, mask


def _stroke(
    pen: ImageDraw.ImageDraw, stroke: Stroke, size: tuple[int, int], ink: int | tuple[int, ...]
) -> None:
    across, down = (size[0] - 1) / 100, (size[1] - 1) / 100
    points = [(x * across, y * down) for x, y in stroke.points]
    if stroke.kind == "P":
        pen.polygon(points, fill=ink)
    elif stroke.kind == "O":
        pen.ellipse([*points[0], *points[1]], fill=ink)
    else:
        width = max(2, round(stroke.width * min(across, down)))
        pen.line(points, fill=ink, width=width, joint="curve")


def _tone(tone: str, main: Colour) -> Colour:
    if tone in FIXED:
        return FIXED[tone]
    toward = {"m": (0, 0.0), "d": (0, 0.45), "l": (255, 0.6)}[tone]
    r, g, b = (round(c + (toward[0] - c) * toward[1]) for c in main)
    return r, g, b


def _parse(line: str) -> Silhouette:
    name, aspect, height, strokes = (part.strip() for part in line.split("|"))
    drawn = list(map(_parse_stroke, strokes.split(";")))
    low, high = _extent(drawn)
    across, down = (high - low) / 100
    fitted = [s._replace(points=_points((np.asarray(s.points) - low) / (high - low) * 100)) for s in drawn]
    return Silhouette(name, float(aspect) * across / down, float(height) * down, tuple(fitted))


def _extent(strokes: list[Stroke]) -> tuple[np.ndarray, np.ndarray]:
    """Where the strokes begin and end, lines with half their width, within the box they were written for."""
    low = np.min([np.min(s.points, axis=0) - s.width / 2 for s in strokes], axis=0)
    high = np.max([np.max(s.points, axis=0) + s.width / 2 for s in strokes], axis=0)
    return low.clip(0, 100), high.clip(0, 100)


def _parse_stroke(text: str) -> Stroke:
    kind, tone, *rest = text.split()
    width = float(rest.pop(0)) if kind == "L" else 0.0
    return Stroke(kind, tone, width, _points([tuple(map(float, p.split(","))) for p in rest]))


def _points(rows: Sequence[Sequence[float]] | np.ndarray) -> tuple[tuple[float, float], ...]:
    return tuple((float(x), float(y)) for x, y in rows)
