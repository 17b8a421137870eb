"""Objects and relations drawn on an image: boxes, arrows from subject to object, labels that stay readable."""

from __future__ import annotations

import colorsys
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kit.report.layout import (
    Point,
    Rect,
    arrow_between,
    beads,
    beside_arrow,
    box_corners,
    nearest_point,
    place_label,
)

if TYPE_CHECKING:
    from PIL import Image, ImageDraw, ImageFont

Pixels = NDArray[np.uint8]
Colour = tuple[int, int, int]
SIDES = (720, 1280)  # pixels of the longer side: smaller images are enlarged, larger ones made smaller
FINE = 2  # lines are drawn so many times as large, and made smaller: smooth edges
DARK, LIGHT, MARGIN = (22, 24, 28), (255, 255, 255), (60, 62, 66)
HUES = 1450  # start of the colours' hash, at which classes that are often related look least alike
GOOD, BAD = (20, 130, 60), (190, 30, 45)
MARKS = {True: "✓ ", False: "✗ ", None: ""}


@dataclass(frozen=True, eq=False)
class DrawnObject:
    """An object. box: float32 (4,), normalised xyxy; attributes: what it "is", one tag each."""

    label: str
    box: NDArray[np.float32]
    score: float | None = None
    attributes: tuple[str, ...] = ()


@dataclass(frozen=True)
class DrawnRelation:
    """A relation. subject, object: places among the objects; correct: None where that is not judged."""

    subject: int
    object: int
    predicate: str
    score: float | None = None
    correct: bool | None = None


@dataclass(frozen=True)
class Line:
    """A line of a label: its text, the colours of the ground, the text and the edge."""

    text: str
    ground: Colour
    ink: Colour
    edge: Colour


@dataclass(frozen=True, eq=False)
class Label:
    """Lines of text and their rectangle in pixels. target: the point that it tells of, of a box the nearest."""

    lines: tuple[Line, ...]
    rect: Rect
    target: Point


@dataclass(frozen=True, eq=False)
class Layout:
    """Everything that is drawn, in pixels. size: of the canvas; image: the image's rectangle on it.

    boxes: (objects, 4); pairs: (subject, object) of each arrow; arrows: x, y of its start and end, (pairs, 4).
    """

    size: tuple[int, int]
    image: Rect
    boxes: Rect
    pairs: tuple[tuple[int, int], ...]
    arrows: Rect
    labels: tuple[Label, ...]
    font_size: int


def draw(image: Pixels, objects: Sequence[DrawnObject], relations: Sequence[DrawnRelation]) -> Pixels:
    """The image with everything drawn on it, as uint8 (height, width, 3).

    image: uint8 (height, width, 3), RGB. Its longer side comes to 720 to 1280 pixels; a narrow image gets a margin
    as wide as its labels need. Raises ValueError for a relation of an object that is not there.
    """
    from PIL import Image, ImageDraw

    layout = lay_out((image.shape[1], image.shape[0]), objects, relations)
    x1, y1, x2, y2 = (int(v) for v in layout.image)
    canvas = Image.new("RGB", layout.size, MARGIN)
    canvas.paste(Image.fromarray(image).resize((x2 - x1, y2 - y1), Image.Resampling.LANCZOS), (x1, y1))
    lines = _line_layer(layout, objects, _predicates(layout, relations))
    canvas.paste(lines, (0, 0), lines)
    pen, font = ImageDraw.Draw(canvas), font_of(layout.font_size)
    for label in layout.labels:
        _draw_label(pen, label, font)
    return np.asarray(canvas, np.uint8)


def lay_out(
    size: tuple[int, int], objects: Sequence[DrawnObject], relations: Sequence[DrawnRelation]
) -> Layout:
    """Where everything goes on an image of a size (width, height): labels lie inside the canvas, arrows end in
    their boxes. Raises ValueError for a relation of an object that is not there.
    """
    by_pair = _by_pair(relations, len(objects))
    longer = min(max(max(size), SIDES[0]), SIDES[1])
    shown = [max(1, round(side * longer / max(size))) for side in size]
    font_size = longer // 46
    texts = [_object_lines(o) for o in objects] + [_relation_lines(found) for found in by_pair.values()]
    sizes = [_size_of(lines, font_size) for lines in texts]
    wide, high = (max([s, *(each[i] for each in sizes)]) for i, s in enumerate(shown))
    left, top = (wide - shown[0]) // 2, (high - shown[1]) // 2
    image = np.array([left, top, left + shown[0], top + shown[1]], np.float64)
    boxes = np.array([o.box for o in objects], np.float64).reshape(-1, 4).clip(0, 1)
    boxes = image[[0, 1, 0, 1]] + boxes * np.array([*shown, *shown])
    arrows = [
        arrow_between(boxes[s], boxes[o], 4 * font_size, 0.8 * font_size * ((o, s) in by_pair))
        for s, o in by_pair
    ]
    corners = [box_corners(box, each) for box, each in zip(boxes, sizes, strict=False)]
    corners += [
        beside_arrow(a, each, font_size / 2) for a, each in zip(arrows, sizes[len(boxes) :], strict=True)
    ]
    avoided = np.array([beads(arrow, font_size) for arrow in arrows]).reshape(-1, 4)
    rects: list[Rect] = []
    for each, wanted in zip(sizes, corners, strict=True):
        rects.append(place_label((wide, high), each, wanted, rects, avoided))
    targets = [nearest_point(*pair) for pair in zip(boxes, rects, strict=False)]
    targets += [(a[:2] + a[2:]) / 2 for a in arrows]
    labels = tuple(Label(*each) for each in zip(texts, rects, targets, strict=True))
    shafts = np.array(arrows).reshape(-1, 4)
    return Layout((wide, high), image, boxes, tuple(by_pair), shafts, labels, font_size)


def colour_of(name: str) -> Colour:
    """The colour of a class or predicate: the same on every image."""
    number = zlib.crc32(name.encode(), HUES)
    hue, tone = number * 0.61803398875 % 1, (number >> 8) % 3
    red, green, blue = colorsys.hsv_to_rgb(hue, (0.65, 0.8, 0.95)[tone], (1.0, 0.9, 0.8)[tone])
    return round(255 * red), round(255 * green), round(255 * blue)


def ink_on(ground: Colour) -> Colour:
    """Black or white, whichever has the higher contrast (WCAG) on a colour: 4.5 to 1 and more."""
    linear = [c / 255 / 12.92 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in ground]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return (0, 0, 0) if luminance > 0.179 else LIGHT


def score_text(score: float | None) -> str:
    """A score in a label; nothing where there is none."""
    if score is None:
        return ""
    return f" {score:.2f}" if score >= 0.005 else " <0.01"


def _by_pair(relations: Sequence[DrawnRelation], objects: int) -> dict[tuple[int, int], list[DrawnRelation]]:
    """The relations of every ordered pair of objects, the best first."""
    found: dict[tuple[int, int], list[DrawnRelation]] = {}
    for relation in sorted(relations, key=lambda r: -(1.0 if r.score is None else r.score)):
        pair = relation.subject, relation.object
        if not all(0 <= i < objects for i in pair):
            raise ValueError(f"a relation of the objects {pair}, but there are {objects}")
        found.setdefault(pair, []).append(relation)
    return found


def _predicates(layout: Layout, relations: Sequence[DrawnRelation]) -> list[str]:
    """The best predicate of every arrow."""
    by_pair = _by_pair(relations, len(layout.boxes))
    return [by_pair[pair][0].predicate for pair in layout.pairs]


def _object_lines(drawn: DrawnObject) -> tuple[Line, ...]:
    colour = colour_of(drawn.label)
    head = Line(drawn.label + score_text(drawn.score), colour, ink_on(colour), DARK)
    return (head, *(Line(f"is {text}", LIGHT, DARK, colour) for text in drawn.attributes))


def _relation_lines(relations: Sequence[DrawnRelation]) -> tuple[Line, ...]:
    lines = []
    for relation in relations:
        ground = DARK if relation.correct is None else GOOD if relation.correct else BAD
        words = relation.predicate.replace("_", " ") + score_text(relation.score)
        lines.append(Line(MARKS[relation.correct] + words, ground, LIGHT, colour_of(relation.predicate)))
    return tuple(lines)


@lru_cache(maxsize=8)
def font_of(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib."""
    import matplotlib
    from PIL import ImageFont

    return ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf", size)


def _line_size(text: str, font_size: int) -> tuple[int, int]:
    """Width and height of a line with its ground."""
    return int(font_of(font_size).getlength(text)) + font_size, round(1.5 * font_size)


def _size_of(lines: Sequence[Line], font_size: int) -> tuple[int, int]:
    """Width and height of a label."""
    sizes = [_line_size(line.text, font_size) for line in lines]
    return max(wide for wide, _ in sizes), sum(high for _, high in sizes)


def _line_layer(layout: Layout, objects: Sequence[DrawnObject], predicates: Sequence[str]) -> Image.Image:
    """Boxes and arrows on nothing, each with a dark rim, so that they are seen on any ground."""
    from PIL import Image, ImageDraw

    layer = Image.new("RGBA", (FINE * layout.size[0], FINE * layout.size[1]))
    pen = ImageDraw.Draw(layer)
    width = FINE * max(2, layout.font_size // 6)
    rim = FINE
    for box, drawn in zip(FINE * layout.boxes, objects, strict=True):
        x1, y1, x2, y2 = box
        x2, y2 = max(x2, x1 + 1), max(y2, y1 + 1)
        pen.rectangle((x1, y1, x2, y2), outline=DARK, width=width + 2 * rim)
        inner = (x1 + rim, y1 + rim, x2 - rim, y2 - rim)
        if inner[2] > inner[0] and inner[3] > inner[1]:
            pen.rectangle(inner, outline=colour_of(drawn.label), width=width)
    for arrow, predicate in zip(FINE * layout.arrows, predicates, strict=True):
        head = FINE * 0.8 * layout.font_size
        _draw_arrow(pen, arrow, DARK, width + 2 * rim, head + 2 * rim)
        _draw_arrow(pen, arrow, colour_of(predicate), width, head)
    for label in layout.labels:
        _draw_leader(pen, label, width)
    return layer.reduce(FINE)


def _draw_arrow(pen: ImageDraw.ImageDraw, arrow: Rect, colour: Colour, width: int, head: float) -> None:
    """A dot at the subject, a line, a head at the object."""
    start, end = arrow[:2], arrow[2:]
    length = float(np.hypot(*(end - start)))
    along = (end - start) / length if length else np.array([1.0, 0.0])
    across = np.array([-along[1], along[0]])
    neck = end - along * min(head, length)
    pen.line([*start, *neck], colour, width)
    pen.polygon([tuple(p) for p in (end, neck + across * head / 2, neck - across * head / 2)], colour)
    radius = width * 1.1
    pen.ellipse([*(start - radius), *(start + radius)], colour)


def _draw_leader(pen: ImageDraw.ImageDraw, label: Label, width: int) -> None:
    """A thin line from a label to what it tells of, where it stands away from that."""
    x1, y1, x2, y2 = label.rect
    x, y = label.target
    near = max((y2 - y1) / len(label.lines), width)
    if not (x1 - near <= x <= x2 + near and y1 - near <= y <= y2 + near):
        line = [FINE * v for v in (x, y, (x1 + x2) / 2, (y1 + y2) / 2)]
        pen.line(line, DARK, width)
        pen.line(line, label.lines[0].edge, max(1, width // 2))


def _draw_label(pen: ImageDraw.ImageDraw, label: Label, font: ImageFont.FreeTypeFont) -> None:
    x, y = label.rect[:2]
    for line in label.lines:
        wide, high = _line_size(line.text, int(font.size))
        radius = high // 4
        pen.rounded_rectangle((x, y, x + wide - 1, y + high - 1), radius, line.ground, line.edge, 2)
        pen.text((x + wide / 2, y + high / 2), line.text, line.ink, font, anchor="mm")
        y += high
