"""mmcv's compiled operators, served by torchvision where mmcv is installed without them.

mmdet's Cascade R-CNN needs three of them: nms, and RoIAlign forward and backward; torchvision's give the same
bits. Where a real `mmcv._ext` is installed it is used instead.
"""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from kit.base.errors import KitError

NAME = "mmcv._ext"


def install_ops() -> str:
    """Make `mmcv.ops` importable; say whose operators are in use: "mmcv" or "torchvision"."""
    installed = sys.modules.get(NAME)
    if installed is None and find_spec(NAME) is not None:
        return "mmcv"
    if installed is None:
        _register_torchvision_ops()
        sys.modules[NAME] = _Operators(NAME)
        return "torchvision"
    return "torchvision" if isinstance(installed, _Operators) else "mmcv"


def _register_torchvision_ops() -> None:
    """Make `torch.ops.torchvision` by its library alone: the whole package takes seconds to import."""
    spec = find_spec("torchvision")
    library = Path(spec.origin).with_name("_C.so") if spec and spec.origin else None
    try:
        torch.ops.load_library(library)  # type: ignore[no-untyped-call]
    except (OSError, TypeError):
        import torchvision  # noqa: F401  (says what is wrong, or knows the library's name on this system)


class _Operators(ModuleType):
    """The module `mmcv._ext`; an operator that torchvision does not have fails when it is called."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__spec__ = ModuleSpec(name, None)
        self.nms, self.roi_align_forward, self.roi_align_backward = _nms, _roi_align, _roi_align_backward

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)

        def missing(*_: Any, **__: Any) -> None:
            raise KitError(f"mmcv's operator {name} is not available", "install a compiled mmcv 2.1.0")

        return missing


def _nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Rows to keep, best first; boxes (n, 4) in pixels, offset 1 where the last pixel belongs to the box."""
    shifted = boxes + boxes.new_tensor([0, 0, offset, offset])
    return torch.ops.torchvision.nms(shifted, scores, iou_threshold)


def _roi_align(
    features: Tensor,
    rois: Tensor,
    output: Tensor,
    _argmax_y: Tensor,
    _argmax_x: Tensor,
    *,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Write into `output` (rois, channels, height, width) the average of bilinear samples in every bin."""
    _refuse_max(pool_mode)
    output.copy_(
        torch.ops.torchvision.roi_align(
            features, rois, spatial_scale, aligned_height, aligned_width, sampling_ratio, aligned
        )
    )


def _roi_align_backward(
    grad: Tensor,
    rois: Tensor,
    _argmax_y: Tensor,
    _argmax_x: Tensor,
    grad_input: Tensor,
    *,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Write into `grad_input` the gradient of `_roi_align` with respect to its features."""
    _refuse_max(pool_mode)
    shape = grad_input.shape
    grad_input.copy_(
        torch.ops.torchvision._roi_align_backward(
            grad, rois, spatial_scale, aligned_height, aligned_width, *shape, sampling_ratio, aligned
        )
    )


def _refuse_max(pool_mode: int) -> None:
    if pool_mode != 1:
        raise KitError("RoIAlign with maximum pooling is not available", "install a compiled mmcv 2.1.0")
