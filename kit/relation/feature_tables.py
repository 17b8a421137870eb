"""Feature matrices that memory need not hold: Parquet files, some rows of them, several one after another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from kit.base.files import atomic_write, reading
from kit.base.parquet import read_parquet
from kit.data.objects import Objects
from kit.relation.candidates import Candidates
from kit.relation.context import PairContext, image_blocks
from kit.relation.features import Features, features_of_pairs, hstack, pair_columns
from kit.tables.schema import Floats

STORED_BLOCK = 20_000  # rows of a file: what is read to have some of them

Rows = NDArray[np.intp]


class FeatureTable(Protocol):
    """A matrix of named features, of which rows are taken: float32 (rows, names)."""

    @property
    def names(self) -> tuple[str, ...]:
        """One a column."""

    def take(self, rows: Rows) -> Floats:
        """The values of some rows, in their order."""


@dataclass(frozen=True)
class StoredFeatures:
    """Parquet files of features; starts: the first row of each, and the number of all rows."""

    names: tuple[str, ...]
    files: tuple[Path, ...]
    starts: NDArray[np.int64]

    def take(self, rows: Rows) -> Floats:
        """The values of some rows; quick where rows that follow one another stand in the same file."""
        out = np.empty((len(rows), len(self.names)), np.float32)
        file = np.searchsorted(self.starts, rows, side="right") - 1
        for i in np.unique(file).tolist():
            wanted = file == i
            out[wanted] = _values(self.files[i], self.names)[rows[wanted] - self.starts[i]]
        return out


def store_pair_features(
    objects: Objects, candidates: Candidates, folder: Path, block: int = STORED_BLOCK
) -> StoredFeatures:
    """The features of `features_of_pairs` in files of about `block` rows; files that are there are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    context = PairContext.of(objects, candidates)
    files, starts = [], [0]
    for i, rows in enumerate(image_blocks(candidates.image, block)):
        part = candidates.take(rows)
        files.append(folder / f"{i:06}.parquet")
        starts.append(starts[-1] + len(part))
        if not files[-1].exists():
            with atomic_write(files[-1]) as path:
                table = pa.table(dict(pair_columns(context, objects, part)))
                pq.write_table(table, path, compression="lz4", write_page_checksum=True)
    nothing = candidates.take(np.empty(0, np.intp))
    return StoredFeatures(tuple(pair_columns(context, objects, nothing)), tuple(files), np.asarray(starts))


def pair_feature_table(objects: Objects, candidates: Candidates, folder: Path | None) -> FeatureTable:
    """The features of pairs, stored below `folder`, or in memory without one."""
    if folder is None:
        return features_of_pairs(objects, candidates)
    return store_pair_features(objects, candidates, folder / "pairs")


def _values(file: Path, names: tuple[str, ...]) -> Floats:
    """All of a file, as it is now."""
    found = file.stat()
    return _read(_Version(file, found.st_ino, found.st_mtime_ns, found.st_size), names)


class _Version(NamedTuple):
    """A file, and what another one at its path does not share."""

    path: Path
    inode: int
    changed: int
    size: int


@lru_cache(maxsize=1)
def _read(file: _Version, names: tuple[str, ...]) -> Floats:
    with reading(file.path, "features of pairs", "begin the stage anew: --force"):
        table = read_parquet(file.path, names, memory_map=True)
    values = np.empty((len(table), len(names)), np.float32)
    for i, name in enumerate(names):
        values[:, i] = table.column(name).to_numpy()
    return values


@dataclass(frozen=True, eq=False)
class ChosenFeatures:
    """Some rows of a table, with more columns to their right that are computed for those that are taken.

    rows: None for all; compute: of rows of the table.
    """

    table: FeatureTable
    rows: Rows | None
    more: tuple[str, ...]
    compute: Callable[[Rows], Floats]

    @property
    def names(self) -> tuple[str, ...]:
        """The table's, and the computed ones."""
        return (*self.table.names, *self.more)

    def take(self, rows: Rows) -> Floats:
        """The values of some of the chosen rows."""
        chosen = rows if self.rows is None else self.rows[rows]
        return np.concatenate([self.table.take(chosen), self.compute(chosen)], axis=1)


@dataclass(frozen=True, eq=False)
class JoinedFeatures:
    """The rows of several tables, one after another; starts: the first row of each, and the number of all."""

    tables: Sequence[FeatureTable]
    starts: NDArray[np.int64]

    @property
    def names(self) -> tuple[str, ...]:
        """The same in every table."""
        return self.tables[0].names

    def take(self, rows: Rows) -> Floats:
        """The values of some rows."""
        out = np.empty((len(rows), len(self.names)), np.float32)
        part = np.searchsorted(self.starts, rows, side="right") - 1
        for i in np.unique(part).tolist():
            wanted = part == i
            out[wanted] = self.tables[i].take(rows[wanted] - self.starts[i])
        return out


def choose(
    table: FeatureTable, rows: Rows | None, more: tuple[str, ...], compute: Callable[[Rows], Floats]
) -> FeatureTable:
    """Some rows (None: all) with more columns: in memory where the table is, else computed when they are taken."""
    if not isinstance(table, Features):
        return ChosenFeatures(table, rows, more, compute)
    if rows is None:
        return hstack(table, more, compute(np.arange(len(table.values))))
    return hstack(Features(table.names, table.values[rows]), more, compute(rows))


def join(tables: Sequence[FeatureTable], lengths: Sequence[int]) -> FeatureTable:
    """Tables of the same names one after another; lengths: the rows of each."""
    if all(isinstance(table, Features) for table in tables):
        values = [table.values for table in tables if isinstance(table, Features)]
        return Features(tables[0].names, np.concatenate(values))
    return JoinedFeatures(tables, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))
