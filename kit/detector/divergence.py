"""A training that diverges: stopped at the first figure that is not finite, told in one line."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from kit.base.errors import KitError
from kit.detector.finite import broken_weight

SHOWN = 16  # image ids of a batch in the message


class DivergedError(KitError):
    """A training of figures that are not finite."""


def diverged(name: str, problem: str, place: str, images: Sequence[str], settings: str) -> DivergedError:
    """The error: what is not finite, where, the batch's images, and what to try.

    settings: the part of the config that holds the training's rate.
    """
    shown = ", ".join(dict.fromkeys(images[:SHOWN])) + (
        f" and {len(images) - SHOWN} more" if len(images) > SHOWN else ""
    )
    batch = f" (images {shown})" if images else ""
    return DivergedError(
        f"{name}: {problem} at {place}{batch}; the training is stopped",
        f"lower {settings}, and look at the boxes of these images",
    )


class Watch:
    """Looks at the loss and the gradient of every iteration, and at the weights before they are written.

    mmengine has fetched both figures from the device already, so that a look costs nothing.
    """

    def __init__(self, name: str, settings: str, iterations: int, every: int, gradient: bool) -> None:
        """every: iterations between checkpoints; gradient: False where a scaler of float16 looks at it."""
        self.name, self.settings, self.gradient = name, settings, gradient
        self.iterations, self.every = iterations, every

    def hook(self) -> Any:
        """The hook for mmengine's Runner: before the one that writes checkpoints."""
        from mmengine.hooks import Hook

        watch = self

        class Watching(Hook):  # type: ignore[misc]
            """Hands the Runner's events on."""

            def after_train_iter(self, runner: Any, batch_idx: int, **results: Any) -> None:
                watch.look(runner, batch_idx + 1, results["data_batch"], results["outputs"])

        return Watching()

    def look(self, runner: Any, done: int, batch: Mapping[str, Any], losses: Mapping[str, Tensor]) -> None:
        """After an iteration. Raises DivergedError, in all processes where one of them sees something."""
        problem = self._problem(runner, done, losses)
        found = _told_to_all([problem, _images(batch)] if problem else None)
        if found is not None:
            text, images = found
            runner.logger.error(f"{text} at iteration {done}: {' '.join(images)}")
            place = f"iteration {done:,} of {self.iterations:,}"
            raise diverged(self.name, text, place, images, self.settings)

    def _problem(self, runner: Any, done: int, losses: Mapping[str, Tensor]) -> str | None:
        if not math.isfinite(last_loss(runner)):
            parts = {name: float(value) for name, value in losses.items()}
            name = next((n for n, v in parts.items() if n != "loss" and not math.isfinite(v)), "loss")
            return f"{name} is {parts[name]}"
        if self.gradient and not math.isfinite(_last(runner, "grad_norm")):
            return f"the gradient is {_last(runner, 'grad_norm')}"
        if done % self.every == 0 or done == self.iterations:
            name = broken_weight(plain_model(runner.model).state_dict()) or ""
            return f"{name} is not finite" if name else None
        return None


def plain_model(model: nn.Module) -> nn.Module:
    """The model itself, where a wrapper shares its training out over processes."""
    inner = getattr(model, "module", model)
    assert isinstance(inner, nn.Module)
    return inner


def last_loss(runner: Any) -> float:
    """The loss of the iteration just done, as mmengine noted it."""
    return _last(runner, "loss")


def _last(runner: Any, name: str) -> float:
    return float(runner.message_hub.get_scalar(f"train/{name}").current())


def _images(batch: Mapping[str, Any]) -> list[str]:
    return [Path(sample.img_path).stem for sample in batch["data_samples"]]


def _told_to_all(found: list[Any] | None) -> list[Any] | None:
    """What the first of the processes found that found something."""
    from mmengine.dist import all_gather_object, all_reduce, get_world_size

    if get_world_size() == 1:
        return found
    flag = torch.tensor([float(found is not None)])
    all_reduce(flag, "max")
    if not flag.item():
        return None
    return next(told for told in all_gather_object(found) if told is not None)
