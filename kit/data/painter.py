"""Paint the mini challenge's scenes: background, clutter, objects with textures, and the looks of relations."""

from __future__ import annotations

import colorsys
import io
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from kit.data.silhouettes import FINE, FIXED, Colour, Silhouette, draw, silhouettes
from kit.data.world import RELATION_STYLES, Doubles, RelationStyle, Scene, SceneObject, SceneRelation
from kit.vocabulary import IS, PREDICATES, vocabulary

PEOPLE = ("Man", "Woman", "Boy", "Girl")
QUALITY = 90  # of the JPEG
CLUTTER = (4, 12)  # scribbles in a background
NOISE = 7.0  # deviation of a channel, of 255
Mask = NDArray[np.float64]


def paint(scene: Scene, side: int, seed: int) -> bytes:
    """The scene as a JPEG whose longer side has `side` pixels."""
    rng = np.random.default_rng([seed, int(scene.image, 16)])
    canvas = background(rng, (round(scene.shape[0] * side), round(scene.shape[1] * side)))
    relations = [b for b in scene.relations if b.related and b.predicate != IS]
    for thing in scene.objects:
        if any(b.subject is thing and _style(b).shadow for b in relations):
            _shadow(canvas, thing.box)
        _put(rng, canvas, thing)
        for relation in relations:
            if _last(scene, relation) is thing:
                _hands(canvas, relation)
    return jpeg(rng, canvas)


def background(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """A soft gradient with scribbles."""
    low, high = (np.asarray(rng.uniform(60, 220, 3)) for _ in range(2))
    ramp = np.linspace(0, 1, size[1])[:, None, None]
    field = np.broadcast_to(low + (high - low) * ramp, (size[1], size[0], 3))
    canvas = Image.fromarray(field.astype(np.uint8))
    pen = ImageDraw.Draw(canvas)
    for _ in range(rng.integers(*CLUTTER)):
        x, y = rng.random(2) * size
        w, h = rng.exponential(0.12, 2) * max(size)
        ink = tuple(int(v) for v in rng.uniform(30, 240, 3))
        kind = rng.integers(4)
        if kind == 0:
            pen.line([x, y, x + w - h, y + h], fill=ink, width=int(rng.integers(1, 4)))
        elif kind == 1:
            pen.ellipse([x, y, x + w, y + h], outline=ink, width=int(rng.integers(1, 4)))
        elif kind == 2:
            pen.rectangle([x, y, x + w, y + h], fill=ink)
        else:
            pen.polygon([(x, y), (x + w, y + h / 3), (x + w / 3, y + h)], fill=ink)
    return canvas


def jpeg(rng: np.random.Generator, canvas: Image.Image) -> bytes:
    """The image with a camera's noise, as JPEG."""
    pixels = np.asarray(canvas, np.float32)
    noisy = pixels + rng.normal(0, NOISE, pixels.shape).astype(np.float32)
    file = io.BytesIO()
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=QUALITY)
    return file.getvalue()


def colour(rng: np.random.Generator) -> Colour:
    """Any colour of paint; it tells nothing about the class."""
    r, g, b = colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.25, 0.9), rng.uniform(0.35, 0.95))
    return round(r * 255), round(g * 255), round(b * 255)


def paste(canvas: Image.Image, image: Image.Image, box: Doubles, turned: bool) -> None:
    """Put an RGBA image into a normalised box of the canvas."""
    x1, y1, x2, y2 = _pixels(canvas, box)
    if turned:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    image = image.resize((x2 - x1, y2 - y1), Image.Resampling.BOX)
    canvas.paste(image, (x1, y1), image)


def _put(rng: np.random.Generator, canvas: Image.Image, thing: SceneObject) -> None:
    look = silhouettes()[vocabulary().names[thing.label]]
    textures = [TEXTURES[vocabulary().names[a]] for a in thing.attributes]
    for box in _tiles(thing) if thing.group else [thing.box]:
        x1, y1, x2, y2 = _pixels(canvas, box)
        image = _textured(rng, look, (x2 - x1, y2 - y1), textures)
        if thing.glass:
            image.putalpha(image.getchannel("A").point(lambda a: int(a * 0.55)))
        paste(canvas, image, box, thing.turned)


def _tiles(thing: SceneObject) -> list[Doubles]:
    """Four places side by side that fill a group's box."""
    x1, y1, x2, y2 = thing.box
    w, h = (x2 - x1) * 0.4, (y2 - y1) * 0.7
    corners = [(x1, y2 - h), (x1 + 0.5 * w, y1), (x1 + w, y2 - h), (x2 - w, y1 + 0.1 * h)]
    return [np.asarray([x, y, x + w, y + h]) for x, y in corners]


def _textured(
    rng: np.random.Generator, look: Silhouette, size: tuple[int, int], textures: list[Texture]
) -> Image.Image:
    main = colour(rng)
    image, mask = draw(look, size, main)
    if not textures:
        return image
    pixels = np.asarray(image, np.float64).copy()
    where = np.asarray(mask, np.float64)[..., None] / 255
    for texture in textures:
        pixels += where * (texture(rng, pixels) - pixels)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8), "RGBA")


Texture = Callable[[np.random.Generator, Mask], Mask]


def _grid(pixels: Mask) -> tuple[Mask, Mask]:
    """Rows and columns of fine pixels, in pixels of the image."""
    rows, columns = np.indices(pixels.shape[:2])[:, :, :, None] / FINE
    return rows, columns


def _wooden(rng: np.random.Generator, pixels: Mask) -> Mask:
    rows, columns = _grid(pixels)
    grain = np.sin((rows + 1.5 * np.sin(columns / 5 + rng.random() * 6)) * 2 * np.pi / 5) > 0.2
    ink = np.where(grain, [110.0, 68.0, 30.0], [186.0, 128.0, 70.0])
    return np.concatenate([ink, pixels[..., 3:]], axis=2)


def _transparent(_: np.random.Generator, pixels: Mask) -> Mask:
    ink = pixels[..., :3] * 0.4 + 0.6 * 235
    return np.concatenate([ink, pixels[..., 3:] * 0.35], axis=2)


def _plastic(rng: np.random.Generator, pixels: Mask) -> Mask:
    rows, columns = _grid(pixels)
    shine = (rows + columns + rng.random() * 9) % 9 < 2.5
    return np.concatenate([np.where(shine, 255.0, pixels[..., :3]), pixels[..., 3:]], axis=2)


def _textile(_: np.random.Generator, pixels: Mask) -> Mask:
    rows, columns = _grid(pixels)
    weave = (rows // 2 + columns // 2) % 2 == 0
    return np.concatenate([pixels[..., :3] * np.where(weave, 1.15, 0.6), pixels[..., 3:]], axis=2)


def _leather(_: np.random.Generator, pixels: Mask) -> Mask:
    rows, columns = _grid(pixels)
    knots = (rows % 5 < 1.6) & ((columns + 2.5 * (rows // 5 % 2)) % 5 < 1.6)
    ink = np.where(knots, [228.0, 200.0, 160.0], [74.0, 40.0, 26.0])
    return np.concatenate([ink, pixels[..., 3:]], axis=2)


TEXTURES: dict[str, Texture] = {
    "Wooden": _wooden,
    "Transparent": _transparent,
    "Plastic": _plastic,
    "Textile": _textile,
    "Leather": _leather,
}


def _style(relation: SceneRelation) -> RelationStyle:
    return RELATION_STYLES[PREDICATES[relation.predicate]]


def _last(scene: Scene, relation: SceneRelation) -> SceneObject:
    """Which of a pair is painted last."""
    return [thing for thing in scene.objects if thing is relation.subject or thing is relation.object][-1]


def _shadow(canvas: Image.Image, box: Doubles) -> None:
    """A dark patch where a thing touches what it stands on."""
    x1, y1, x2, y2 = _pixels(canvas, box)
    reach = max(2, (y2 - y1) // 8)
    patch = Image.new("L", canvas.size, 0)
    ImageDraw.Draw(patch).ellipse([x1, y2 - 1.5 * reach, x2, y2 + reach], fill=190)
    patch = patch.filter(ImageFilter.GaussianBlur(1))
    canvas.paste((10, 10, 14), (0, 0), patch)


def _hands(canvas: Image.Image, relation: SceneRelation) -> None:
    """Arms from a person's shoulders to the object, seen only inside the two boxes."""
    hands = _style(relation).hands
    if not hands or vocabulary().names[relation.subject.label] not in PEOPLE:
        return
    one, two = (_pixels(canvas, t.box) for t in (relation.subject, relation.object))
    shoulder = ((one[0] + one[2]) / 2, one[1] + 0.34 * (one[3] - one[1]))
    middle = ((two[0] + two[2]) / 2, (two[1] + two[3]) / 2)
    width = max(2, round(0.09 * (one[2] - one[0])))
    layer = Image.new("RGBA", canvas.size, (0, 0, 0, 0))
    pen = ImageDraw.Draw(layer)
    ink = FIXED["s"]
    for i in range(hands):
        end = (middle[0], middle[1] + (i - (hands - 1) / 2) * 0.5 * (two[3] - two[1]))
        pen.line([shoulder, end], fill=(*ink, 255), width=width)
        r = width
        pen.ellipse([end[0] - r, end[1] - r, end[0] + r, end[1] + r], fill=(*ink, 255), outline=FIXED["k"])
    seen = Image.new("L", canvas.size, 0)
    for box in (one, two):
        seen.paste(255, box)
    canvas.paste(layer, (0, 0), Image.composite(layer.getchannel("A"), seen.point(lambda _: 0), seen))


def _pixels(canvas: Image.Image, box: Doubles) -> tuple[int, int, int, int]:
    """A normalised box in whole pixels, at least two wide and high."""
    x1, y1, x2, y2 = (box * np.tile(canvas.size, 2)).round().astype(int).tolist()
    x1, y1 = min(x1, canvas.size[0] - 2), min(y1, canvas.size[1] - 2)
    return x1, y1, max(x2, x1 + 2), max(y2, y1 + 2)
