"""The visual model (paper 2.2, 3.1): a detector's backbone and an MLP on the masked union crop of a pair."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from kit.base.errors import KitError
from kit.base.files import read_json, reading, write_json
from kit.config import Architecture, Decoding, Visual
from kit.data.decode import UnreadableError, read_image
from kit.data.objects import Objects
from kit.data.photos import PhotoFolder, list_photos
from kit.detector.architecture import model_config, prepare
from kit.detector.checkpoint import State, read_state, write_state
from kit.detector.device import device_of, mixed_precision
from kit.detector.loader_workers import start_method
from kit.relation.candidates import Candidates
from kit.relation.crops import union_crop
from kit.relation.spatial_model import SpatialScorer
from kit.relation.spatial_rows import PAIRWISE
from kit.tables.schema import Floats
from kit.vocabulary import vocabulary

SHARED = "shared"
BACKBONE = "backbone."
CROPS = 128  # crops a forward pass of inference


class VisualNet(nn.Module):
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
        self.frozen = settings.freeze_backbone
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

    def train(self, mode: bool = True) -> VisualNet:
        """As torch; a frozen backbone stays in evaluation mode."""
        super().train(mode)
        if self.frozen:
            self.backbone.eval()
        return self

    def start_from(self, detector: State) -> None:
        """Take the backbone of a detector's weights. Raises KitError where it is of another architecture."""
        own = {n.removeprefix(BACKBONE): t for n, t in detector.items() if n.startswith(BACKBONE)}
        try:
            self.backbone.load_state_dict(own)
        except RuntimeError as error:
            reason = str(error).splitlines()[-1].strip()
            raise KitError(f"the detector's backbone is of another architecture: {reason}") from None


def _mlp(width: int, settings: Visual) -> nn.Sequential:
    """Linear layers, each with dropout on what it is given, ReLU between them, one output (paper 3.1)."""
    layers: list[nn.Module] = []
    for _ in range(settings.mlp_layers - 1):
        layers += [nn.Dropout(settings.dropout), nn.Linear(width, settings.hidden), nn.ReLU()]
        width = settings.hidden
    return nn.Sequential(*layers, nn.Dropout(settings.dropout), nn.Linear(width, 1))


@dataclass(frozen=True, eq=False)
class VisualScorer:
    """Scores pairs by their pixels; a predicate without a network keeps the prior.

    networks: by predicate name, or SHARED with an output a predicate of PAIRWISE; photos: the images of the
    objects' images; attributes are the spatial model's. skipped: images that were not there or not readable,
    and why.
    """

    networks: dict[str, VisualNet]
    settings: Visual
    spatial: SpatialScorer
    photos: PhotoFolder
    device: torch.device
    decoding: Decoding = field(default_factory=Decoding)
    skipped: dict[str, str] = field(default_factory=dict)

    def predict_pairs(self, objects: Objects, candidates: Candidates) -> Floats:
        """Probability of every predicate, float32 (n, predicates); 0 where the triplet is not allowed.

        A pair whose image is missing or broken has the prior's.
        """
        subject, object_ = objects.label[candidates.subject], objects.label[candidates.object]
        allowed = vocabulary().allowed[:, subject, object_].T
        out = self.spatial.statistics.prior[:, subject, object_].T.astype(np.float32)
        for rows, host in self._crops(objects, candidates):
            crops = host.to(self.device, non_blocking=True, memory_format=memory_format(self.device))
            for column, p in self._outputs(crops, allowed[rows]):
                out[rows, p] = np.where(allowed[rows, p], column, 0)
        return out

    def predict_attributes(self, objects: Objects, candidates: Candidates) -> Floats:
        """Probability that the object has the attribute, float32 (n,)."""
        return self.spatial.predict_attributes(objects, candidates)

    def _outputs(self, crops: Tensor, allowed: NDArray[np.bool_]) -> Iterator[tuple[Floats, int]]:
        """Probabilities of all crops for each predicate that has a network and an allowed pair."""
        if SHARED in self.networks:
            logits = self._run(self.networks[SHARED], crops)
            yield from ((logits[:, i], p) for i, p in enumerate(PAIRWISE) if allowed[:, p].any())
            return
        for p in PAIRWISE:
            network = self.networks.get(vocabulary().predicates[p])
            rows = np.flatnonzero(allowed[:, p])
            if network is not None and len(rows):
                column = np.zeros(len(crops), np.float32)
                column[rows] = self._run(network, crops[torch.from_numpy(rows)])[:, 0]
                yield column, p

    def _run(self, network: VisualNet, crops: Tensor) -> Floats:
        with torch.inference_mode(), mixed_precision(self.device, self.settings.precision):
            logits = network(crops)
        return np.asarray(logits.float().sigmoid().cpu().numpy())

    def _crops(self, objects: Objects, candidates: Candidates) -> Iterator[tuple[NDArray[np.intp], Tensor]]:
        """Rows of candidates and their crops, about CROPS at a time; every image is decoded once."""
        order = np.argsort(candidates.image, kind="stable")
        _, starts = np.unique(candidates.image[order], return_index=True)
        groups = np.split(order, starts[1:]) if len(order) else []
        names = [candidates.images[candidates.image[group[0]]] for group in groups]
        files = [self.photos.path(name) for name in names]
        data = _PairsOfImages(files, self.decoding, objects, candidates, groups, self.settings.crop_size)
        loader = DataLoader(data, None, **loader_options(self.device, self.settings.workers))
        rows: list[NDArray[np.intp]] = []
        crops: list[Tensor] = []
        for group, name, own in zip(groups, names, loader, strict=True):
            if isinstance(own, str):
                self.skipped[name] = own
            else:
                rows.append(group)
                crops.append(own)
            if sum(map(len, rows)) >= CROPS:
                yield np.concatenate(rows), torch.cat(crops)
                rows, crops = [], []
        if rows:
            yield np.concatenate(rows), torch.cat(crops)


class _PairsOfImages(Dataset[Any]):
    """The crops of all pairs of an image; the reason where it cannot be read."""

    def __init__(
        self,
        files: Sequence[Path | None],
        decoding: Decoding,
        objects: Objects,
        candidates: Candidates,
        groups: Sequence[NDArray[np.intp]],
        size: int,
    ) -> None:
        self.files, self.decoding, self.groups, self.size = files, decoding, groups, size
        self.objects, self.candidates = objects, candidates

    def __len__(self) -> int:
        return len(self.groups)

    def __getitem__(self, i: int) -> Tensor | str:
        rows = self.groups[i]
        try:
            image = read_image(self.files[i], self.decoding)
        except UnreadableError as error:
            return str(error)
        subject = self.objects.box[self.candidates.subject[rows]]
        object_ = self.objects.box[self.candidates.object[rows]]
        crops = [union_crop(image, s, o, self.size) for s, o in zip(subject, object_, strict=True)]
        return torch.from_numpy(np.stack(crops).transpose(0, 3, 1, 2))


def memory_format(device: torch.device) -> torch.memory_format:
    """Channels last on a GPU, whose convolutions want it; as it comes on a CPU."""
    return torch.channels_last if device.type == "cuda" else torch.preserve_format


def on_device(network: VisualNet, device: torch.device) -> VisualNet:
    """The network on a device, in the order of memory that suits it."""
    network.to(device)
    if device.type == "cuda":
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def loader_options(device: torch.device, workers: int) -> dict[str, Any]:
    """How batches are loaded for a device: pinned for a GPU, by workers that are no fork of its process."""
    cuda = device.type == "cuda"
    context = start_method(device) if workers else None
    return {"num_workers": workers, "pin_memory": cuda, "multiprocessing_context": context}


def save_network(folder: Path, name: str, network: VisualNet) -> None:
    """Write NAME.pth."""
    state = {n: t.detach().cpu() for n, t in network.state_dict().items()}
    write_state(folder / f"{name}.pth", state, [name])


def save_index(folder: Path, names: Sequence[str], architecture: Architecture, settings: Visual) -> None:
    """Write what is needed to read the networks."""
    index = {"networks": list(names), "architecture": architecture, "settings": settings.model_dump()}
    write_json(folder / "visual.json", index)


def load_visual(
    folder: Path, spatial: SpatialScorer, images: Path, device: str, decoding: Decoding | None = None
) -> VisualScorer:
    """The trained networks over a folder of images. Raises KitError where something is missing."""
    path = folder / "visual.json"
    with reading(path, "the index of this version's visual model", "run `kit train visual --force`"):
        index = read_json(path, dict)
        settings, architecture = Visual.model_validate(index["settings"]), index["architecture"]
        names = list(index["networks"])
    networks = {}
    for name in names:
        network = VisualNet(architecture, settings, len(PAIRWISE) if name == SHARED else 1)
        network.load_state_dict(read_state(folder / f"{name}.pth"))
        networks[name] = on_device(network, device_of(device)).eval()
    photos = list_photos(images)
    return VisualScorer(networks, settings, spatial, photos, device_of(device), decoding or Decoding())
