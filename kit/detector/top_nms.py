"""Non-maximum suppression that ends once the best boxes stand: the same boxes, without a look at all the others."""

from __future__ import annotations

import torch
from torch import Tensor

FIRST = (
    8  # times the boxes wanted: so many of the best are looked at first, and times as many each further time
)


def top_nms(boxes: Tensor, scores: Tensor, iou_threshold: float, wanted: int) -> tuple[Tensor, Tensor]:
    """The `wanted` best boxes of greedy suppression, perhaps some more, and their rows, best first.

    boxes: (n, 4), those of different classes apart; scores: (n,). Gives (k, 5) with the scores, and (k,). Whether a
    box stays hangs on the better ones alone, so suppression among the best is that among all; where fewer than
    `wanted` of them stay, more are looked at. To be named as the `type` of mmdet's suppression.
    """
    from mmcv.ops import nms

    order = scores.sort(stable=True, descending=True).indices
    count = FIRST * wanted
    while True:
        best = order[:count]
        found: Tensor
        kept: Tensor
        found, kept = nms(boxes[best], scores[best], iou_threshold)
        if len(kept) >= wanted or count >= len(order):
            return found, best[kept]
        count *= FIRST


def settings(iou_threshold: float, wanted: int) -> dict[str, object]:
    """Mmdet's configuration of it."""
    everything = torch.iinfo(torch.int64).max
    return {"type": top_nms, "iou_threshold": iou_threshold, "wanted": wanted, "split_thr": everything}
