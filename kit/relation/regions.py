"""What the visual model sees of a pair in a whole image: a detector's features of three regions (RoIAlign).

The image passes through the backbone and the neck once for all its pairs; the regions are the subject's box, the
object's, and the smallest around both.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.ops import roi_align

from kit.base.errors import KitError
from kit.config import Architecture, Precision
from kit.data.decode import Pixels, resized
from kit.detector.architecture import model_config, prepare
from kit.detector.checkpoint import State
from kit.detector.device import memory_format, mixed_precision
from kit.tables.schema import Floats

SIDE = 7  # cells of a region's side
SAMPLES = 2  # of RoIAlign, along a cell's side
STRIDE = 32  # what mmdet pads images to a multiple of
SMALLEST = 64  # pixels of a side that HRNet's coarsest level takes
PADDING = (104, 116, 124)  # in BGR order: the mean, which is 0 when it is normalised
PARTS = ("backbone", "neck")
IMAGES = 8  # at once, with PAIRS of pairs at most: 151 KB of cells each at full size
PAIRS = 2048

# an image uint8 (3, height, width), boxes in its pixels (n, 4) of subjects and of objects
Look = tuple[Tensor, Tensor, Tensor]


class RegionTrunk(nn.Module):
    """A detector's backbone and neck, as they were trained. channels: of the cells of a pair."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, architecture: Architecture, precision: Precision = "float32") -> None:
        super().__init__()
        prepare()
        from mmdet.registry import MODELS
        from mmengine import ConfigDict

        config = model_config(architecture, 1, 1e-4, 1)
        for part in PARTS:
            self.add_module(part, MODELS.build(ConfigDict(config[part])))
        for name, key in (("mean", "mean"), ("deviation", "std")):
            values = torch.tensor(config["data_preprocessor"][key]).reshape(1, 3, 1, 1)
            self.register_buffer(name, values, persistent=False)
        self.stride = config["roi_head"]["bbox_roi_extractor"]["featmap_strides"][0]
        self.precision, self.channels = precision, cell_channels(architecture)
        self.eval()

    def start_from(self, detector: State) -> None:
        """Take a detector's weights. Raises KitError where it is of another architecture."""
        own = {n: t for n, t in detector.items() if n.partition(".")[0] in PARTS}
        try:
            self.load_state_dict(own)
        except RuntimeError as error:
            reason = str(error).splitlines()[-1].strip()
            raise KitError(f"the detector is of another architecture: {reason}") from None

    def forward(self, images: Tensor, number: Tensor, subject: Tensor, object_: Tensor) -> Tensor:
        """The cells of pairs: float32 (n, channels, SIDE, SIDE).

        images: uint8 (images, 3, height, width) in BGR order; number: of each pair's image (n,); subject, object_:
        boxes in pixels (n, 4). Of the neck's finest level, since relations are seen in what is small; beside it
        stand both masks. RoIAlign is in float32 also under mixed precision.
        """
        normalised = (images.flip(1).to(self.mean.dtype) - self.mean) / self.deviation
        finest = self.get_submodule("neck")(self.get_submodule("backbone")(normalised))[0].float()
        boxes = (subject, object_, enclosing(subject, object_))
        rois = torch.cat([torch.cat([number[:, None], box], dim=1) for box in boxes])
        cells = roi_align(finest, rois, SIDE, 1 / self.stride, SAMPLES, aligned=True)
        regions = cells.reshape(len(boxes), len(number), *cells.shape[1:])  # also of no pairs
        return torch.cat([*regions, masks(subject, object_)], dim=1)

    def cells(self, looks: Sequence[Look]) -> Tensor:
        """Those of the pairs of some images, at least one, in their order, on the trunk's device.

        Images of the same padded size pass together: what an image shows does not hang on those beside it.
        """
        by_size: dict[tuple[int, ...], list[int]] = {}
        for i, (image, _, _) in enumerate(looks):
            by_size.setdefault(_padded_size(image), []).append(i)
        found: list[Tensor] = [self.mean] * len(looks)
        for group in by_size.values():
            cells = self._together([looks[i] for i in group])
            parts = torch.split(cells, [len(looks[i][1]) for i in group])
            for i, part in zip(group, parts, strict=True):
                found[i] = part
        return torch.cat(found)

    def _together(self, looks: Sequence[Look]) -> Tensor:
        device = self.mean.device
        images, *pairs = join(looks)
        images = images.to(device, memory_format=memory_format(device))
        with torch.inference_mode(), mixed_precision(device, self.precision):
            cells: Tensor = self(images, *(tensor.to(device) for tensor in pairs))
        return cells


def cell_channels(architecture: Architecture) -> int:
    """Channels of the cells of a pair: the neck's of three regions, and two masks."""
    return 3 * int(model_config(architecture, 1, 1e-4, 1)["neck"]["out_channels"]) + 2


def look_at(image: Pixels, subject: Floats, object_: Floats, size: tuple[int, int], flip: bool) -> Look:
    """An image resized within a size (longest, shortest side), mirrored or not, and its pairs' boxes.

    subject, object_: normalised xyxy (n, 4).
    """
    pixels = resized(image, *size)
    high, wide = pixels.shape[:2]
    shown = pixels[:, ::-1] if flip else pixels
    scale = np.asarray([wide, high, wide, high], np.float32)
    one, two = (torch.from_numpy((_mirrored(b) if flip else b) * scale) for b in (subject, object_))
    return torch.from_numpy(np.ascontiguousarray(shown.transpose(2, 0, 1))), one, two


def join(looks: Sequence[Look]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What RegionTrunk takes, of images of one padded size; at least one. They are padded by the mean."""
    images, subjects, objects = zip(*looks, strict=True)
    high, wide = _padded_size(images[0])
    padded = torch.tensor(PADDING, dtype=torch.uint8).reshape(1, 3, 1, 1).repeat(len(images), 1, high, wide)
    for room, image in zip(padded, images, strict=True):
        room[:, : image.shape[1], : image.shape[2]] = image
    pairs = torch.tensor([len(boxes) for boxes in subjects])
    number = torch.repeat_interleave(torch.arange(len(images)), pairs).float()
    return padded, number, torch.cat(subjects), torch.cat(objects)


def _padded_size(image: Tensor) -> tuple[int, ...]:
    """Height and width of an image for the backbone."""
    return tuple(max(SMALLEST, STRIDE * -(-side // STRIDE)) for side in image.shape[1:])


def enclosing(a: Tensor, b: Tensor) -> Tensor:
    """The smallest box around a[i] and b[i], (n, 4)."""
    return torch.cat([torch.minimum(a[:, :2], b[:, :2]), torch.maximum(a[:, 2:], b[:, 2:])], dim=1)


def masks(subject: Tensor, object_: Tensor) -> Tensor:
    """Which share of each cell of the union is inside the subject's and the object's box: (n, 2, SIDE, SIDE)."""
    union = enclosing(subject, object_)
    cell = (union[:, 2:] - union[:, :2]).clamp(min=1e-6) / SIDE
    edges = union[:, None, :2] + cell[:, None] * torch.arange(SIDE + 1, device=cell.device)[:, None]
    out = []
    for box in (subject, object_):
        ends = torch.minimum(torch.maximum(edges, box[:, None, :2]), box[:, None, 2:])
        share = (ends[:, 1:] - ends[:, :-1]) / cell[:, None]
        out.append(share[:, :, None, 1] * share[:, None, :, 0])
    return torch.stack(out, dim=1)


def _mirrored(box: Floats) -> Floats:
    return np.stack([1 - box[:, 2], box[:, 1], 1 - box[:, 0], box[:, 3]], axis=1)
