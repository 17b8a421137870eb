"""Training of one network of the visual model (paper 3.1): the positives, other negatives in every epoch, Adam."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from kit.base.errors import KitError
from kit.base.log import logger
from kit.base.progress import ProgressLine
from kit.config import Decoding, Visual
from kit.detector.annotated_images import SKIPPED
from kit.detector.device import device_of, memory_format, mixed_precision
from kit.detector.divergence import DivergedError, diverged
from kit.detector.draws import seed_by
from kit.detector.finite import broken_weight
from kit.detector.team import Team
from kit.relation.visual_checkpoints import checkpoints, resume, write_checkpoint
from kit.relation.visual_data import Batch, Crops, Draws, PairRows, Regions, collate
from kit.relation.visual_model import loader_options, on_device
from kit.relation.visual_networks import VisualNet
from kit.relation.visual_schedule import learning_rate

WINDOW = 20  # steps whose figures are fetched from the device at once


class NetworkTraining:
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
        team: Team,
    ) -> None:
        self.name, self.network, self.settings, self.seed, self.team = name, network, settings, seed, team
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
        self.team.begin(self.network)
        unit = "crops" if self.settings.features == "crops" else "pairs"
        line = ProgressLine(self.draws.steps, f"visual {self.name}", unit, self.settings.batch_size)
        line.begin(done)
        try:
            loss = self._steps(done, optimizer, line)
            self._check_weights(self.draws.steps)
        except DivergedError:
            if not self.team.first:
                with suppress(RuntimeError):
                    self.team.wait()
                sys.exit(2)  # the first process says it, and ends
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
            self._step(done - 1, batch, optimizer)
            ends = done % self.draws.per_epoch == 0 or done == steps
            late = time.monotonic() - kept >= 60 * self.settings.checkpoint_minutes
            due = self.team.first_decides(done < steps and late)
            if ends or due or len(self.pending) >= WINDOW:
                self._look()
            note = f"loss {self.total / self.count:.3f}" if self.count else ""
            if ends:
                loss = self._end_epoch()
            if due:
                self._keep(done, optimizer)
                kept = time.monotonic()
            line.show(done, note)
            if self.team.first_decides(line.enough):
                self._look()
                return self._end_epoch() if self.count else loss
        return loss

    def _step(self, step: int, batch: Batch | None, optimizer: torch.optim.Optimizer) -> None:
        """Learn from a batch, of which this process may have nothing; there is no step where none has anything."""
        batch = batch or self._nothing()
        told = self.team.told(len(batch[0]), float(batch[2].sum()))
        weight, most = max(float(told[:, 1].sum()), 1.0), int(told[:, 0].max())
        if not most:
            return
        seed_by(*self.seed, *divmod(step, self.draws.per_epoch), *self.team.key)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(self.settings, step, self.draws.steps)
        crops, target, mask = (part.to(self.device, non_blocking=True) for part in batch[:3])
        crops = crops.to(memory_format=memory_format(self.device))
        total = torch.zeros((), device=self.device)
        optimizer.zero_grad()
        parts = (self._cut(tensor, most) for tensor in (crops, target, mask))
        for pixels, positive, allowed in zip(*parts, strict=True):
            with mixed_precision(self.device, self.settings.precision):
                logits = self.network(pixels).float()
            losses = nn.functional.binary_cross_entropy_with_logits(logits, positive, reduction="none")
            loss = (losses * allowed).sum() / weight
            loss.backward()
            total += loss.detach()
        gradients = [p.grad for p in self.network.parameters() if p.grad is not None]
        self.team.add_up([*gradients, total])
        norm = nn.utils.get_total_norm(gradients) if gradients else torch.zeros_like(total)
        self.pending.append((step, torch.stack([total, norm.to(total.device)]), batch[3]))
        optimizer.step()

    def _cut(self, tensor: Tensor, most: int) -> Sequence[Tensor]:
        """The parts of a step: as many for all processes, none of which is empty for all. most: pairs of one."""
        if self.team.count == 1:
            return tensor.chunk(self.settings.accumulate)
        return tensor.tensor_split(min(self.settings.accumulate, most))

    def _nothing(self) -> Batch:
        """A batch without a pair."""
        labels = torch.zeros(0, self.draws.rows.positive.shape[1])
        return self.network.nothing(), labels, labels, []

    def _look(self) -> None:
        """Fetch the figures of the steps since the last look. Raises DivergedError where one is not finite."""
        if not self.pending:
            return
        figures = torch.stack([pair for _, pair, _ in self.pending]).tolist()
        for (step, _, files), (loss, norm) in zip(self.pending, figures, strict=True):
            if not (math.isfinite(loss) and math.isfinite(norm)):
                problem = f"the gradient is {norm}" if math.isfinite(loss) else f"the loss is {loss}"
                images = self.team.everyones([path.stem for path in files])
                raise self._diverged(problem, self._place(step), images)
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
        if not self.team.first:
            return
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
        self.team.agree(step, f"visual {self.name}")
        if step:
            logger.info(f"visual {self.name}: going on after step {step:,} of {self.draws.steps:,}")
        return step

    def _diverged(self, problem: str, place: str, images: Sequence[str]) -> DivergedError:
        settings = f"relation.visual.max_lr (now {self.settings.max_lr:g})"
        return diverged(f"visual {self.name}", problem, place, images, settings)

    def _loader(self, start: int) -> Iterator[Batch | None]:
        """The batches of all steps from `start` on; None where no image of one can be read."""
        skipped = self.folder / SKIPPED
        data: Crops | Regions = Regions(self.store, skipped)
        if self.settings.features == "crops":
            data = Crops(self.settings.crop_size, self.store, skipped, self.decoding)
        options = loader_options(self.device, self.settings.workers)
        batches = self.draws.batches(start, self.team)
        return iter(DataLoader(data, batch_sampler=batches, collate_fn=collate, **options))
