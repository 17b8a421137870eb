"""RoIAlign and nms on the device give what they give on the CPU."""

import pytest
import torch

from kit.detector.architecture import prepare
from kit.detector.device import mixed_precision

BATCH, CHANNELS, SIDE = 2, 8, 32
EXTRACTOR = {
    "type": "FloatRoIExtractor",
    "roi_layer": {"type": "RoIAlign", "output_size": 7, "sampling_ratio": 0},
    "out_channels": CHANNELS,
    "featmap_strides": [4, 8, 16, 32],
}


@pytest.fixture(scope="module")
def drawn():
    """Feature maps of four strides, and 200 regions: image, x1, y1, x2, y2 in pixels."""
    prepare()
    g = torch.Generator().manual_seed(0)
    maps = [torch.randn(BATCH, CHANNELS, SIDE >> i, SIDE >> i, generator=g) for i in range(4)]
    corner = torch.rand(200, 2, generator=g) * 100 - 5  # some begin outside
    sides = torch.rand(200, 2, generator=g) * 80 + 0.5
    image = torch.randint(0, BATCH, (200, 1), generator=g).float()
    return maps, torch.cat([image, corner, corner + sides], dim=1)


def aligned(features, rois, device):
    from mmcv.ops import roi_align

    own = features.detach().clone().to(device).requires_grad_()
    out = roi_align(own, rois.to(device), 7, 0.25, 0, "avg", True)
    out.square().sum().backward()
    return out.detach().cpu(), own.grad.cpu()


def test_roi_align(drawn, device):
    maps, rois = drawn
    for ours, theirs in zip(aligned(maps[0], rois, device), aligned(maps[0], rois, "cpu"), strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-4)


def test_boxes_are_float32_under_bfloat16(drawn, device):
    """The extractor of both detectors takes features of bfloat16, and no box is rounded."""
    from mmdet.registry import MODELS

    maps, rois = drawn
    halves = [m.bfloat16() for m in maps]
    extractor = MODELS.build(EXTRACTOR)
    with mixed_precision(torch.device(device), "bfloat16"):
        ours = extractor(tuple(m.to(device) for m in halves), rois.to(device))
    theirs = extractor(tuple(m.float() for m in halves), rois)
    assert ours.dtype == torch.float32
    assert torch.allclose(ours.cpu(), theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("threshold", [0.3, 0.7])
def test_nms(drawn, device, threshold, precision):
    from mmcv.ops import batched_nms, nms

    boxes = drawn[1][:, 1:]
    g = torch.Generator().manual_seed(1)
    scores, labels = torch.randperm(len(boxes), generator=g) / len(boxes), drawn[1][:, 0].long()
    both = [(boxes, scores, labels), tuple(t.to(device) for t in (boxes, scores, labels))]
    kept = []
    for own, own_scores, own_labels in both:
        with mixed_precision(own.device, precision):
            alone = nms(own, own_scores, threshold)
            classes = batched_nms(own, own_scores, own_labels, {"type": "nms", "iou_threshold": threshold})
        assert alone[0].dtype == classes[0].dtype == torch.float32
        kept.append((alone[1].tolist(), classes[1].tolist()))
    assert kept[0] == kept[1]
    assert 0 < len(kept[0][0]) < len(boxes)
