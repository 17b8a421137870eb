"""Spatial features of objects and pairs (paper 2.2, feature groups 1 and 3).

All functions take boxes row by row, float32 (n, 4) normalised xyxy, and give one float32 column a name.
"""

from __future__ import annotations

import numpy as np

from kit.boxes import intersection
from kit.tables.schema import Floats

TINY = np.float32(1e-6)
Columns = dict[str, Floats]


def object_features(box: Floats, prefix: str) -> Columns:
    """Absolute position and size of an object: sides, centre, width, height, log area, log aspect."""
    width, height = _sides(box)
    return {
        f"{prefix}_x1": box[:, 0],
        f"{prefix}_y1": box[:, 1],
        f"{prefix}_x2": box[:, 2],
        f"{prefix}_y2": box[:, 3],
        f"{prefix}_width": width,
        f"{prefix}_height": height,
        f"{prefix}_log_area": np.log(width * height),
        f"{prefix}_log_aspect": np.log(width / height),
    }


def pair_features(subject: Floats, object_: Floats) -> Columns:
    """Position of the object relative to the subject, overlap, distances, and the union box."""
    (sw, sh), (ow, oh) = _sides(subject), _sides(object_)
    scx, scy = _centre(subject)
    ocx, ocy = _centre(object_)
    inter = intersection(subject, object_).astype(np.float32)
    s_area, o_area = sw * sh, ow * oh
    union_w = np.maximum(subject[:, 2], object_[:, 2]) - np.minimum(subject[:, 0], object_[:, 0])
    union_h = np.maximum(subject[:, 3], object_[:, 3]) - np.minimum(subject[:, 1], object_[:, 1])
    union_box = np.maximum(union_w * union_h, TINY)
    return {
        "dx_by_subject": (ocx - scx) / sw,
        "dy_by_subject": (ocy - scy) / sh,
        "dx_by_object": (ocx - scx) / ow,
        "dy_by_object": (ocy - scy) / oh,
        "log_width_ratio": np.log(ow / sw),
        "log_height_ratio": np.log(oh / sh),
        "log_area_ratio": np.log(o_area / s_area),
        "distance": np.hypot(ocx - scx, ocy - scy),
        "distance_by_size": np.hypot(ocx - scx, ocy - scy) / np.sqrt(s_area + o_area),
        "iou": inter / np.maximum(s_area + o_area - inter, TINY),
        "inside_subject": inter / o_area,
        "inside_object": inter / s_area,
        "overlap_of_union_box": inter / union_box,
        "log_union_box": np.log(union_box),
        "top_offset": (object_[:, 1] - subject[:, 1]) / sh,
        "bottom_offset": (object_[:, 3] - subject[:, 3]) / sh,
        "left_offset": (object_[:, 0] - subject[:, 0]) / sw,
        "right_offset": (object_[:, 2] - subject[:, 2]) / sw,
        "foot_in_object": (subject[:, 3] - object_[:, 1]) / oh,
        "gap_x": np.maximum(subject[:, 0], object_[:, 0]) - np.minimum(subject[:, 2], object_[:, 2]),
        "gap_y": np.maximum(subject[:, 1], object_[:, 1]) - np.minimum(subject[:, 3], object_[:, 3]),
    }


def _sides(box: Floats) -> tuple[Floats, Floats]:
    return np.maximum(box[:, 2] - box[:, 0], TINY), np.maximum(box[:, 3] - box[:, 1], TINY)


def _centre(box: Floats) -> tuple[Floats, Floats]:
    return (box[:, 0] + box[:, 2]) / 2, (box[:, 1] + box[:, 3]) / 2
