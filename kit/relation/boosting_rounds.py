"""Boosters grown block by block; each is kept, so that a training that was killed goes on to the same trees."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xgboost as xgb

from kit.base.errors import FileFault
from kit.base.files import atomic_write, reading
from kit.base.log import logger, warn_once
from kit.base.progress import ProgressLine
from kit.base.threads import cpu_share, threads_used
from kit.config import Boosting
from kit.detector.process_group import local_count, own_gpu, process_count
from kit.tables.schema import Floats

XGBOOST = {  # settings that are parameters of XGBoost's own
    *(
        "eta",
        "max_depth",
        "min_child_weight",
        "subsample",
        "colsample_bytree",
        "gamma",
        "reg_lambda",
        "max_bin",
    ),
    "device",
}
METHOD, OTHER_METHOD = "hist", "approx"
LONG = 3600.0  # seconds of a dart booster from which the user is warned


def parameters(settings: Boosting, seed: int, classes: int) -> dict[str, Any]:
    """XGBoost's parameters. dart without a drop is trained as gbtree: it would only predict every tree anew."""
    params = {**settings.model_dump(include=XGBOOST), "tree_method": METHOD, "seed": seed}
    params["device"] = own_gpu(settings.device)
    params["booster"] = settings.booster
    params |= (
        {"objective": "multi:softprob", "num_class": classes} if classes else {"objective": "binary:logistic"}
    )
    if settings.booster == "dart" and settings.rate_drop:
        params["rate_drop"] = settings.rate_drop
    elif settings.booster == "dart":
        warn_once("note: dart with rate_drop 0 drops no tree: it is trained as gbtree, to the same trees")
        params["booster"] = "gbtree"
    several = process_count() > 1
    threads = settings.threads or threads_used() or (cpu_share(local_count()) if several else 0)
    if threads:
        params["nthread"] = threads
    return params


@dataclass(frozen=True, eq=False)
class Trial:
    """The best number of rounds so far: its held-out value by rounds, the first part's model, all probabilities.

    grown: rounds that were tried.
    """

    rounds: int = 0
    value: dict[int, float] = field(default_factory=dict)
    raw: bytes = b""
    held: Sequence[Floats] = ()
    grown: int = 0


class Growth:
    """Boosters of the same parameters, each on its own rows, all of `done` rounds."""

    def __init__(self, params: dict[str, Any], rows: Sequence[xgb.DMatrix], path: Path | None) -> None:
        """path: where they are kept, None for nowhere."""
        self.params, self.rows, self.path, self.done = params, rows, path, 0
        self.boosters = [xgb.train(params, matrix, 0) for matrix in rows]
        self.spent: list[float] = []

    def grow(self, to: int, line: ProgressLine | None = None) -> None:
        """Add trees up to so many rounds.

        What is random in a block hangs on the seed and its first round alone, whatever was trained before.
        """
        if to <= self.done:
            return
        start = time.monotonic()
        for booster, matrix in zip(self.boosters, self.rows, strict=True):
            _reseed(booster, int(self.params["seed"]) + self.done + 1)
            for i in range(self.done, to):
                booster.update(matrix, i)
        self.spent.append((time.monotonic() - start) / (to - self.done))
        self.done = to
        if line is not None and self.params["booster"] == "dart":
            self._warn_of_dart(line.total)

    def keep(self, trial: Trial) -> None:
        """Write the boosters, and what was found so far, in one file."""
        if self.path is None:
            return
        grown: dict[str, Any] = {
            f"booster{i}": _bytes(b.save_raw("ubj")) for i, b in enumerate(self.boosters)
        }
        held: dict[str, Any] = {f"held{i}": probability for i, probability in enumerate(trial.held)}
        found: dict[str, Any] = {
            "rounds": np.asarray(trial.rounds),
            "tried": np.asarray(list(trial.value), np.int64),
            "values": np.asarray(list(trial.value.values())),
            "raw": _bytes(trial.raw),
        }
        with atomic_write(self.path) as part, part.open("wb") as file:
            np.savez(file, done=np.asarray(self.done), **grown, **held, **found)

    def resume(self) -> Trial:
        """Take up what `keep` wrote; an empty trial where there is nothing that can be read."""
        if self.path is None or not self.path.exists():
            return Trial()
        try:
            with (
                reading(self.path, "a boosting that was interrupted"),
                self.path.open("rb") as file,
                np.load(file) as kept,
            ):
                done = int(kept["done"])
                raws = [kept[f"booster{i}"].tobytes() for i in range(len(self.boosters))]
                held = [
                    kept[name] for name in sorted((n for n in kept.files if n[:4] == "held"), key=_number)
                ]
                value = dict(zip(kept["tried"].tolist(), kept["values"].tolist(), strict=True))
                trial = Trial(int(kept["rounds"]), value, kept["raw"].tobytes(), held, done)
        except FileFault as error:
            logger.warning(f"{error.message}; it begins anew")
            return Trial()
        if done:
            self.boosters = [xgb.Booster(self.params, model_file=bytearray(raw)) for raw in raws]
        self.done = done
        logger.info(f"{self.path.stem}: going on after round {done}")
        return trial

    def _warn_of_dart(self, rounds: int) -> None:
        """The time of a round grows with the trees that it predicts anew."""
        if len(self.spent) < 2:
            return
        first, second = self.spent[0], self.spent[1]
        block = self.done / len(self.spent)
        seconds = (first + max(second - first, 0.0) / block * rounds / 2) * rounds
        if seconds > LONG:
            warn_once(
                f"note: dart predicts every tree in every round: about {seconds / 3600:,.0f} h for {rounds:,} "
                "rounds of one model; with rate_drop 0 it is trained as gbtree"
            )


def _number(name: str) -> int:
    return int(name.removeprefix("held"))


def _bytes(raw: bytes | bytearray) -> np.ndarray:
    return np.frombuffer(bytes(raw), np.uint8)


def _reseed(booster: xgb.Booster, seed: int) -> None:
    """Begin the booster's random numbers anew: a change of the method and back gives it new samplers."""
    booster.set_param({"tree_method": OTHER_METHOD})
    booster.save_config()
    booster.set_param({"tree_method": METHOD, "seed": seed})
    booster.save_config()
