"""Training of the visual model (paper 3.1): the positives, negatives drawn anew in every epoch, Adam, cosine."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader

from kit.base.errors import KitError
from kit.base.files import write_json
from kit.base.log import logger
from kit.base.progress import ProgressLine
from kit.config import Architecture, Decoding, Visual
from kit.detector.annotated_images import SKIPPED
from kit.detector.checkpoint import State
from kit.detector.device import device_of, memory_format, mixed_precision
from kit.detector.divergence import DivergedError, diverged
from kit.detector.draws import seed_by
from kit.detector.finite import broken_weight
from kit.relation.spatial_rows import PAIRWISE
from kit.relation.visual_checkpoints import checkpoints, finished_figures, resume, write_checkpoint
from kit.relation.visual_data import Batch, Crops, Draws, PairRows, Regions, collate
from kit.relation.visual_model import SHARED, loader_options, on_device, save_index, save_network
from kit.relation.visual_networks import CropNet, VisualNet, visual_network
from kit.relation.visual_store import pairs_of, remove_stores, store_folder, with_store
from kit.vocabulary import vocabulary

WINDOW = 20  # steps whose figures are fetched from the device at once


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
    Raises DivergedError, and KitError where the store of crops or regions finds no room.
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
    finished = {name: finished_figures(folder, name) for name in wanted}
    unfinished = [takes[name] for name, kept in finished.items() if kept is None]
    store = store_folder(folder, only)
    if unfinished:
        rows = with_store(rows, unfinished, architecture, detector, settings, store, device, decoding)
    figures: dict[str, Any] = {}
    for number, (name, columns) in enumerate(jobs.items()):
        if name not in finished:
            continue
        kept = finished[name]
        if kept is None:
            own = rows.take(takes[name])
            own = replace(own, positive=own.positive[:, columns], allowed=own.allowed[:, columns])
            network = _fresh(architecture, settings, len(columns), detector, seed + number)
            training = _Training(name, own, network, settings, [seed, number], store, device, decoding)
            kept = _finish(training)
        figures[name] = kept
        for _, path in checkpoints(folder, name):  # also of a network that was whole before
            path.unlink(missing_ok=True)
    if only is None:
        save_index(folder, list(jobs), architecture, settings)
    remove_stores(folder, only)
    return figures


def _finish(training: _Training) -> dict[str, Any]:
    """Train a network and keep it; its figures."""
    folder, name, rows = training.folder, training.name, training.draws.rows
    loss = round(training.run(), 4)
    figures: dict[str, Any] = {"pairs": len(rows.files), "positives": int(rows.positive.sum()), "loss": loss}
    if training.resumed:
        figures["resumed_at"] = training.resumed
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


class _Training:
    """One network's training; a checkpoint every few minutes, the last two are kept.

    What is random hangs on the seed, the epoch and the step alone: going on from a checkpoint changes nothing.
    The device is waited for once in WINDOW steps, when the figures of these are looked at.
    """

    def __init__(
        self,
        name: str,
        rows: PairRows,
        network: VisualNet,
        settings: Visual,
        seed: list[int],
        store: Path,
        device: str,
        decoding: Decoding,
    ) -> None:
        self.name, self.network, self.settings, self.seed = name, network, settings, seed
        self.folder, self.store = store.parent, store
        self.device, self.decoding = device_of(device), decoding
        self.draws = Draws(rows, settings, seed)
        self.resumed: list[int] = []
        self.pending: list[tuple[int, Tensor, Sequence[Path]]] = []  # step, loss and norm, files
        self.total, self.count = 0.0, 0  # of the epoch's losses

    def run(self) -> float:
        """Train; the mean loss of the last epoch."""
        on_device(self.network, self.device)
        parameters = [p for p in self.network.parameters() if p.requires_grad]
        optimizer = torch.optim.Adam(parameters, lr=self.settings.max_lr, fused=self.device.type == "cuda")
        done = self._resume(optimizer)
        unit = "crops" if self.settings.features == "crops" else "pairs"
        line = ProgressLine(self.draws.steps, f"visual {self.name}", unit, self.settings.batch_size)
        line.begin(done)
        try:
            loss = self._steps(done, optimizer, line)
            self._check_weights(self.draws.steps)
        except DivergedError:
            for _, path in checkpoints(self.folder, self.name)[:1]:  # its weights led here
                path.unlink()
            raise
        finally:
            line.close()
        self.network.cpu().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        return loss

    def _steps(self, start: int, optimizer: torch.optim.Optimizer, line: ProgressLine) -> float:
        self.network.train()
        loss, steps, kept = math.nan, self.draws.steps, time.monotonic()
        for done, batch in enumerate(self._loader(start), start + 1):
            line.fed()
            if batch is not None:
                self._step(done - 1, batch, optimizer)
            ends = done % self.draws.per_epoch == 0 or done == steps
            due = done < steps and time.monotonic() - kept >= 60 * self.settings.checkpoint_minutes
            if ends or due or len(self.pending) >= WINDOW:
                self._look()
            note = f"loss {self.total / self.count:.3f}" if self.count else ""
            if ends:
                loss = self._end_epoch()
            if due:
                self._keep(done, optimizer)
                kept = time.monotonic()
            line.show(done, note)
            if line.enough:
                self._look()
                return self._end_epoch() if self.count else loss
        return loss

    def _step(self, step: int, batch: Batch, optimizer: torch.optim.Optimizer) -> None:
        seed_by(*self.seed, *divmod(step, self.draws.per_epoch))
        for group in optimizer.param_groups:
            group["lr"] = self._rate(step)
        crops, target, mask = (part.to(self.device, non_blocking=True) for part in batch[:3])
        crops = crops.to(memory_format=memory_format(self.device))
        weight = mask.sum().clamp(min=1)
        total = torch.zeros((), device=self.device)
        optimizer.zero_grad()
        parts = (tensor.chunk(self.settings.accumulate) for tensor in (crops, target, mask))
        for pixels, positive, allowed in zip(*parts, strict=True):
            with mixed_precision(self.device, self.settings.precision):
                logits = self.network(pixels).float()
            losses = nn.functional.binary_cross_entropy_with_logits(logits, positive, reduction="none")
            loss = (losses * allowed).sum() / weight
            loss.backward()
            total += loss.detach()
        gradients = [p.grad for p in self.network.parameters() if p.grad is not None]
        norm = nn.utils.get_total_norm(gradients) if gradients else torch.zeros_like(total)
        self.pending.append((step, torch.stack([total, norm.to(total.device)]), batch[3]))
        optimizer.step()

    def _look(self) -> None:
        """Fetch the figures of the steps since the last look. Raises DivergedError where one is not finite."""
        if not self.pending:
            return
        figures = torch.stack([pair for _, pair, _ in self.pending]).tolist()
        for (step, _, files), (loss, norm) in zip(self.pending, figures, strict=True):
            if not (math.isfinite(loss) and math.isfinite(norm)):
                problem = f"the gradient is {norm}" if math.isfinite(loss) else f"the loss is {loss}"
                raise self._diverged(problem, self._place(step), [path.stem for path in files])
            self.total, self.count = self.total + loss, self.count + 1
        self.pending.clear()

    def _end_epoch(self) -> float:
        """The epoch's mean loss. Raises KitError where no image of it could be read."""
        if not self.count:
            pairs = f"its {len(self.draws.rows.files):,} pairs"
            raise KitError(
                f"visual {self.name}: none of {pairs} has an image that can be read",
                "see skipped.csv of the stage, and data.train.images",
            )
        loss = self.total / self.count
        self.total, self.count = 0.0, 0
        return loss

    def _keep(self, done: int, optimizer: torch.optim.Optimizer) -> None:
        """Write a checkpoint after a step. Raises DivergedError where a weight is not finite."""
        self._check_weights(done)
        state = {
            "step": done,
            "losses": [self.total, self.count],
            "resumed": self.resumed,
            "network": self.network.state_dict(),
            "optimizer": optimizer.state_dict(),
        }
        write_checkpoint(self.folder, self.name, done, state)

    def _check_weights(self, done: int) -> None:
        weight = broken_weight(self.network.state_dict())
        if weight:
            raise self._diverged(f"{weight} is not finite", self._place(done - 1), [])

    def _place(self, step: int) -> str:
        epoch, number = divmod(step, self.draws.per_epoch)
        return f"step {number + 1} of epoch {epoch + 1}"

    def _resume(self, optimizer: torch.optim.Optimizer) -> int:
        """Take up the newest whole checkpoint: the steps done."""

        def take(state: dict[str, Any]) -> None:
            before = [int(at) for at in state["resumed"]]
            total, count = state["losses"]
            self.network.load_state_dict(state["network"])
            optimizer.load_state_dict(state["optimizer"])
            self.resumed, self.total, self.count = [*before, int(state["step"])], float(total), int(count)

        step = resume(self.folder, self.name, take)
        if step:
            logger.info(f"visual {self.name}: going on after step {step:,} of {self.draws.steps:,}")
        return step

    def _diverged(self, problem: str, place: str, images: Sequence[str]) -> DivergedError:
        settings = f"relation.visual.max_lr (now {self.settings.max_lr:g})"
        return diverged(f"visual {self.name}", problem, place, images, settings)

    def _rate(self, step: int) -> float:
        """Linear warm-up to the highest learning rate, then a cosine to the lowest (paper 3.1)."""
        s, steps = self.settings, self.draws.steps
        warmup = s.warmup * steps
        if step < warmup:
            return s.max_lr * (step + 1) / (warmup + 1)
        share = (step - warmup) / max(steps - warmup, 1)
        return s.min_lr + (s.max_lr - s.min_lr) * (1 + math.cos(math.pi * min(share, 1))) / 2

    def _loader(self, start: int) -> Iterator[Batch | None]:
        """The batches of all steps from `start` on; None where no image of one can be read."""
        skipped = self.folder / SKIPPED
        data: Crops | Regions = Regions(self.store, skipped)
        if self.settings.features == "crops":
            data = Crops(self.settings.crop_size, self.store, skipped, self.decoding)
        options = loader_options(self.device, self.settings.workers)
        return iter(DataLoader(data, batch_sampler=self.draws.batches(start), collate_fn=collate, **options))
