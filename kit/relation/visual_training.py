"""Training of the visual model (paper 3.1): its networks, one after another, and what is kept of each."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from kit.base.files import write_json
from kit.config import Architecture, Decoding, Visual
from kit.detector.checkpoint import State
from kit.detector.team import Team
from kit.relation.network_training import NetworkTraining
from kit.relation.spatial_rows import PAIRWISE
from kit.relation.visual_checkpoints import checkpoints, finished_figures
from kit.relation.visual_data import PairRows
from kit.relation.visual_model import SHARED, save_index, save_network
from kit.relation.visual_networks import CropNet, VisualNet, visual_network
from kit.relation.visual_store import pairs_of, remove_stores, store_folder, with_store
from kit.vocabulary import vocabulary


def train_visual(
    rows: PairRows,
    architecture: Architecture,
    detector: State,
    settings: Visual,
    seed: int,
    folder: Path,
    device: str = "auto",
    decoding: Decoding | None = None,
    only: str | None = None,
) -> dict[str, Any]:
    """Train every network below `folder`, leaving out those that are there; pairs and last loss of each.

    With separate backbones one a predicate that has a positive pair, else one for all; only: the name of the one
    to train now, after which the index is not written. Where one was interrupted it goes on from its newest
    checkpoint; "resumed_at" are the steps of that. Images that cannot be read are recorded in SKIPPED there.
    Of several processes at the training all call this, and each learns from its part of every batch; the first
    one writes. Raises DivergedError, and KitError where the store of crops or regions finds no room.
    """
    jobs: dict[str, NDArray[np.int64]]
    if settings.backbone == SHARED:
        jobs = {SHARED: np.arange(len(PAIRWISE))}
    else:
        names = vocabulary().predicates
        jobs = {names[p]: np.asarray([i]) for i, p in enumerate(PAIRWISE) if rows.positive[:, i].any()}
    decoding = decoding or Decoding()
    takes = {
        name: pairs_of(rows, columns, settings, [seed, number])
        for number, (name, columns) in enumerate(jobs.items())
    }
    wanted = [name for name in jobs if only in (None, name)]
    team = Team.here()
    finished = team.of_first(lambda: {name: finished_figures(folder, name) for name in wanted})
    unfinished = [takes[name] for name, kept in finished.items() if kept is None]
    store = store_folder(folder, only)
    if unfinished:
        made = partial(
            with_store, rows, unfinished, architecture, detector, settings, store, device, decoding
        )
        rows = replace(rows, stored=team.of_first(lambda: made().stored))
    figures: dict[str, Any] = {}
    for number, (name, columns) in enumerate(jobs.items()):
        if name not in finished:
            continue
        kept = finished[name]
        if kept is None:
            own = rows.take(takes[name])
            own = replace(own, positive=own.positive[:, columns], allowed=own.allowed[:, columns])
            network = _fresh(architecture, settings, len(columns), detector, seed + number)
            training = NetworkTraining(
                name, own, network, settings, [seed, number], store, device, decoding, team
            )
            kept = _finish(training)
        figures[name] = kept
        for _, path in checkpoints(folder, name) if team.first else ():  # also of one that was whole before
            path.unlink(missing_ok=True)
    if team.first:
        if only is None:
            save_index(folder, list(jobs), architecture, settings)
        remove_stores(folder, only)
    return figures


def _finish(training: NetworkTraining) -> dict[str, Any]:
    """Train a network and keep it; its figures."""
    folder, name, rows = training.folder, training.name, training.draws.rows
    loss = round(training.run(), 4)
    figures: dict[str, Any] = {"pairs": len(rows.files), "positives": int(rows.positive.sum()), "loss": loss}
    if training.resumed:
        figures["resumed_at"] = training.resumed
    if training.team.first:
        write_json(folder / f"{name}.json", figures)
        save_network(folder, name, training.network)
    return figures


def _fresh(
    architecture: Architecture, settings: Visual, outputs: int, detector: State, seed: int
) -> VisualNet:
    torch.manual_seed(seed)
    network = visual_network(architecture, settings, outputs)
    if isinstance(network, CropNet):
        network.start_from(detector)
    return network
