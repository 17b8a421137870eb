"""Batch normalisation over the batches of all processes at a training, on any device.

torch's own does without a GPU only where there is one process (Ioffe & Szegedy 2015; the gradient through the
common mean and variance is theirs).
"""

from __future__ import annotations

from typing import Any, TypeGuard

import torch
from torch import Tensor, distributed, nn


class SyncBatchNorm2d(nn.BatchNorm2d):
    """A BatchNorm2d that learns from the mean and the variance of what all processes have at this moment."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalised features, (images, channels, rows, columns)."""
        if not self.training:
            return super().forward(x)
        normalised, mean, variance, count = _Normalise.apply(x, self.weight, self.bias, self.eps)  # type: ignore[no-untyped-call]
        assert self.momentum is not None
        assert self.running_mean is not None
        assert self.running_var is not None
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * (count / (count - 1)).to(variance.dtype), self.momentum)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        return normalised


class _Normalise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, ...]:
        """What is normalised, and the common mean, variance and number of values."""
        own = x.numel() / x.shape[1]
        sums = torch.zeros(2 * x.shape[1] + 1, dtype=torch.double, device=x.device)
        if own:  # one of several processes may have nothing of a batch
            own_mean, own_variance = torch.batch_norm_update_stats(x, None, None, 0.0)
            mean, square = own_mean.double(), own_variance.double() + own_mean.double() ** 2
            torch.cat([mean * own, square * own, mean.new_tensor([own])], out=sums)
        sums = _added_up(sums)
        count = sums[-1]
        mean, square = (sums[:-1] / count).view(2, -1)
        variance = (square - mean**2).clamp_(min=0)
        mean, variance = mean.to(weight.dtype), variance.to(weight.dtype)
        ctx.save_for_backward(x, weight, mean, variance, count)
        ctx.eps = eps
        ctx.mark_non_differentiable(mean, variance, count)
        out = torch.nn.functional.batch_norm(x, mean, variance, weight, bias, False, 0.0, eps)
        return out, mean, variance, count

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of x, of the weight and of the bias; the last two are of this process's own batch."""
        x, weight, mean, variance, count = ctx.saved_tensors
        if x.numel():
            gradient, of_weight, of_bias = torch.ops.aten.native_batch_norm_backward(
                gradients[0].contiguous(),
                x,
                weight,
                mean,
                variance,
                None,
                None,
                False,
                ctx.eps,
                [True, True, True],
            )
        else:
            gradient, of_weight, of_bias = (
                torch.zeros_like(x),
                *torch.zeros_like(torch.stack([weight, weight])),
            )
        sums = _added_up(torch.stack([of_weight, of_bias]).double())
        with_scale, shift = (sums / count).to(weight.dtype)
        scale = (variance + ctx.eps).rsqrt()
        slope = weight * scale**2 * with_scale
        offset = weight * scale * shift - mean * slope
        shape = (1, -1, 1, 1)
        gradient.addcmul_(x, slope.view(shape).to(x.dtype), value=-1).sub_(offset.view(shape).to(x.dtype))
        return gradient, of_weight, of_bias, None


def average_statistics(model: nn.Module) -> None:
    """Put the mean over all processes in the place of the running statistics that batch norms at learning keep."""
    from mmengine.dist import all_reduce_params

    moved = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.training]
    kept = [b for m in moved for b in (m.running_mean, m.running_var) if b is not None]
    all_reduce_params(kept, op="mean")


def _added_up(own: Tensor) -> Tensor:
    """The sum over all processes, in their order: gloo gathers so few numbers faster than it adds them up."""
    parts = [torch.empty_like(own) for _ in range(distributed.get_world_size())]
    distributed.all_gather(parts, own)
    return torch.stack(parts).sum(dim=0)


def synchronise_batch_norms(model: nn.Module) -> None:
    """Put a SyncBatchNorm2d in the place of every usual BatchNorm2d; their weights stay the same tensors."""
    for name, child in model.named_children():
        if _is_usual(child):
            own = SyncBatchNorm2d(child.num_features, child.eps, child.momentum)
            own.__dict__.update(child.__dict__)
            setattr(model, name, own)
        else:
            synchronise_batch_norms(child)


def _is_usual(module: nn.Module) -> TypeGuard[nn.BatchNorm2d]:
    """Whether it scales, and keeps a running mean and variance."""
    usual = type(module) is nn.BatchNorm2d and module.affine and module.track_running_stats
    return usual and module.momentum is not None
