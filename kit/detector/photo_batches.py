"""Photos for detectors: each decoded once, resized once a size, in batches of one orientation."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from kit.config import Decoding, Inference, View
from kit.data.decode import UnreadableError, read_image, resized
from kit.detector.loader_workers import start_method

Photo = tuple[tuple[int, int], list[Tensor]]  # (height, width), and for every view uint8 (3, height, width)


@dataclass
class Batch:
    """Photos of one orientation: numbers, (height, width) each, and per view the resized photos."""

    numbers: list[int]
    sizes: list[tuple[int, int]]
    inputs: list[list[Tensor]]


@dataclass
class Batches:
    """The batches of a shard; what could not be read with the reason, and the seconds spent on waiting for it."""

    photos: Iterable[Photo | str]
    views: int
    batch_size: int
    unread: dict[int, str] = field(default_factory=dict)
    waited: float = 0.0

    def __iter__(self) -> Iterator[Batch]:
        """Batches of one orientation, so that little is padded."""
        waiting: dict[bool, Batch] = {}
        start = time.perf_counter()
        for number, photo in enumerate(self.photos):
            self.waited += time.perf_counter() - start
            if isinstance(photo, str):
                self.unread[number] = photo
            else:
                size, inputs = photo
                batch = waiting.setdefault(size[0] > size[1], Batch([], [], [[] for _ in range(self.views)]))
                batch.numbers.append(number)
                batch.sizes.append(size)
                for view_inputs, image in zip(batch.inputs, inputs, strict=True):
                    view_inputs.append(image)
                if len(batch.numbers) == self.batch_size:
                    yield waiting.pop(size[0] > size[1])
            start = time.perf_counter()
        yield from waiting.values()


class DecodedPhotos(Dataset[Any]):
    """Every photo decoded once and resized for every view; the reason where it cannot be read."""

    def __init__(self, files: Sequence[Path | None], views: Sequence[View], decoding: Decoding) -> None:
        self.files = [str(file) if file else None for file in files]  # every worker gets all of them
        self.views, self.decoding = views, decoding

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, i: int) -> Photo | str:
        try:
            file = self.files[i]
            image = read_image(Path(file) if file else None, self.decoding)
        except UnreadableError as error:
            return str(error)
        sizes = {size: resized(image, *size) for size in {view.size for view in self.views}}
        shown = [_shown(sizes[view.size], view.flip) for view in self.views]
        return (image.shape[0], image.shape[1]), shown


def decoded_photos(
    files: Sequence[Path | None],
    views: Sequence[View],
    settings: Inference,
    decoding: Decoding,
    device: torch.device,
) -> Iterator[Photo | str]:
    """Photos in the order of their files, decoded by the workers of the settings; for a GPU in pinned memory."""
    workers = settings.workers
    loader = DataLoader(
        DecodedPhotos(files, views, decoding),
        batch_size=None,
        num_workers=workers,
        prefetch_factor=max(2, -(-2 * settings.batch_size // workers)) if workers else None,
        pin_memory=device.type == "cuda",
        multiprocessing_context=start_method(device) if workers else None,
    )
    return iter(loader)


def _shown(image: NDArray[np.uint8], flip: bool) -> Tensor:
    pixels = image[:, ::-1] if flip else image
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))
