"""Weights of heads alone, for the transfer's tests."""

import torch


def small(classes, agnostic=True, seed=0, width=3):
    """A head's tensors alone, for the corner cases."""
    g = torch.Generator().manual_seed(seed)
    rows = 4 if agnostic else 4 * classes
    return {
        "backbone.conv.weight": torch.randn(2, 2, generator=g),
        "head.fc_cls.weight": torch.randn(classes + 1, width, generator=g),
        "head.fc_cls.bias": torch.randn(classes + 1, generator=g),
        "head.fc_reg.weight": torch.randn(rows, width, generator=g),
        "head.fc_reg.bias": torch.randn(rows, generator=g),
    }


def without(state, name):
    return {n: t for n, t in state.items() if n != name}
