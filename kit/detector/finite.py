"""Numbers that are not finite: of weights, and of a detector, whose boxes mmdet would drop without a word."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from kit.base.errors import KitError

DETECTOR = "the detector"
HEADS = ("rpn_head", "bbox_head")  # modules whose outputs become boxes and scores


class Watch:
    """Looks at every output of the heads, without waiting for the device before `check`."""

    def __init__(self, name: str = DETECTOR) -> None:
        """name: whose outputs they are."""
        self.name = name
        self.seen: list[Tensor] = []

    def hook(self, _module: nn.Module, _inputs: Any, outputs: Any) -> None:
        """A forward hook."""
        self.seen += [tensor.isfinite().all() for tensor in _tensors(outputs)]

    def check(self, images: Sequence[str]) -> None:
        """What was seen since the last check. images: those of the batch. Raises KitError."""
        seen, self.seen = self.seen, []
        if seen and not bool(torch.stack(seen).all()):
            raise not_finite(images, self.name)


def not_finite(images: Sequence[str], name: str = DETECTOR) -> KitError:
    """The error for a batch of images; name: of the detector."""
    return KitError(
        f"{name}: scores or boxes are not finite numbers in the batch of {', '.join(images)}",
        "its weights are broken, or the precision is too small: train it again, or set "
        "detector.inference.precision=float32",
    )


@contextmanager
def watched(model: nn.Module, name: str = DETECTOR) -> Iterator[Watch]:
    """Watch a detector's heads."""
    watch = Watch(name)
    hooks = [module.register_forward_hook(watch.hook) for n, module in model.named_modules() if _is_head(n)]
    try:
        yield watch
    finally:
        for hook in hooks:
            hook.remove()


def broken_weight(state: Mapping[str, Tensor]) -> str | None:
    """The name of the first tensor with a value that is not finite."""
    for name, tensor in state.items():
        if tensor.is_floating_point() or tensor.is_complex():
            wide = (
                tensor if tensor.element_size() > 1 else tensor.float()
            )  # torch knows no isfinite of a byte
            if not bool(wide.isfinite().all()):
                return name
    return None


def _is_head(name: str) -> bool:
    """Whether a module is a head, or one of a list of heads."""
    return name.rstrip(".0123456789").rpartition(".")[2] in HEADS


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        if value.is_floating_point():
            yield value
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _tensors(inner)
