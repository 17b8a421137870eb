"""Where labels and arrows go on an image: inside it, on each other as little as can be. Units are pixels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Rect = NDArray[np.float64]  # x1, y1, x2, y2
Point = NDArray[np.float64]
RINGS = 8  # how far, in heights of a label, it may stand off where it belongs
ORDER_COST, AVOIDED_COST = (
    0.01,
    0.1,
)  # of a later choice, and of what is avoided, against the label being hidden
SPOTS = np.array([(x, y) for y in (0.5, 0.25, 0.75) for x in (0.5, 0.25, 0.75)])  # of a box, the centre first


def box_corners(box: Rect, size: tuple[float, float]) -> Point:
    """Where the upper left corner of a box's label may stand, the best first: (n, 2).

    size: width and height of the label.
    """
    x1, y1, x2, y2 = box
    wide, high = size
    places = [(x1, y1 - high), (x1, y1), (x2 - wide, y1 - high), (x1, y2), (x2 - wide, y1)]
    return np.array([*places, (x1, y2 - high), (x2 - wide, y2), (x2 - wide, y2 - high)])


def nearest_point(box: Rect, label: Rect) -> Point:
    """The point of a box that is nearest to the middle of its label: x, y."""
    nearest: Point = np.clip((label[:2] + label[2:]) / 2, box[:2], box[2:])
    return nearest


def beside_arrow(arrow: Rect, size: tuple[float, float], gap: float) -> Point:
    """Where the upper left corner of an arrow's label may stand, the best first: beside it, `gap` away, (n, 2)."""
    start, end = arrow[:2], arrow[2:]
    length = float(np.hypot(*(end - start))) or 1.0
    across = np.array([start[1] - end[1], end[0] - start[0]]) / length
    across = across if (across[1], across[0]) < (0, 0) else -across  # upwards, or to the left
    far = np.abs(across) @ np.array(size) / 2 + gap
    middles = [start + t * (end - start) + side * across * far for t in (0.5, 0.3, 0.7) for side in (1, -1)]
    return np.array(middles) - np.array(size) / 2


def beads(arrow: Rect, wide: float) -> Rect:
    """An arrow as squares in a row, of a side: what a label should leave free, (9, 4)."""
    points = arrow[:2] + np.linspace(0, 1, 9)[:, None] * (arrow[2:] - arrow[:2])
    return np.concatenate([points - wide / 2, points + wide / 2], axis=1)


def place_label(
    canvas: tuple[int, int],
    size: tuple[float, float],
    wanted: Point,
    placed: Sequence[Rect],
    avoided: Rect,
) -> Rect:
    """The rectangle of a label: at the first wanted place that is free, else near it, else where least is hidden.

    canvas, size: width and height; wanted: upper left corners, (n, 2); placed: the labels that are there; avoided:
    what may be hidden where it must, (m, 4).
    """
    wide, high = size
    steps = np.array([(x * wide / 2, y * high) for y in range(-RINGS, RINGS + 1) for x in range(-4, 5)])
    near = wanted[:1] + steps[np.argsort(np.abs(steps / (wide / 2, high)).sum(1), kind="stable")]
    corners = np.concatenate([wanted, near])
    corners = np.clip(corners, 0, np.maximum(np.array(canvas) - size, 0))
    labels = np.array(placed).reshape(-1, 4)
    hidden = _hidden(corners, size, labels) / (wide * high)
    cost = (hidden > 0) + hidden + AVOIDED_COST * _hidden(corners, size, avoided) / (wide * high)
    x, y = corners[np.argmin(cost + ORDER_COST * np.arange(len(corners)))]
    return np.array([x, y, x + wide, y + high])


def _hidden(corners: Point, size: tuple[float, float], others: Rect) -> NDArray[np.float64]:
    """Area that a label of a size would share with others, (m, 4), for each of its corners (n,)."""
    low, other = corners[:, None], others[None]
    common = np.minimum(low + size, other[..., 2:]) - np.maximum(low, other[..., :2])
    area: NDArray[np.float64] = common.clip(0).prod(-1).sum(1)
    return area


def arrow_between(subject: Rect, target: Rect, shortest: float, aside: float = 0.0) -> Rect:
    """An arrow from inside one box to inside another: from centre to centre, where that is long enough.

    shortest: its wanted length, which small boxes may not have room for; aside: how far it is shifted to its
    right, inside the boxes, so that one in the other direction does not lie on it.
    """
    starts, ends = (box[:2] + SPOTS * (box[2:] - box[:2]) for box in (subject, target))
    start, end = np.repeat(starts, len(ends), 0), np.tile(ends, (len(starts), 1))
    off = np.hypot(*(start - starts[0]).T) + np.hypot(*(end - ends[0]).T)
    cost = off + 4 * (shortest - np.hypot(*(end - start).T)).clip(0)
    best = int(np.argmin(cost))
    direction = end[best] - start[best]
    length = float(np.hypot(*direction)) or 1.0
    shift = aside * np.array([-direction[1], direction[0]]) / length
    return np.concatenate(
        [
            np.clip(start[best] + shift, subject[:2], subject[2:]),
            np.clip(end[best] + shift, target[:2], target[2:]),
        ]
    )
