"""Trees that several processes grow, each on its part of the rows, by XGBoost's own collective."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from io import StringIO

from xgboost import collective
from xgboost.core import XGBoostError
from xgboost.tracker import RabitTracker

from kit.base.errors import KitError
from kit.detector.process_group import is_of_one_machine, own_gpu
from kit.detector.team import Team

TIMEOUT = 10**6  # seconds that a process waits for another one


@contextmanager
def growing_together(team: Team, device: str) -> Iterator[None]:
    """Inside, a tree is grown on the rows of all processes; each of them has to grow the same ones in this order.

    device: the setting. After an error nothing is said to the others: whoever started them ends them. Raises
    KitError where two would have one GPU.
    """
    if team.count == 1:
        yield
        return
    _check_gpus(team, device)
    trackers = list[RabitTracker]()

    def arguments() -> dict[str, str | int]:
        address = "127.0.0.1" if is_of_one_machine() else None  # None: the one that others reach
        trackers.append(RabitTracker(team.count, address, sortby="task"))
        trackers[0].start()
        told: dict[str, str | int] = trackers[0].worker_args()
        return told

    own: dict[str, str | int] = {"dmlc_task_id": f"{team.rank:06}", "dmlc_timeout": TIMEOUT}
    with redirect_stdout(StringIO()):  # it writes there who came, whatever its verbosity
        collective.init(**team.of_first(arguments), **own)
    try:
        yield
        collective.finalize()
        for tracker in trackers:
            tracker.wait_for()
    finally:
        for tracker in trackers:
            with suppress(XGBoostError):  # another process has gone
                tracker.free()


def _check_gpus(team: Team, device: str) -> None:
    """Raise KitError where two processes would have one GPU, which XGBoost refuses."""
    if not device.startswith("cuda"):
        return
    gpus = team.everyones([(socket.gethostname(), own_gpu(device))])
    if len(set(gpus)) < len(gpus):
        raise KitError(
            f"{len(gpus)} processes grow trees on {len(set(gpus))} GPUs, and each needs one",
            "lower processes, or set device to cpu (relation.spatial, relation.stack)",
        )
