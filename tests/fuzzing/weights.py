"""Checkpoints, class names, class maps: torch is loaded for them alone, and before the first input."""

from __future__ import annotations

import io
from pathlib import Path

from kit.vocabulary.class_map import build_class_map, read_class_map, write_class_map

NAMES = b"__background__\nperson\n0: Handbag/Satchel\n1: bicycle\nchair,3\n"


def checkpoints(_folder: Path) -> list[bytes]:
    """As a training leaves them, also in torch's old form."""
    import torch

    state = {"head.fc_cls.weight": torch.ones(3, 2), "head.fc_cls.bias": torch.zeros(3, dtype=torch.bfloat16)}
    whole = {"meta": {"CLASSES": ("a", "b"), "iter": 3, "time": "now"}, "state_dict": state, "optimizer": {}}
    return [_saved(whole), _saved(whole, _use_new_zipfile_serialization=False)]


def _saved(content: object, **options: bool) -> bytes:
    import torch

    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


def read_weights(path: Path) -> None:
    """Read weights and their class names."""
    from kit.detector.checkpoint import read_state
    from kit.detector.trained import source_names

    read_state(path)
    source_names(str(path))


def names(_folder: Path) -> list[bytes]:
    """Names of classes, a line each."""
    import kit.detector.trained  # noqa: F401  # as long as no input is timed

    return [NAMES]


def read_names(path: Path) -> None:
    """Read class names and match them."""
    from kit.detector.trained import source_names

    build_class_map(source_names(str(path)))


def class_maps(folder: Path) -> list[bytes]:
    """The map of COCO."""
    from kit.detector.trained import source_names

    write_class_map(folder / "map.yaml", "coco", build_class_map(source_names("coco")))
    return [(folder / "map.yaml").read_bytes()]


def read_map(path: Path) -> None:
    """Read an edited map."""
    from kit.detector.trained import source_names

    read_class_map(path, source_names("coco"))
