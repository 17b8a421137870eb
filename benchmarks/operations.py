"""Floating-point operations of layer6's networks, counted by torch on its meta device: no number is computed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count

from benchmarks.measure import table
from kit.config import Architecture, Inference, Visual, load_config
from kit.data.decode import fitted
from kit.detector.architecture import model_config, prepare
from kit.pipeline.detector_task import OBJECTS
from kit.rehearsal.made_photos import LONG, PORTRAITS, SHORT
from kit.relation.regions import RegionTrunk
from kit.relation.visual_networks import visual_network

Size = tuple[int, int]  # height and width in pixels
META = torch.device("meta")
WIDE, UPRIGHT = (SHORT, LONG), (LONG, SHORT)  # photos, as a rehearsal makes them


def counter() -> FlopCounterMode:
    """Torch's counter; a multiplication and an addition are two.

    A convolution's gradients are counted here: torch's own formula takes one of groups for one without (PyTorch 2),
    and gives ResNeXt's backward pass many times too many.
    """
    return FlopCounterMode(
        display=False, custom_mapping={torch.ops.aten.convolution_backward: _convolution_backward}
    )


def _convolution_backward(
    grad: Sequence[int],
    x: Sequence[int],
    weight: Sequence[int],
    _bias: object,
    _stride: object,
    _padding: object,
    _dilation: object,
    transposed: bool,
    _output_padding: object,
    _groups: object,
    wanted: Sequence[bool],
    **_: object,
) -> int:
    """The gradients of input and weight each take as much as the forward pass."""
    return conv_flop_count(list(x), list(weight), list(grad), transposed) * sum(wanted[:2])


def detector(architecture: Architecture, classes: int, inference: Inference) -> nn.Module:
    """A detector without memory."""
    prepare()
    from mmdet.registry import MODELS
    from mmengine import ConfigDict

    config = model_config(architecture, classes, inference.score_threshold, inference.max_detections)
    with META:
        model: nn.Module = MODELS.build(ConfigDict(config))
    return model


def training_image(model: Any, size: Size) -> int:
    """Of an image of a padded size that a detector learns from, both ways, with as many boxes as are sampled."""
    model.train()
    with counter() as operations:
        out = _passed(model, size, [stage.sampler.num for stage in model.train_cfg.rcnn])
        torch.stack([values.sum() for values in out]).sum().backward()
    return operations.get_total_flops()


def detection(model: Any, size: Size) -> int:
    """Of an image of a padded size in one view, with as many proposals as there are at the most."""
    model.eval()
    rois = [model.test_cfg.rpn.max_per_img] * len(model.roi_head.bbox_head)
    with torch.no_grad(), counter() as operations:
        _passed(model, size, rois)
    return operations.get_total_flops()


def _passed(model: Any, size: Size, rois: Sequence[int]) -> list[Tensor]:
    """What a detector's networks give: backbone, neck, proposals and, for so many boxes each, the heads."""
    features = model.extract_feat(torch.empty(1, 3, *size, device=META))
    out = [level for levels in model.rpn_head(features) for level in levels]
    for count, head in zip(rois, model.roi_head.bbox_head, strict=True):
        shape = (count, head.in_channels, *head.roi_feat_size)
        out += head(torch.empty(shape, device=META, requires_grad=model.training))
    return out


def crop(architecture: Architecture, settings: Visual, training: bool) -> float:
    """Of a crop that a network of the visual model learns from, or scores."""
    with META:
        network = visual_network(architecture, settings, 1).train(training)
        crops = torch.empty(settings.batch_size, 3, settings.crop_size, settings.crop_size, dtype=torch.uint8)
    with torch.set_grad_enabled(training), counter() as operations:
        logits = network(crops)
        if training:
            logits.sum().backward()
    return operations.get_total_flops() / settings.batch_size


def look(architecture: Architecture, settings: Visual) -> int:
    """Of an image whose regions the visual model sees."""
    with META:
        trunk = RegionTrunk(architecture)
        image = torch.empty(1, 3, *padded([WIDE], settings.image_size, model_stride(architecture)))
    with torch.no_grad(), counter() as operations:
        trunk.get_submodule("neck")(trunk.get_submodule("backbone")(image))
    return operations.get_total_flops()


def model_stride(architecture: Architecture) -> int:
    """What a detector pads images to a multiple of, in pixels."""
    return int(model_config(architecture, 1, 1e-4, 1)["data_preprocessor"]["pad_size_divisor"])


def padded(photos: Iterable[Size], size: Size, stride: int) -> Size:
    """The size of a batch of photos, each fitted into `size` (longest and shortest side)."""
    high, wide = (max(side) for side in zip(*(fitted(photo, *size) for photo in photos), strict=True))
    return -(-high // stride) * stride, -(-wide // stride) * stride


def batches(batch: int, size: Size, stride: int) -> list[tuple[float, Size]]:
    """Sizes of batches that are drawn without regard to orientation, and how often each is met."""
    upright, wide = PORTRAITS**-batch, (1 - 1 / PORTRAITS) ** batch
    kinds = ((wide, [WIDE]), (upright, [UPRIGHT]), (1 - wide - upright, [WIDE, UPRIGHT]))
    return [(share, padded(photos, size, stride)) for share, photos in kinds]


def drawn_image(model: Any, batch: int, size: Size, stride: int) -> float:
    """`training_image` in batches of so many, drawn without regard to orientation."""
    return sum(share * training_image(model, at) for share, at in batches(batch, size, stride))


def viewed_image(model: Any, size: Size, stride: int) -> int:
    """`detection` in a view, in batches of one orientation."""
    return detection(model, padded([WIDE], size, stride))


def main() -> None:
    """Print the table of layer6."""
    config = load_config("layer6")
    training, views, visual = (
        config.detector.training,
        config.detector.inference.views,
        config.relation.visual,
    )
    rows: list[tuple[str, str, float]] = []
    for name, settings in config.detector.models.items():
        model = detector(settings.architecture, len(OBJECTS.classes), config.detector.inference)
        stride = model_stride(settings.architecture)
        size, batch = training.size, training.batch_size
        rows += [
            (name, f"learning, batches of {batch}", drawn_image(model, batch, size, stride)),
            (name, "learning, batches of one orientation", drawn_image(model, 1, size, stride)),
            *((name, f"view {view.name}", viewed_image(model, view.size, stride)) for view in views),
        ]
    assert visual is not None
    architecture = config.detector.models[visual.model or ""].architecture
    rows += [
        ("visual", "learning from a crop", crop(architecture, visual, True)),
        ("visual", "scoring a crop", crop(architecture, visual, False)),
        ("visual", "an image whose regions are seen", look(architecture, visual)),
    ]
    columns = ("network", "an image, or a crop", "GFLOP")
    title = f"Counted operations, photos of {LONG} x {SHORT} px"
    table(title, columns, [[name, what, f"{count / 1e9:,.1f}"] for name, what, count in rows])


if __name__ == "__main__":
    main()
