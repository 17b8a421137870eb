"""The learning rate of the visual model (paper 3.1)."""

from __future__ import annotations

import math

from kit.config import Visual


def learning_rate(settings: Visual, step: int, steps: int) -> float:
    """Of a step, from 0, of so many: linear warm-up to the highest rate, then a cosine to the lowest."""
    warmup = settings.warmup * steps
    if step < warmup:
        return settings.max_lr * (step + 1) / (warmup + 1)
    share = (step - warmup) / max(steps - warmup, 1)
    return settings.min_lr + (settings.max_lr - settings.min_lr) * (1 + math.cos(math.pi * min(share, 1))) / 2
