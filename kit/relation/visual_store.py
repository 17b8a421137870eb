"""What a training of the visual model takes of its pairs, and what is made of them once, before it begins."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kit.config import Architecture, Decoding, Visual
from kit.detector.annotated_images import SKIPPED
from kit.detector.checkpoint import State
from kit.detector.device import device_of
from kit.relation.crop_store import write_crops
from kit.relation.region_store import write_regions
from kit.relation.regions import RegionTrunk
from kit.relation.visual_data import PairRows, most_negatives
from kit.relation.visual_model import TRUNK, on_device, save_network

STORE = "crops"  # the folder of the stored crops or regions, there as long as the training


def store_folder(folder: Path, only: str | None = None) -> Path:
    """Where crops or regions are stored. only: the network that a process trains beside others, each by its own."""
    return folder / (STORE if only is None else f"{STORE}-{only}")


def remove_stores(folder: Path, only: str | None = None) -> None:
    """Remove that of one network, or all."""
    for store in folder.glob(f"{STORE}*") if only is None else [store_folder(folder, only)]:
        shutil.rmtree(store, ignore_errors=True)


def is_stored(settings: Visual) -> bool:
    """Whether what the networks are given is made once: crops as the settings say, regions always."""
    return settings.features == "regions" or settings.crops == "store"


def pairs_of(
    rows: PairRows, columns: NDArray[np.int64], settings: Visual, seed: list[int]
) -> NDArray[np.intp]:
    """The pairs of a network: those whose classes allow a predicate of it; with a store a pool of the negatives."""
    allowed = np.flatnonzero(rows.allowed[:, columns].any(axis=1))
    if not is_stored(settings) or settings.negatives == "all":
        return allowed
    some = rows.positive[allowed][:, columns].any(axis=1)
    positive, negative = allowed[some], allowed[~some]
    times = max(settings.negatives_stored, settings.negatives)
    most = most_negatives(times, len(positive), len(negative))
    pool = np.random.default_rng(seed).choice(negative, most, replace=False)
    return np.sort(np.concatenate([positive, pool]))


def with_store(
    rows: PairRows,
    takes: Sequence[NDArray[np.intp]],
    architecture: Architecture,
    detector: State,
    settings: Visual,
    store: Path,
    device: str,
    decoding: Decoding,
) -> PairRows:
    """The rows with the places of what is stored of them. takes: the rows of each network.

    store: the folder for it, in that of the stage; what sees regions is written beside it. Raises KitError
    where the store finds no room.
    """
    if not is_stored(settings):
        return rows
    wanted = np.unique(np.concatenate([np.zeros(0, np.intp), *takes]))
    pairs, folder = (rows.files, rows.subject, rows.object, wanted), store.parent
    if settings.features == "crops":
        stored = write_crops(store, *pairs, settings.crop_size, decoding, settings.workers)
        return replace(rows, stored=stored)
    trunk = RegionTrunk(architecture, settings.precision)
    trunk.start_from(detector)
    save_network(folder, TRUNK, trunk)
    on_device(trunk, device_of(device))
    return replace(rows, stored=write_regions(store, trunk, *pairs, settings, decoding, folder / SKIPPED))
