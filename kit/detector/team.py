"""Processes that train one model together, each on its part of the data: what they tell each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from kit.base.errors import KitError
from kit.detector.process_group import process_count, process_rank

if TYPE_CHECKING:
    from torch import Tensor, nn

# that the others have while the first one prepares what all need; 2**31 milliseconds are 24 days
PATIENCE = timedelta(days=20)
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
        """Those that this process is one of; all of them have to ask for the first time at the same point."""
        if process_count() == 1:
            return cls()
        from torch import distributed

        world = distributed.group.WORLD
        if not any(known is world for known, _ in _met):
            group = distributed.new_group(backend="gloo", timeout=PATIENCE)
            _met[:] = [(world, cls(process_rank(), process_count(), group))]
        return _met[0][1]

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
        """The rows of all parts, one after another; a part without rows may have any shape."""
        parts = self.everyones([part])
        return np.concatenate([own for own in parts if len(own)] or parts[:1])

    def told(self, *numbers: float) -> NDArray[np.float64]:
        """What every process says, (count, numbers): one number at least."""
        own = np.asarray([numbers], np.float64)
        if self.count == 1:
            return own
        import torch

        every = [torch.zeros(own.shape, dtype=torch.float64) for _ in range(self.count)]
        torch.distributed.all_gather(every, torch.from_numpy(own), group=self.beside)
        return np.asarray(torch.cat(every).numpy())

    def wait(self) -> None:
        """Wait until all are here."""
        self.told(0)  # for nothing to be told nobody would wait

    def first_decides(self, decision: bool) -> bool:
        """The first process's decision; each of them has to ask at the same point."""
        return bool(self.told(decision)[0, 0])

    def agree(self, number: int, what: str) -> None:
        """Raise KitError where the processes go on from different states. number: of the state."""
        if (self.told(number) != number).any():
            raise KitError(f"{what}: the processes go on from different states", "begin it anew: --force")

    def everyones(self, items: Sequence[T]) -> list[T]:
        """The items of all processes."""
        if self.count == 1:
            return list(items)
        from torch import distributed

        parts: list[Any] = [None] * self.count
        distributed.all_gather_object(parts, list(items), group=self.beside)
        return [item for part in parts for item in part]

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
_met: list[tuple[Any, Team]] = []  # torch's group of all that there is, and the team of its processes
