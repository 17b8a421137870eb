"""Boosting of more rows than memory holds: XGBoost reads them batch by batch and keeps quantised pages on disk."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

from kit.base.log import logger
from kit.base.memory import usable_memory
from kit.config import Boosting
from kit.relation.feature_tables import FeatureTable
from kit.tables.schema import Floats

BATCH = 8 << 20  # bytes of float32 values that XGBoost is given at once; its page is a quarter of them
SHARE = 0.5  # of the usable memory that a training may fill before its rows go to disk
# bytes of memory a value of the matrix: its copies, and XGBoost's of every held-out part. With one part 17.5 a
# value were measured (60,000 to 240,000 rows x 64), for which 24 are reckoned; more parts were not measured.
HELD, A_FOLD = 12, 12
FOLDER = "external"  # in the stage's folder, while it trains
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
        super().__init__(cache_prefix=str(pages / f"{next(_number)}"), release_data=True)

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


def is_external(settings: Boosting, rows: int, columns: int, folder: Path | None) -> bool:
    """Whether so many training rows go to disk: as is set, or where they would fill half of the usable memory.

    folder: where they would be kept; None keeps them in memory.
    """
    if folder is None or settings.external_memory == "never":
        return False
    if settings.external_memory == "always":
        return True
    usable = usable_memory()
    needed = rows * columns * (HELD + A_FOLD * settings.folds)
    if usable is None or needed <= SHARE * usable:
        return False
    logger.info(
        f"{rows:,} rows of {columns} features would take about {needed / 2**30:,.1f} GiB of the "
        f"{usable / 2**30:,.1f} GiB there are: they are trained on from disk"
    )
    return True


@contextmanager
def scratch_folder(folder: Path | None) -> Iterator[Path | None]:
    """The folder of rows and pages: rows of a run that was killed are kept, its pages not; removed at the end."""
    if folder is None:
        yield None
        return
    scratch = folder / FOLDER
    shutil.rmtree(pages_folder(scratch), ignore_errors=True)
    yield scratch
    shutil.rmtree(scratch, ignore_errors=True)


def pages_folder(scratch: Path) -> Path:
    """Where XGBoost's pages are."""
    return scratch / "pages"
