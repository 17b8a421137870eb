"""Boosting of more rows than memory holds: XGBoost reads them batch by batch and keeps quantised pages on disk."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

from kit.base.files import write_text
from kit.base.log import logger
from kit.base.memory import total_memory
from kit.config import Boosting
from kit.data.objects import Objects
from kit.detector.process_group import local_count, process_rank
from kit.detector.team import ALONE, Team
from kit.relation.candidates import Candidates
from kit.relation.feature_tables import FeatureTable, pair_feature_table
from kit.tables.schema import Floats

BATCH = 8 << 20  # bytes of float32 values that XGBoost is given at once; its page is a quarter of them
SHARE = 0.5  # of all memory of the machine that a training may fill before its rows go to disk
# bytes of memory a value of the matrix: its copies, and XGBoost's of every held-out part. With one part 17.5 a
# value were measured (60,000 to 240,000 rows x 64), for which 24 are reckoned; more parts were not measured.
HELD, A_FOLD = 12, 12
FOLDER = "external"  # in the stage's folder, while it trains
CHOICE = "external.txt"  # beside it: where the rows of the boosters there lie
MEMORY, DISK = "memory", "disk"
AT_WORK = ("*.trial.npz", "*.final.npz")  # boosters that are not finished
_number = count()


class RowBatches(xgb.DataIter):
    """Rows of a table as XGBoost asks for them. rows: indices into all arguments."""

    def __init__(
        self,
        features: FeatureTable,
        rows: NDArray[np.intp],
        label: NDArray[Any],
        weight: Floats | None,
        margin: Floats | None,
        scratch: Path,
    ) -> None:
        self.features, self.rows = features, rows
        self.label, self.weight, self.margin = label, weight, margin
        self.size = max(1, BATCH // (4 * len(features.names)))
        self.at = 0
        pages = pages_folder(scratch)
        pages.mkdir(parents=True, exist_ok=True)
        super().__init__(cache_prefix=str(pages / f"{process_rank()}-{next(_number)}"), release_data=True)

    def next(self, input_data: Callable[..., None]) -> bool:
        """Give the next batch; False after the last."""
        rows = self.rows[self.at : self.at + self.size]
        if not len(rows):
            return False
        weight, margin = (None if v is None else v[rows] for v in (self.weight, self.margin))
        input_data(
            data=self.features.take(rows),
            label=self.label[rows],
            weight=weight,
            base_margin=margin,
            feature_names=list(self.features.names),
        )
        self.at += len(rows)
        return True

    def reset(self) -> None:
        """Begin anew."""
        self.at = 0


def external_matrix(batches: RowBatches, bins: int, reference: xgb.DMatrix | None) -> xgb.DMatrix:
    """The rows as quantised pages on disk; reference: the matrix whose bins they share, None for their own.

    bins: a feature's, as the booster has them.
    """
    return xgb.ExtMemQuantileDMatrix(batches, max_bin=bins, ref=reference)


def is_external(settings: Boosting, rows: int, columns: int, scratch: Path | None) -> bool:
    """Whether so many training rows go to disk: as is set, or where they would fill half of the machine's memory.

    scratch: where they would be kept; None keeps them in memory. The choice is written beside it: `auto` goes on as
    a training that was interrupted began, and another setting begins its unfinished boosters anew, with a notice.
    """
    if scratch is None:
        return False
    begun = _begun(scratch.parent)
    if settings.external_memory == "auto" and begun:
        return begun[-1] == DISK
    external = settings.external_memory == "always" or (
        settings.external_memory == "auto" and _is_too_much(settings, rows, columns)
    )
    now = DISK if external else MEMORY
    if begun and begun[-1] != now:
        _throw_boosters_away(scratch.parent, begun[-1], now)
    if begun[-1:] != [now]:
        write_text(scratch.parent / CHOICE, "\n".join([*begun, now]))
    return external


def feature_table(
    objects: Objects,
    candidates: Candidates,
    settings: Boosting,
    largest: tuple[int, int],
    scratch: Path | None,
    team: Team,
) -> tuple[Path | None, FeatureTable]:
    """Where XGBoost's rows go to disk, None where memory holds them, and the features of pairs.

    largest: rows and features of the largest training, of which each process has a part; the features of several
    processes are in files that all read.
    """
    rows, columns = largest
    here = -(-rows * local_count() // team.count)  # that memory of this machine would hold
    external = team.of_first(lambda: is_external(settings, here, columns, scratch))
    stored = scratch if external or team.count > 1 else None
    features = team.of_first(lambda: pair_feature_table(objects, candidates, stored))
    return scratch if external else None, features


def _is_too_much(settings: Boosting, rows: int, columns: int) -> bool:
    """Whether rows would fill too much of the memory; of all of it, so that other work changes no result."""
    total = total_memory()
    needed = rows * columns * (HELD + A_FOLD * settings.folds)
    if total is None or needed <= SHARE * total:
        return False
    logger.info(
        f"{rows:,} rows of {columns} features would take about {needed / 2**30:,.1f} GiB of the "
        f"{total / 2**30:,.1f} GiB that the machine has: they are trained on from disk"
    )
    return True


def _begun(folder: Path) -> list[str]:
    """Where the rows of an interrupted training lay, one after another; empty where there was none."""
    with suppress(OSError, ValueError):
        words = (folder / CHOICE).read_text(encoding="ascii").split()
        if set(words) <= {MEMORY, DISK}:
            return words
    return []


def _throw_boosters_away(folder: Path, before: str, now: str) -> None:
    """Of boosters at work, which have other bins; models that are whole stay."""
    logger.warning(
        f"rows were trained on from {before} before, now from {now}: unfinished models begin anew, the others stay"
    )
    for pattern in AT_WORK:
        for path in folder.glob(pattern):
            path.unlink(missing_ok=True)  # another model's process may do the same


def end_choice(folder: Path) -> str:
    """Where the rows of a training lay that has come to its end: "memory", "disk", or one, then the other."""
    where = ", then ".join(_begun(folder))
    (folder / CHOICE).unlink(missing_ok=True)
    return where


@contextmanager
def scratch_folder(folder: Path | None, task: str | None = None, team: Team = ALONE) -> Iterator[Path | None]:
    """The folder of rows and pages: rows of a run that was killed are kept, its pages not; removed at the end.

    task: the model that a process trains beside others, each in a folder of its own; team: of the processes that
    train together, in one.
    """
    if folder is None:
        yield None
        return
    scratch = folder / (FOLDER if task is None else f"{FOLDER}-{task}")
    team.of_first(lambda: shutil.rmtree(pages_folder(scratch), ignore_errors=True))
    yield scratch
    team.wait()
    if not team.first:
        return
    for left in [scratch] if task else folder.glob(f"{FOLDER}*/"):
        shutil.rmtree(left, ignore_errors=True)


def pages_folder(scratch: Path) -> Path:
    """Where XGBoost's pages are."""
    return scratch / "pages"
