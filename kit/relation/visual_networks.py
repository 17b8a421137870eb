"""The visual model's networks (paper 2.2, 3.1): an MLP a predicate on what a detector's backbone sees of a pair."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kit.base.errors import KitError
from kit.config import Architecture, Visual
from kit.detector.architecture import model_config, prepare
from kit.detector.checkpoint import State
from kit.relation.regions import SIDE, cell_channels

BACKBONE = "backbone."
CHANNELS = 64  # that the regions of a pair are brought together in


class CropNet(nn.Module):
    """Crops in, logits out: (n, 3, size, size) uint8 in BGR order -> (n, outputs)."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, architecture: Architecture, settings: Visual, outputs: int) -> None:
        super().__init__()
        prepare()
        from mmdet.registry import MODELS
        from mmengine import ConfigDict

        config = model_config(architecture, 1, 1e-4, 1)
        self.backbone = MODELS.build(ConfigDict(config["backbone"]))
        self.frozen, self.size = settings.freeze_backbone, settings.crop_size
        if self.frozen:
            self.backbone.requires_grad_(False)
        for name, key in (("mean", "mean"), ("deviation", "std")):
            values = torch.tensor(config["data_preprocessor"][key]).reshape(1, 3, 1, 1)
            self.register_buffer(name, values, persistent=False)
        with torch.no_grad():
            width = self.features(torch.zeros(1, 3, 64, 64, dtype=torch.uint8)).shape[1]
        self.heads = nn.ModuleList(_mlp(width, settings) for _ in range(outputs))

    def features(self, crops: Tensor) -> Tensor:
        """The mean over the crop of every stage of the backbone, side by side."""
        rgb = crops.flip(1).to(self.mean.dtype)
        stages = self.backbone((rgb - self.mean) / self.deviation)
        return torch.cat([stage.mean(dim=(2, 3)) for stage in stages], dim=1)

    def forward(self, crops: Tensor) -> Tensor:
        """Logits of every head."""
        if self.frozen:
            with torch.no_grad():
                features = self.features(crops)
        else:
            features = self.features(crops)
        return torch.cat([head(features) for head in self.heads], dim=1)

    def train(self, mode: bool = True) -> CropNet:
        """As torch; a frozen backbone stays in evaluation mode."""
        super().train(mode)
        if self.frozen:
            self.backbone.eval()
        return self

    def nothing(self) -> Tensor:
        """No crop at all."""
        return torch.zeros(0, 3, self.size, self.size, dtype=torch.uint8)

    def start_from(self, detector: State) -> None:
        """Take the backbone of a detector's weights. Raises KitError where it is of another architecture."""
        own = {n.removeprefix(BACKBONE): t for n, t in detector.items() if n.startswith(BACKBONE)}
        try:
            self.backbone.load_state_dict(own)
        except RuntimeError as error:
            reason = str(error).splitlines()[-1].strip()
            raise KitError(f"the detector's backbone is of another architecture: {reason}") from None


class RegionNet(nn.Module):
    """Cells of pairs in, logits out: float32 (n, channels, SIDE, SIDE) of `regions` -> (n, outputs)."""

    def __init__(self, architecture: Architecture, settings: Visual, outputs: int) -> None:
        super().__init__()
        self.channels = cell_channels(architecture)
        self.pair = nn.Sequential(
            nn.Conv2d(self.channels, CHANNELS, 1),
            nn.BatchNorm2d(CHANNELS),
            nn.ReLU(),
            nn.Conv2d(CHANNELS, CHANNELS, 3, stride=2, padding=1),
            nn.BatchNorm2d(CHANNELS),
            nn.ReLU(),
            nn.Flatten(),
        )
        width = CHANNELS * ((SIDE + 1) // 2) ** 2
        self.heads = nn.ModuleList(_mlp(width, settings) for _ in range(outputs))

    def forward(self, cells: Tensor) -> Tensor:
        """Logits of every head."""
        features = self.pair(cells)
        return torch.cat([head(features) for head in self.heads], dim=1)

    def nothing(self) -> Tensor:
        """No cells at all."""
        return torch.zeros(0, self.channels, SIDE, SIDE)


VisualNet = CropNet | RegionNet


def visual_network(architecture: Architecture, settings: Visual, outputs: int) -> VisualNet:
    """The network of the settings with freshly initialised weights."""
    kind = RegionNet if settings.features == "regions" else CropNet
    return kind(architecture, settings, outputs)


def _mlp(width: int, settings: Visual) -> nn.Sequential:
    """Linear layers, each with dropout on what it is given, ReLU between them, one output (paper 3.1)."""
    layers: list[nn.Module] = []
    for _ in range(settings.mlp_layers - 1):
        layers += [nn.Dropout(settings.dropout), nn.Linear(width, settings.hidden), nn.ReLU()]
        width = settings.hidden
    return nn.Sequential(*layers, nn.Dropout(settings.dropout), nn.Linear(width, 1))
