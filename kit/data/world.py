"""The mini challenge's world: scenes of objects and relations, drawn from a seed.

Classes and triplets are long-tailed. Every predicate has its own place of the object relative to the subject,
so geometry tells a part of it; as often as not a pair stands in that very place without the relation, and only
the look (who faces whom, hands, what is in front, a contact shadow) tells the two apart. Attributes are
textures. Some true relations are left without a row, as in the real annotations.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kit.boxes import iou
from kit.data.silhouettes import Silhouette, silhouettes
from kit.tables.schema import Boxes, Relations
from kit.vocabulary import IS, PREDICATES, vocabulary

Doubles = NDArray[np.float64]


class RelationStyle(NamedTuple):
    """How a related pair stands and looks.

    place: offset of the object's centre in halves of both sides together; front: which of the two is drawn
    over the other, or the object as glass; hands: how many reach out; shadow: contact at the subject's foot.
    """

    share: float
    place: tuple[float, float]
    front: Literal["subject", "object", "glass"]
    hands: int = 0
    shadow: bool = False


# Shares are long-tailed, in the order of the real counts.
RELATION_STYLES = {
    "at": RelationStyle(0.28, (0.45, 0.35), "object", hands=2),
    "on": RelationStyle(0.17, (0.0, 0.70), "subject", shadow=True),
    "holds": RelationStyle(0.16, (0.55, 0.0), "object", hands=1),
    "plays": RelationStyle(0.12, (0.40, 0.10), "object", hands=2),
    "interacts_with": RelationStyle(0.09, (0.90, 0.25), "subject", hands=1),
    "inside_of": RelationStyle(0.07, (0.0, 0.0), "glass"),
    "wears": RelationStyle(0.05, (0.15, 0.0), "object"),
    "hits": RelationStyle(0.03, (0.90, 0.60), "object", hands=1, shadow=True),
    "under": RelationStyle(0.03, (0.0, -0.30), "object", shadow=True),
}
SHAPES = ((1.0, 1.0), (1.0, 0.75), (0.75, 1.0))  # images, by their longer side
ALIKE = 0.4  # share of the pairs that stand like related ones and are not
UNLABELLED = 0.15  # share of true relations without a row
JITTER = 0.12  # spread of a place
TEXTURED = 0.5  # share of objects that can have an attribute and do
SECOND = 0.1  # share of those with a second attribute
DECOY = 0.5  # share of pairs with one more object of the same classes elsewhere
GROUP = 0.05  # share of images with a group of objects in one box
TRIES = 8  # for a place that hides nothing


@dataclass
class SceneObject:
    """An object in an image; box: normalised xyxy; turned: faces left; glass: drawn see-through."""

    label: int
    box: Doubles
    turned: bool
    attributes: tuple[int, ...] = ()
    group: bool = False
    glass: bool = False


class SceneRelation(NamedTuple):
    """Two objects of a scene, by their place in it; related: with the predicate; seen: has a row."""

    predicate: int
    subject: SceneObject
    object: SceneObject
    related: bool
    seen: bool


@dataclass
class Scene:
    """An image before it is painted; objects: back to front; shape: (width, height), the longer side is 1."""

    image: str
    shape: tuple[float, float]
    objects: list[SceneObject] = field(default_factory=list)
    relations: list[SceneRelation] = field(default_factory=list)


@dataclass(frozen=True)
class World:
    """Scenes with their boxes and relations; `hidden`: the true relations without a row."""

    scenes: list[Scene]
    boxes: Boxes
    relations: Relations
    hidden: Relations


def draw_world(prefix: str, images: int, seed: int) -> World:
    """Draw the scenes of `images` images, ids of 16 hexadecimal digits; the same seed, the same world."""
    root = np.random.SeedSequence([seed, *prefix.encode()])
    scenes = [_scene(np.random.default_rng(s)) for s in root.spawn(images)]
    return World(scenes, _boxes(scenes), _relations(scenes, seen=True), _relations(scenes, seen=False))


def _scene(rng: np.random.Generator) -> Scene:
    scene = Scene(f"{rng.integers(0, 2**63):016x}", SHAPES[rng.integers(len(SHAPES))])
    for _ in range(rng.integers(1, 4)):
        _add_pair(rng, scene)
    if rng.random() < GROUP:
        label = scene.objects[-1].label
        scene.objects.insert(
            0, SceneObject(label, _box(rng, scene, label, 1.6), bool(rng.random() < 0.5), (), True)
        )
    for thing in scene.objects:
        for attribute in thing.attributes:
            seen = bool(rng.random() >= UNLABELLED)
            scene.relations.append(
                SceneRelation(IS, thing, SceneObject(attribute, thing.box, False), True, seen)
            )
    return scene


def _add_pair(rng: np.random.Generator, scene: Scene) -> None:
    names = list(RELATION_STYLES)
    shares = [m.share for m in RELATION_STYLES.values()]
    name = names[rng.choice(len(names), p=np.asarray(shares) / sum(shares))]
    manner, predicate = RELATION_STYLES[name], PREDICATES.index(name)
    first, second = _triplet(rng, predicate)
    subject_box, object_box, side = _placed(rng, scene, (first, second), manner.place)
    if name == "inside_of":
        subject_box = _within(subject_box, object_box)
    related = bool(rng.random() >= ALIKE)
    toward_left = side < 0
    subject = SceneObject(first, subject_box, toward_left == related, _textures(rng, first))
    object_ = SceneObject(second, object_box, not toward_left, _textures(rng, second))
    front = manner.front if related else "object" if manner.front == "subject" else "subject"
    object_.glass = front == "glass"
    pair = [object_, subject] if front == "subject" else [subject, object_]
    scene.objects += pair
    scene.relations.append(
        SceneRelation(predicate, subject, object_, related, bool(rng.random() >= UNLABELLED))
    )
    if rng.random() < DECOY:
        label = second if rng.random() < 0.5 else first
        turned = bool(rng.random() < 0.5)
        scene.objects.append(SceneObject(label, _box(rng, scene, label), turned, _textures(rng, label)))


@lru_cache(maxsize=16)
def _triplets(predicate: int) -> tuple[NDArray[np.int64], Doubles]:
    choices = np.argwhere(vocabulary().allowed[predicate])
    weight = 1.0 / (1.0 + np.random.default_rng(predicate).permutation(len(choices)))
    return choices, weight / weight.sum()


def _triplet(rng: np.random.Generator, predicate: int) -> tuple[int, int]:
    choices, weight = _triplets(predicate)
    subject, object_ = choices[rng.choice(len(choices), p=weight)]
    return int(subject), int(object_)


def _textures(rng: np.random.Generator, label: int) -> tuple[int, ...]:
    possible = np.flatnonzero(vocabulary().allowed[IS, label])
    if not len(possible) or rng.random() >= TEXTURED:
        return ()
    weight = 0.5 ** np.random.default_rng(label).permutation(len(possible))
    several = 1 + int(len(possible) > 1 and rng.random() < SECOND)
    chosen = rng.choice(len(possible), several, replace=False, p=weight / weight.sum())
    return tuple(int(possible[i]) for i in np.sort(chosen))


def _look(label: int) -> Silhouette:
    return silhouettes()[vocabulary().names[label]]


def _size(rng: np.random.Generator, scene: Scene, label: int, scale: float) -> Doubles:
    """Width and height of a box of the label, normalised by the image's own sides."""
    look = _look(label)
    height = look.height * scale * np.exp(rng.normal(0, 0.1))
    size = np.asarray([height * look.aspect, height])
    return np.asarray(size * min(1.0, 0.9 * min(np.asarray(scene.shape) / size)) / scene.shape)


def _scale(rng: np.random.Generator) -> float:
    return float(np.exp(rng.normal(0, 0.25)))


def _box(rng: np.random.Generator, scene: Scene, label: int, scale: float = 1.0) -> Doubles:
    """A box where little else is."""
    size = _size(rng, scene, label, scale * _scale(rng))
    corners = [rng.random(2) * (1 - size) for _ in range(TRIES)]
    boxes = [np.concatenate([c, c + size]) for c in corners]
    return min(boxes, key=lambda box: _crowded(scene, box))


def _placed(
    rng: np.random.Generator, scene: Scene, labels: tuple[int, int], place: tuple[float, float]
) -> tuple[Doubles, Doubles, int]:
    """Boxes of subject and object, and on which side the object is: -1 left, 1 right."""
    scale, side = _scale(rng), int(rng.choice([-1, 1]))
    sizes = [_size(rng, scene, label, scale) for label in labels]
    offset = (np.asarray(place) * [side, 1] + rng.normal(0, JITTER, 2)) * (sizes[0] + sizes[1]) / 2
    low = np.minimum(-sizes[0] / 2, offset - sizes[1] / 2)
    high = np.maximum(sizes[0] / 2, offset + sizes[1] / 2)
    shrink = np.minimum(1.0, 0.95 / (high - low)).min()
    low, high, offset = low * shrink, high * shrink, offset * shrink
    options = []
    for _ in range(TRIES):
        centre = rng.random(2) * (1 - (high - low)) - low
        half = [s * shrink / 2 for s in sizes]
        boxes = [np.concatenate([c - h, c + h]) for c, h in zip((centre, centre + offset), half, strict=True)]
        options.append((boxes[0].clip(0, 1), boxes[1].clip(0, 1)))
    subject, object_ = min(options, key=lambda pair: max(_crowded(scene, box) for box in pair))
    return subject, object_, side


def _within(box: Doubles, outer: Doubles) -> Doubles:
    """The box made smaller until it is inside the other one, its foot in the lower half."""
    size, room = box[2:] - box[:2], outer[2:] - outer[:2]
    size = size * min(1.0, 0.85 * min(room / size))
    corner = outer[:2] + (room - size) * [0.5, 0.4]
    return np.concatenate([corner, corner + size])


def _crowded(scene: Scene, box: Doubles) -> float:
    """How much the box overlaps what is there already."""
    if not scene.objects:
        return 0.0
    others = np.asarray([thing.box for thing in scene.objects])
    return float(iou(np.broadcast_to(box, others.shape), others).max())


def _boxes(scenes: list[Scene]) -> Boxes:
    objects = [thing for scene in scenes for thing in scene.objects]
    return Boxes(
        images=tuple(scene.image for scene in scenes),
        image=np.repeat(np.arange(len(scenes), dtype=np.int32), [len(s.objects) for s in scenes]),
        label=np.asarray([t.label for t in objects], np.uint8),
        box=np.asarray([t.box for t in objects], np.float32).reshape(-1, 4),
        is_group_of=np.asarray([t.group for t in objects], bool),
    )


def _relations(scenes: list[Scene], seen: bool) -> Relations:
    rows = [(i, b) for i, s in enumerate(scenes) for b in s.relations if b.related and b.seen == seen]
    relations = [relation for _, relation in rows]
    return Relations(
        images=tuple(scene.image for scene in scenes),
        image=np.asarray([i for i, _ in rows], np.int32),
        predicate=np.asarray([b.predicate for b in relations], np.uint8),
        subject=np.asarray([b.subject.label for b in relations], np.uint8),
        object=np.asarray([b.object.label for b in relations], np.uint8),
        subject_box=np.asarray([b.subject.box for b in relations], np.float32).reshape(-1, 4),
        object_box=np.asarray([b.object.box for b in relations], np.float32).reshape(-1, 4),
    )
