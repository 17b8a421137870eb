"""Trees that several processes grow, each on its part of the rows, by XGBoost's own collective."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from io import StringIO

from xgboost import collective
from xgboost.core import XGBoostError
from xgboost.tracker import RabitTracker

from kit.detector.team import Team

MASTER = "MASTER_ADDR"  # environment: the machine of the first process, as torchrun sets it


@contextmanager
def growing_together(team: Team) -> Iterator[None]:
    """Inside, a tree is grown on the rows of all processes; each of them has to grow the same ones in this order.

    After an error nothing is said to the others: whoever started them ends them.
    """
    if team.count == 1:
        yield
        return
    trackers = list[RabitTracker]()

    def arguments() -> dict[str, str | int]:
        trackers.append(RabitTracker(team.count, _address(), sortby="task"))
        trackers[0].start()
        told: dict[str, str | int] = trackers[0].worker_args()
        return told

    with redirect_stdout(StringIO()):  # it writes there who came, whatever its verbosity
        collective.init(**team.of_first(arguments), dmlc_task_id=f"{team.rank:06}")
    try:
        yield
        collective.finalize()
        for tracker in trackers:
            tracker.wait_for()
    finally:
        for tracker in trackers:
            with suppress(XGBoostError):  # another process has gone
                tracker.free()


def _address() -> str:
    """Of this machine, for the others."""
    return socket.gethostbyname(os.environ.get(MASTER, "127.0.0.1"))
