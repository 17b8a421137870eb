"""The visual model (paper 2.2, 3.1): scores pairs by their pixels; its files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from kit.base.files import read_json, reading, write_json
from kit.config import Architecture, Decoding, Visual
from kit.data.decode import Pixels, UnreadableError, read_image
from kit.data.objects import Objects
from kit.data.photos import PhotoFolder, list_photos
from kit.detector.checkpoint import read_state, write_state
from kit.detector.device import device_of, memory_format, mixed_precision
from kit.detector.loader_workers import start_method
from kit.relation.candidates import Candidates
from kit.relation.crops import union_crop
from kit.relation.pair_batches import Rows, batches, rows_by_image
from kit.relation.regions import IMAGES, PAIRS, RegionTrunk, look_at
from kit.relation.spatial_model import SpatialScorer
from kit.relation.spatial_rows import PAIRWISE
from kit.relation.visual_networks import VisualNet, visual_network
from kit.tables.schema import Floats
from kit.vocabulary import vocabulary

SHARED = "shared"
TRUNK = "trunk"  # the file of what sees regions
CROPS = 256  # crops a forward pass of inference, at most
N = TypeVar("N", bound=nn.Module)


@dataclass(frozen=True, eq=False)
class VisualScorer:
    """Scores pairs by their pixels; a predicate without a network keeps the prior.

    networks: by predicate name, or SHARED with an output a predicate of PAIRWISE; trunk: what sees the regions that
    they learned from, None where these were crops; photos: the images of the objects' images; attributes are the
    spatial model's, and so is the prior: with `train_boxes: mixed` it is of detections, though the networks learned
    from true boxes. skipped: images that were not there or not readable, and why; turn: threads that score on a GPU
    take it one after the other, so that it holds the pairs of one of them.
    """

    networks: dict[str, VisualNet]
    trunk: RegionTrunk | None
    settings: Visual
    spatial: SpatialScorer
    photos: PhotoFolder
    device: torch.device
    decoding: Decoding = field(default_factory=Decoding)
    skipped: dict[str, str] = field(default_factory=dict)
    turn: Lock = field(default_factory=Lock)

    def predict_pairs(self, objects: Objects, candidates: Candidates) -> Floats:
        """Probability of every predicate, float32 (n, predicates); 0 where the triplet is not allowed.

        A pair whose image is missing or broken has the prior's.
        """
        subject, object_ = objects.label[candidates.subject], objects.label[candidates.object]
        allowed = vocabulary().allowed[:, subject, object_].T
        out = self.spatial.statistics.prior[:, subject, object_].T.astype(np.float32)
        for rows, seen in self._seen(objects, candidates):
            with self.turn if self.device.type == "cuda" else nullcontext():
                out[rows] = self._scores(seen, allowed[rows], out[rows])
        return out

    def predict_attributes(self, objects: Objects, candidates: Candidates) -> Floats:
        """Probability that the object has the attribute, float32 (n,)."""
        return self.spatial.predict_attributes(objects, candidates)

    def _scores(self, parts: list[Any], allowed: NDArray[np.bool_], prior: Floats) -> Floats:
        """Probabilities of the pairs of some images, the prior's where there is no network, (n, predicates)."""
        seen = torch.cat(parts) if self.trunk is None else self.trunk.cells(parts)
        seen = seen.to(self.device, non_blocking=True, memory_format=memory_format(self.device))
        for column, p in self._outputs(seen, allowed):
            prior[:, p] = np.where(allowed[:, p], column, 0)
        return prior

    def _outputs(self, seen: Tensor, allowed: NDArray[np.bool_]) -> Iterator[tuple[Floats, int]]:
        """Probabilities of all pairs for each predicate that has a network and an allowed pair."""
        if SHARED in self.networks:
            logits = self._run(self.networks[SHARED], seen)
            yield from ((logits[:, i], p) for i, p in enumerate(PAIRWISE) if allowed[:, p].any())
            return
        for p in PAIRWISE:
            network = self.networks.get(vocabulary().predicates[p])
            rows = np.flatnonzero(allowed[:, p])
            if network is not None and len(rows):
                column = np.zeros(len(seen), np.float32)
                column[rows] = self._run(network, seen[torch.from_numpy(rows)])[:, 0]
                yield column, p

    def _run(self, network: VisualNet, seen: Tensor) -> Floats:
        with torch.inference_mode(), mixed_precision(self.device, self.settings.precision):
            logits = network(seen)
        return np.asarray(logits.float().sigmoid().cpu().numpy())

    def _seen(self, objects: Objects, candidates: Candidates) -> Iterator[tuple[Rows, list[Any]]]:
        """Rows of candidates, and what is seen of them in each image: crops, or a look at it with their boxes.

        An image is decoded once, or once for as many pairs as are seen at once where it has more.
        """
        see: Callable[[Pixels, Floats, Floats], Any]
        if self.trunk is None:
            see, most, least = partial(_crops, size=self.settings.crop_size), CROPS, 1
        else:
            see = partial(look_at, size=self.settings.image_size, flip=False)
            most, least = PAIRS, PAIRS // IMAGES
        groups = rows_by_image(candidates.image, most)
        names = [candidates.images[candidates.image[group[0]]] for group in groups]
        files = [self.photos.path(name) for name in names]
        boxes = objects.box[candidates.subject], objects.box[candidates.object]
        data = _PairsOfImages(files, self.decoding, groups, *boxes, see)
        loader = DataLoader(data, None, **loader_options(self.device, self.settings.workers))
        there = self._readable(zip(groups, names, loader, strict=True))
        for batch in batches(there, lambda item: max(len(item[0]), least), most):
            rows, seen = zip(*batch, strict=True)
            yield np.concatenate(rows), list(seen)

    def _readable(self, loaded: Iterable[tuple[Rows, str, Any]]) -> Iterator[tuple[Rows, Any]]:
        """Rows and what is seen of them; of images that cannot be read the reason is kept."""
        for rows, name, own in loaded:
            if isinstance(own, str):
                self.skipped[name] = own
            else:
                yield rows, own


class _PairsOfImages(Dataset[Any]):
    """What is seen of all pairs of an image; the reason where it cannot be read."""

    def __init__(
        self,
        files: Sequence[Path | None],
        decoding: Decoding,
        groups: Sequence[Rows],
        subject: Floats,
        object_: Floats,
        see: Callable[[Pixels, Floats, Floats], Any],
    ) -> None:
        self.files, self.decoding, self.groups, self.see = files, decoding, groups, see
        self.subject, self.object = subject, object_

    def __len__(self) -> int:
        return len(self.groups)

    def __getitem__(self, i: int) -> Any:
        rows = self.groups[i]
        try:
            image = read_image(self.files[i], self.decoding)
        except UnreadableError as error:
            return str(error)
        return self.see(image, self.subject[rows], self.object[rows])


def _crops(image: Pixels, subject: Floats, object_: Floats, size: int) -> Tensor:
    crops = [union_crop(image, s, o, size) for s, o in zip(subject, object_, strict=True)]
    return torch.from_numpy(np.stack(crops).transpose(0, 3, 1, 2))


def on_device(network: N, device: torch.device) -> N:
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


def save_network(folder: Path, name: str, network: nn.Module) -> None:
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
        network = visual_network(architecture, settings, len(PAIRWISE) if name == SHARED else 1)
        network.load_state_dict(read_state(folder / f"{name}.pth"))
        networks[name] = on_device(network, device_of(device)).eval()
    trunk = None
    if settings.features == "regions":
        trunk = RegionTrunk(architecture, settings.precision)
        trunk.load_state_dict(read_state(folder / f"{TRUNK}.pth"))
        on_device(trunk, device_of(device))
    photos = list_photos(images)
    return VisualScorer(networks, trunk, settings, spatial, photos, device_of(device), decoding or Decoding())
