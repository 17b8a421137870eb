"""Partial weight transfer (paper 2.1, equation 1): a detector for other classes starts from a trained one.

Backbone, neck and proposal head are copied; in every cascade head each target class takes the classification
row (weight and bias) and the regression rows of the source class it is mapped to, and the background takes
the background's. Rows of unmapped classes keep the values that the target model was initialised with.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kit.base.errors import KitError
from kit.detector.checkpoint import State

CLASSIFICATION, REGRESSION = "fc_cls", "fc_reg"
COUNTER = "num_batches_tracked"  # a normalisation layer's count of batches, no weight


@dataclass
class TransferReport:
    """What became of every tensor of the target, and which tensors of the source were not used."""

    copied: list[str] = field(default_factory=list)
    rows: dict[str, tuple[int, int]] = field(default_factory=dict)  # name -> (copied rows, initialised rows)
    initialised: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Plain dictionary for JSON."""
        return vars(self)


def transfer_weights(
    source: State, target: State, class_map: NDArray[np.int64]
) -> tuple[State, TransferReport]:
    """The target's weights after the transfer, and what was done.

    class_map: source class of every target class, -1 for none, shape (target classes,). The background row is
    the last one of a classification layer. Raises KitError, naming the first tensor that does not fit, where
    the source is a checkpoint of another architecture, and where the map does not fit the heads.
    """
    report, state = TransferReport(), {}
    for name, tensor in target.items():
        layer = name.split(".")[-2] if "." in name else ""
        if layer in (CLASSIFICATION, REGRESSION):
            if name not in source:
                raise KitError(f"the checkpoint is of another architecture: it lacks {name}")
            rows = _rows(layer, name, source[name], tensor, class_map, _classes(source, name))
            state[name] = _take(source[name], tensor, rows, name)
            taken = int((rows >= 0).sum())
            report.rows[name] = (taken, len(rows) - taken)
        elif name in source and source[name].shape == tensor.shape:
            state[name] = source[name].to(tensor.dtype, copy=True)
            report.copied.append(name)
        elif name.endswith(COUNTER):
            state[name] = tensor.clone()
            report.initialised.append(name)
        else:
            raise KitError(f"the checkpoint is of another architecture: {_mismatch(name, source, tensor)}")
    report.unused = [name for name in source if name not in target]
    return state, report


def take_rows(state: State, donor: State, classes: NDArray[np.int64]) -> State:
    """The state with the head rows of these classes from a detector of the same classes and architecture.

    Raises KitError, naming the first head that does not fit.
    """
    result, index = dict(state), torch.from_numpy(classes)
    for layer in (CLASSIFICATION, REGRESSION):
        for name, tensor in _layers(state, layer).items():
            if name not in donor or donor[name].shape != tensor.shape:
                raise KitError(f"the checkpoint is of another architecture: {_mismatch(name, donor, tensor)}")
            rows = index
            if layer == REGRESSION:
                if tensor.shape[0] == 4:
                    continue  # one regression for all classes
                rows = (4 * index[:, None] + torch.arange(4)).reshape(-1)
            result[name] = tensor.clone()
            result[name][rows] = donor[name][rows].to(tensor.dtype)
    return result


def head_classes(state: State) -> int | None:
    """Classes of a detector's heads: rows of a classification layer but the background; None without a head.

    Raises KitError where the heads of the cascade disagree, and where regression rows fit no such number.
    """
    rows = {name: _height(name, tensor) for name, tensor in _layers(state, CLASSIFICATION).items()}
    if not rows:
        return None
    first = next(iter(rows))
    for name, count in rows.items():
        if count != rows[first]:
            raise KitError(f"its heads disagree: {first} has {rows[first]} rows, {name} {count}")
    classes = rows[first] - 1
    for name, tensor in _layers(state, REGRESSION).items():
        if _height(name, tensor) not in (4, 4 * classes):
            raise KitError(
                f"{name} has {tensor.shape[0]} rows, but {classes} classes need {4 * classes}, or 4 for all",
                "mmdet 1.x has a background row first: convert it with mmdet's upgrade_model_version.py",
            )
    return classes


def resized(source: State, classes: int, seed: int) -> State:
    """The source's tensors with heads for another number of classes, these freshly initialised.

    As mmdet does: classification rows normal with deviation 0.01, per-class regression rows with 0.001,
    biases 0. Raises KitError where the state has no such head.
    """
    generator = torch.Generator().manual_seed(seed)
    state = {name: tensor.clone() for name, tensor in source.items()}
    heads = [*_layers(source, CLASSIFICATION), *_layers(source, REGRESSION)]
    if not _layers(source, CLASSIFICATION):
        raise KitError(f"not a detector's checkpoint: it has no {CLASSIFICATION} layer")
    for name in heads:
        classification = name.split(".")[-2] == CLASSIFICATION
        old = source[name]
        if not classification and old.shape[0] == 4:
            continue
        rows = classes + 1 if classification else 4 * classes
        state[name] = old.new_zeros((rows, *old.shape[1:]))
        if name.endswith("weight"):
            state[name].normal_(0, 0.01 if classification else 0.001, generator=generator)
    return state


def _layers(state: State, layer: str) -> State:
    """The weights and biases of the layers of a name."""
    return {name: tensor for name, tensor in state.items() if name.split(".")[-2:-1] == [layer]}


def _height(name: str, tensor: Tensor) -> int:
    if tensor.dim() == 0:
        raise KitError(f"the checkpoint is of another architecture: {name} is a single number")
    return int(tensor.shape[0])


def _classes(source: State, name: str) -> int:
    """Classes of the source head that `name` belongs to: rows of its classification layer but the background."""
    head = name.rsplit(".", 2)[0]
    for weight in (f"{head}.{CLASSIFICATION}.bias", f"{head}.{CLASSIFICATION}.weight"):
        if weight in source:
            return source[weight].shape[0] - 1
    raise KitError(f"the checkpoint is of another architecture: it lacks {head}.{CLASSIFICATION}.weight")


def _rows(
    layer: str, name: str, source: Tensor, target: Tensor, class_map: NDArray[np.int64], classes: int
) -> NDArray[np.int64]:
    """The source row of every target row, -1 for none."""
    wanted = len(class_map)
    if class_map.max(initial=-1) >= classes:
        raise KitError(f"the class map names source class {class_map.max()}, but {name} has {classes}")
    if layer == CLASSIFICATION:
        if target.shape[0] != wanted + 1:
            raise KitError(
                f"{name} has {target.shape[0]} rows, the class map {wanted} classes and background"
            )
        return np.append(class_map, classes)
    per_class = target.shape[0] != 4 or wanted == 1
    if per_class and target.shape[0] != 4 * wanted:
        raise KitError(f"{name} has {target.shape[0]} rows, the class map {wanted} classes")
    if source.shape[0] == 4:  # one regression for all classes serves every class
        return np.tile(np.arange(4), wanted if per_class else 1)
    if not per_class:  # which of the source's regressions should stand for all?
        return np.full(4, -1)
    corner = 4 * class_map[:, None] + np.arange(4)
    return np.where(class_map[:, None] < 0, -1, corner).reshape(-1)


def _take(source: Tensor, target: Tensor, rows: NDArray[np.int64], name: str) -> Tensor:
    if source.shape[1:] != target.shape[1:]:
        shapes = f"{tuple(source.shape)} against {tuple(target.shape)}"
        raise KitError(f"the checkpoint is of another architecture: {name} is {shapes}")
    out, index = target.clone(), torch.from_numpy(rows)
    out[index >= 0] = source[index[index >= 0]].to(out.dtype)
    return out


def _mismatch(name: str, source: State, tensor: Tensor) -> str:
    if name not in source:
        return f"it lacks {name}"
    return f"{name} is {tuple(source[name].shape)} against {tuple(tensor.shape)}"
