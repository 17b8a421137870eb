"""Processes that train one model together, each on its part of the data: what they tell each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from kit.detector.process_group import process_count, process_rank

if TYPE_CHECKING:
    from torch import Tensor, nn

PATIENCE = timedelta(days=30)  # that the others have while the first one prepares what all need
T = TypeVar("T")
Parts = TypeVar("Parts", bound=Sequence[Any] | NDArray[Any])


@dataclass(frozen=True)
class Team:
    """The processes of a training; by default one alone, which has nobody to tell. rank: this one's, of `count`.

    beside: torch's group of them over the main memory, where numbers that lie there make nobody wait for a GPU.
    """

    rank: int = 0
    count: int = 1
    beside: Any = None  # torch's stubs name no public class

    @classmethod
    def here(cls) -> Team:
        """Those that this process is one of; all of them have to ask at the same point."""
        if process_count() == 1:
            return cls()
        from torch import distributed

        group = distributed.new_group(backend="gloo", timeout=PATIENCE)
        return cls(process_rank(), process_count(), group)

    @property
    def first(self) -> bool:
        """Whether this process writes files and speaks to the user."""
        return self.rank == 0

    @property
    def key(self) -> tuple[int, ...]:
        """What the draws of this process hang on beside their seed."""
        return (self.rank,) if self.count > 1 else ()

    def part(self, items: Parts) -> Parts:
        """Those that are this process's: none where there are more processes than items."""
        first, end = (len(items) * rank // self.count for rank in (self.rank, self.rank + 1))
        return items[first:end]  # type: ignore[return-value]

    def joined(self, part: NDArray[Any]) -> NDArray[Any]:
        """The rows of all parts, one after another."""
        if self.count == 1:
            return part
        from torch import distributed

        parts: list[Any] = [None] * self.count
        distributed.all_gather_object(parts, part, group=self.beside)
        return np.concatenate(parts)

    def sums(self, *numbers: float) -> list[float]:
        """Each number's sum over all processes."""
        if self.count == 1:
            return list(numbers)
        import torch

        told = torch.tensor(numbers, dtype=torch.float64)
        torch.distributed.all_reduce(told, group=self.beside)
        return [float(number) for number in told]

    def wait(self) -> None:
        """Wait until all are here."""
        self.sums(0)

    def first_decides(self, decision: bool) -> bool:
        """The first process's decision; each of them has to ask at the same point."""
        return self.sums(decision and self.first)[0] > 0

    def of_first(self, make: Callable[[], T]) -> T:
        """What the first process makes, for which the others wait."""
        if self.count == 1:
            return make()
        from torch import distributed

        told: list[Any] = [make() if self.first else None]
        distributed.broadcast_object_list(told, src=0, group=self.beside)
        made: T = told[0]
        return made

    def begin(self, network: nn.Module) -> None:
        """Let all begin with the weights of the first one, and normalise over all parts of a batch."""
        if self.count == 1:
            return
        from torch import distributed

        from kit.detector.sync_batch_norm import synchronise_batch_norms

        synchronise_batch_norms(network)
        for tensor in network.state_dict().values():
            distributed.broadcast(tensor, src=0)

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Put in each tensor's place its sum over all processes."""
        if self.count == 1 or not tensors:
            return
        import torch

        whole = torch.cat([tensor.reshape(-1) for tensor in tensors])
        torch.distributed.all_reduce(whole)
        for tensor, total in zip(tensors, torch.split(whole, [t.numel() for t in tensors]), strict=True):
            tensor.copy_(total.view(tensor.shape))


ALONE = Team()
