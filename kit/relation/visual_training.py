"""Training of the visual model (paper 3.1): the positives, negatives drawn anew in every epoch, Adam, cosine."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader

from kit.base.errors import FileFault, KitError
from kit.base.files import atomic_write, read_json, write_json
from kit.base.log import logger
from kit.base.progress import ProgressLine
from kit.config import Architecture, Decoding, Visual
from kit.detector.annotated_images import SKIPPED
from kit.detector.checkpoint import State, read_checkpoint, read_state
from kit.detector.divergence import DivergedError, diverged
from kit.detector.draws import seed_by
from kit.detector.finite import broken_weight
from kit.detector.inference import device_of, mixed_precision
from kit.relation.spatial_model import PAIRWISE
from kit.relation.visual_data import Batch, Crops, PairRows, collate
from kit.relation.visual_model import SHARED, VisualNet, save_index, save_network
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
) -> dict[str, Any]:
    """Train every network below `folder`, leaving out those that are there; pairs and last loss of each.

    With separate backbones one a predicate that has a positive pair, else one for all. Where one was interrupted
    it goes on from its newest checkpoint; "resumed_at" are the epochs of that. Images that cannot be read are
    recorded in SKIPPED there. Raises DivergedError.
    """
    jobs: dict[str, NDArray[np.int64]]
    if settings.backbone == SHARED:
        jobs = {SHARED: np.arange(len(PAIRWISE))}
    else:
        names = vocabulary().predicates
        jobs = {names[p]: np.asarray([i]) for i, p in enumerate(PAIRWISE) if rows.positive[:, i].any()}
    figures: dict[str, Any] = {}
    for number, (name, columns) in enumerate(jobs.items()):
        kept = _kept(folder, name)
        if kept is not None:
            figures[name] = kept
        else:
            own = rows.take(np.flatnonzero(rows.allowed[:, columns].any(axis=1)))
            own = PairRows(
                own.files, own.subject, own.object, own.positive[:, columns], own.allowed[:, columns]
            )
            network = _fresh(architecture, settings, len(columns), detector, seed + number)
            training = _Training(name, own, network, settings, [seed, number], folder, device, decoding)
            loss = round(training.run(), 4)
            figures[name] = {"pairs": len(own.files), "positives": int(own.positive.sum()), "loss": loss}
            if training.resumed:
                figures[name]["resumed_at"] = training.resumed
            write_json(folder / f"{name}.json", figures[name])
            save_network(folder, name, network)
            for _, path in training.checkpoints():
                path.unlink(missing_ok=True)
    save_index(folder, list(jobs), architecture, settings)
    return figures


def _kept(folder: Path, name: str) -> dict[str, Any] | None:
    """The figures of a network that an interrupted stage had finished."""
    path = folder / f"{name}.pth"
    if not path.exists():
        return None
    try:
        read_state(path)
        return read_json(folder / f"{name}.json", dict)
    except FileFault as error:
        logger.warning(f"visual {name} is trained again: {error}")
        return None


def _fresh(
    architecture: Architecture, settings: Visual, outputs: int, detector: State, seed: int
) -> VisualNet:
    torch.manual_seed(seed)
    network = VisualNet(architecture, settings, outputs)
    network.start_from(detector)
    return network


class _Training:
    """One network's training; a checkpoint after every epoch, the last two are kept.

    What is random hangs on the seed, the epoch and the step alone: going on from a checkpoint changes nothing.
    """

    def __init__(
        self,
        name: str,
        rows: PairRows,
        network: VisualNet,
        settings: Visual,
        seed: list[int],
        folder: Path,
        device: str,
        decoding: Decoding | None = None,
    ) -> None:
        self.name, self.rows, self.network, self.settings, self.seed = name, rows, network, settings, seed
        self.folder = folder
        self.device, self.decoding = device_of(device), decoding or Decoding()
        self.resumed: list[int] = []
        self.some = rows.positive.any(axis=1)
        each = int(self.some.sum())
        each += min(int((~self.some).sum()), round(settings.negatives * each))
        self.batches = max(1, math.ceil(each / settings.batch_size))

    def run(self) -> float:
        """Train; the mean loss of the last epoch."""
        self.network.to(self.device)
        parameters = [p for n, p in self.network.named_parameters() if not self._is_frozen(n)]
        optimizer = torch.optim.Adam(parameters, lr=self.settings.max_lr)
        done, loss = self._resume(optimizer)
        line = ProgressLine(self.settings.epochs, f"visual {self.name}")
        line.begin(done)
        try:
            for epoch in range(done, self.settings.epochs):
                loss = self._epoch(epoch, optimizer)
                self._keep(epoch + 1, loss, optimizer)
                line.show(epoch + 1, f"loss {loss:.3f}")
                if line.enough:
                    break
        except DivergedError:
            for _, path in self.checkpoints()[:1]:  # its weights led here, finite as they are
                path.unlink()
            raise
        finally:
            line.close()
        self.network.cpu()
        return loss

    def checkpoints(self) -> list[tuple[int, Path]]:
        """Those of this network with their epochs, the newest first."""
        paths = [(path.name.split(".")[1], path) for path in self.folder.glob(f"{self.name}.*.checkpoint")]
        return sorted(((int(epoch), path) for epoch, path in paths if epoch.isdecimal()), reverse=True)

    def _keep(self, epoch: int, loss: float, optimizer: torch.optim.Optimizer) -> None:
        """Write a checkpoint after an epoch. Raises DivergedError where a weight is not finite."""
        weight = broken_weight(self.network.state_dict())
        if weight:
            raise self._diverged(f"{weight} is not finite", f"the end of epoch {epoch}", [])
        state = {
            "epoch": epoch,
            "loss": loss,
            "resumed": self.resumed,
            "network": self.network.state_dict(),
            "optimizer": optimizer.state_dict(),
        }
        with atomic_write(self.folder / f"{self.name}.{epoch}.checkpoint") as part:
            torch.save(state, part)
        for _, path in self.checkpoints()[2:]:
            path.unlink()

    def _is_frozen(self, name: str) -> bool:
        return self.network.frozen and name.startswith("backbone.")

    def _resume(self, optimizer: torch.optim.Optimizer) -> tuple[int, float]:
        """Take up the newest whole checkpoint: the epochs done and the last one's loss."""
        for epoch, path in self.checkpoints():
            try:
                state = read_checkpoint(path)
                if broken_weight(state["network"]):
                    raise FileFault(path, "its weights are not finite")
                before = [int(at) for at in state["resumed"]]
                self.network.load_state_dict(state["network"])
                optimizer.load_state_dict(state["optimizer"])
            except (FileFault, KeyError, ValueError, TypeError, RuntimeError) as error:
                problem = error.problem if isinstance(error, FileFault) else "not whole"
                logger.warning(f"{path.name} is passed over: {problem}; an older one is looked for")
                continue
            self.resumed = [*before, epoch]
            logger.info(f"visual {self.name}: going on after epoch {epoch}")
            return epoch, float(state["loss"])
        return 0, math.nan

    def _diverged(self, problem: str, place: str, images: Sequence[str]) -> DivergedError:
        settings = f"relation.visual.max_lr (now {self.settings.max_lr:g})"
        return diverged(f"visual {self.name}", problem, place, images, settings)

    def _epoch(self, epoch: int, optimizer: torch.optim.Optimizer) -> float:
        self.network.train()
        total, count = 0.0, 0
        for i, (crops, positive, allowed, files) in enumerate(self._loader(epoch)):
            seed_by(*self.seed, epoch, i)
            for group in optimizer.param_groups:
                group["lr"] = self._rate(epoch * self.batches + i)
            with mixed_precision(self.device, self.settings.precision):
                logits = self.network(crops.to(self.device))
            mask = allowed.to(self.device)
            target = positive.to(self.device)
            losses = nn.functional.binary_cross_entropy_with_logits(logits.float(), target, reduction="none")
            loss = (losses * mask).sum() / mask.sum().clamp(min=1)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            value = self._looked_at(loss.detach(), f"step {i + 1} of epoch {epoch + 1}", files)
            optimizer.step()
            total, count = total + value, count + 1
        if not count:
            raise KitError(
                f"visual {self.name}: none of its {len(self.rows.files):,} pairs has an image that can be read",
                "see skipped.csv of the stage, and data.train.images",
            )
        return total / count

    def _looked_at(self, loss: Tensor, place: str, files: Sequence[Path]) -> float:
        """The loss of a step. Raises DivergedError where it or the gradient is not finite."""
        gradients = [p.grad for p in self.network.parameters() if p.grad is not None]
        norm = nn.utils.get_total_norm(gradients) if gradients else torch.zeros_like(loss)
        value, size = torch.stack([loss, norm.to(loss.device)]).tolist()  # the device is waited for once
        problem = f"the loss is {value}" if not math.isfinite(value) else f"the gradient is {size}"
        if not (math.isfinite(value) and math.isfinite(size)):
            raise self._diverged(problem, place, [path.stem for path in files])
        return float(value)

    def _rate(self, step: int) -> float:
        """Linear warm-up to the highest learning rate, then a cosine to the lowest (paper 3.1)."""
        s, steps = self.settings, self.settings.epochs * self.batches
        warmup = s.warmup * steps
        if step < warmup:
            return s.max_lr * (step + 1) / (warmup + 1)
        share = (step - warmup) / max(steps - warmup, 1)
        return s.min_lr + (s.max_lr - s.min_lr) * (1 + math.cos(math.pi * min(share, 1))) / 2

    def _loader(self, epoch: int) -> Iterator[Batch]:
        rng = np.random.default_rng([*self.seed, epoch])
        positive, negative = np.flatnonzero(self.some), np.flatnonzero(~self.some)
        most = min(len(negative), round(self.settings.negatives * len(positive)))
        drawn = np.concatenate([positive, rng.choice(negative, most, replace=False)])
        drawn = rng.permutation(drawn)
        flip = rng.random(len(drawn)) < 0.5
        rows, skipped = self.rows.take(drawn), self.folder / SKIPPED
        data = Crops(rows, flip, self.settings.crop_size, skipped, self.decoding)
        loader = DataLoader(
            data,
            self.settings.batch_size,
            num_workers=self.settings.workers,
            collate_fn=collate,
            drop_last=len(drawn) > self.settings.batch_size,  # a batch of one pair would break normalisation
        )
        return (batch for batch in loader if batch is not None)
