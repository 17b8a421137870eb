"""A small world of objects and relations, drawn from a seed.

Classes and triplets are long-tailed. Every predicate has its own typical place of the object relative to the
subject, so geometry tells a part of it; other objects of the same classes stand around; some true relations
are left without a label, as in the real annotations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kit.tables.schema import Boxes, Relations
from kit.vocabulary import IS, PREDICATES, vocabulary

# Typical object box in the subject's frame: centre offset (x, y) in subject sides, size ratio (x, y).
PLACES = {
    "at": (0.5, 0.4, 1.6, 0.7),
    "on": (0.0, 0.45, 1.8, 0.9),
    "holds": (0.25, 0.0, 0.3, 0.3),
    "plays": (0.1, 0.1, 0.7, 0.5),
    "interacts_with": (0.9, 0.1, 0.9, 0.8),
    "wears": (0.0, -0.1, 0.45, 0.35),
    "inside_of": (0.0, 0.0, 2.0, 1.6),
    "under": (0.0, -0.25, 2.2, 1.3),
    "hits": (0.6, -0.35, 0.2, 0.15),
}
# How often a scene is about a predicate: long-tailed, in the order of the real counts.
SHARES = {
    "at": 0.30,
    "on": 0.17,
    "holds": 0.15,
    "plays": 0.12,
    "interacts_with": 0.08,
    "inside_of": 0.07,
    "wears": 0.05,
    "hits": 0.03,
    "under": 0.03,
}
UNLABELLED = 0.15  # share of true relations without a row
JITTER = 0.25  # spread of the places, in the places' own units
ATTRIBUTE_SHARE = 0.5  # share of objects with attributes that get an "is" row


class _Object(NamedTuple):
    label: int
    box: NDArray[np.float64]


@dataclass(frozen=True)
class World:
    """Boxes and relations of a set of pictures; `hidden`: the true relations without a label."""

    boxes: Boxes
    relations: Relations
    hidden: Relations


def draw_world(prefix: str, pictures: int, seed: int) -> World:
    """Draw the scenes of `pictures` pictures, ids of 16 hexadecimal digits; the same seed, the same world."""
    root = np.random.SeedSequence([seed, *prefix.encode()])
    rngs = [np.random.default_rng(s) for s in root.spawn(pictures)]
    images = tuple(f"{rng.integers(0, 2**63):016x}" for rng in rngs)
    scenes = [_scene(rng) for rng in rngs]
    shown = [[r for r in relations if r[5]] for _, relations in scenes]
    unseen = [[r for r in relations if not r[5]] for _, relations in scenes]
    return World(
        _boxes(images, [objects for objects, _ in scenes]),
        _relations(images, shown),
        _relations(images, unseen),
    )


_Relation = tuple[int, int, int, NDArray[np.float64], NDArray[np.float64], bool]


def _scene(rng: np.random.Generator) -> tuple[list[_Object], list[_Relation]]:
    objects: list[_Object] = []
    relations: list[_Relation] = []
    for _ in range(rng.integers(1, 4)):
        predicate = PREDICATES.index(str(rng.choice(list(SHARES), p=list(SHARES.values()))))
        subject, object_ = _triplet(rng, predicate)
        first = _Object(subject, _box(rng, subject))
        second = _Object(object_, _placed(rng, first.box, PLACES[PREDICATES[predicate]]))
        objects += [first, second]
        seen = bool(rng.random() >= UNLABELLED)
        relations.append((predicate, subject, object_, first.box, second.box, seen))
        if rng.random() < 0.6:
            label = object_ if rng.random() < 0.5 else subject
            objects.append(_Object(label, _box(rng, label)))
    return objects, relations + _attributes(rng, objects)


def _triplet(rng: np.random.Generator, predicate: int) -> tuple[int, int]:
    choices = np.argwhere(vocabulary().allowed[predicate])
    weight = 1.0 / (1.0 + np.random.default_rng(predicate).permutation(len(choices)))
    subject, object_ = choices[rng.choice(len(choices), p=weight / weight.sum())]
    return int(subject), int(object_)


def _attributes(rng: np.random.Generator, objects: list[_Object]) -> list[_Relation]:
    relations: list[_Relation] = []
    for label, box in objects:
        possible = np.flatnonzero(vocabulary().allowed[IS, label])
        if len(possible) and rng.random() < ATTRIBUTE_SHARE:
            favourite = np.random.default_rng(label).permutation(len(possible))
            weight = 0.5**favourite
            attribute = int(possible[rng.choice(len(possible), p=weight / weight.sum())])
            relations.append((IS, label, attribute, box, box, True))
    return relations


def _box(rng: np.random.Generator, label: int) -> NDArray[np.float64]:
    """A box anywhere, of a size typical for its class."""
    typical = np.random.default_rng(1000 + label).uniform(0.15, 0.45, 2)
    size = np.clip(typical * np.exp(rng.normal(0, 0.25, 2)), 0.04, 0.9)
    corner = rng.random(2) * (1 - size)
    return np.concatenate([corner, corner + size])


def _placed(
    rng: np.random.Generator, subject: NDArray[np.float64], place: tuple[float, ...]
) -> NDArray[np.float64]:
    side = subject[2:] - subject[:2]
    offset = np.asarray(place[:2]) * [rng.choice([-1, 1]), 1]
    centre = (subject[:2] + subject[2:]) / 2 + side * (offset + rng.normal(0, JITTER, 2))
    size = side * np.asarray(place[2:]) * np.exp(rng.normal(0, JITTER, 2))
    size = np.clip(size, 0.02, 0.95)
    corner = np.clip(centre - size / 2, 0, 1 - size)
    return np.concatenate([corner, corner + size])


def _boxes(images: tuple[str, ...], scenes: list[list[_Object]]) -> Boxes:
    rows = [o for objects in scenes for o in objects]
    return Boxes(
        images=images,
        image=np.repeat(np.arange(len(scenes), dtype=np.int32), [len(s) for s in scenes]),
        label=np.asarray([o.label for o in rows], np.uint8),
        box=np.asarray([o.box for o in rows], np.float32).reshape(-1, 4),
        is_group_of=np.zeros(len(rows), bool),
    )


def _relations(images: tuple[str, ...], scenes: list[list[_Relation]]) -> Relations:
    rows = [r for relations in scenes for r in relations]
    return Relations(
        images=images,
        image=np.repeat(np.arange(len(scenes), dtype=np.int32), [len(s) for s in scenes]),
        predicate=np.asarray([r[0] for r in rows], np.uint8),
        subject=np.asarray([r[1] for r in rows], np.uint8),
        object=np.asarray([r[2] for r in rows], np.uint8),
        subject_box=np.asarray([r[3] for r in rows], np.float32).reshape(-1, 4),
        object_box=np.asarray([r[4] for r in rows], np.float32).reshape(-1, 4),
    )
