"""Photos downloaded by the nodes of a Ray cluster, into a folder that all see."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kit.base.address import is_address
from kit.base.errors import KitError
from kit.base.files import writing
from kit.base.log import logger
from kit.base.version import __version__
from kit.config import Engine
from kit.data.photos import SPREAD
from kit.download.photo_download import DownloadStats, OnPhotos, PhotoRequest, fetch_part, open_folder
from kit.download.photo_store import add_missing
from kit.pipeline.engine.cluster import Share, connect
from kit.pipeline.engine.node import NodeWorker, Outcome, check_world
from kit.pipeline.engine.pool import Piece, Pool
from kit.tables.arrow import as_numpy

MARK = ".kit-"  # begins the name of a file beside the photos
OLD = 30 * 86400.0  # seconds of a mark whose command was killed
FEWEST = 500  # photos of a piece: where none of them comes, something is wrong with the address


@dataclass(frozen=True)
class PhotoPart:
    """What became of some photos; missing: which the server does not have, each with the reason."""

    stats: DownloadStats
    missing: list[tuple[str, str]]


class PhotoWorker(NodeWorker[PhotoPart]):
    """Fetches some of the photos of a request; mark: a file in their folder, by which it is the same one."""

    def __init__(self, level: int, request: PhotoRequest, mark: Path, version: str) -> None:
        super().__init__(level)
        self._request, self._mark, self._version = request, mark, version

    def make(self, ids: Sequence[str]) -> Outcome[PhotoPart]:
        """Fetch photos; what keeps this node from it is in the figures."""
        return self._outcome(lambda: [self._fetched(ids)])

    def _fetched(self, ids: Sequence[str]) -> PhotoPart:
        missing: list[tuple[str, str]] = []
        try:
            self._check()
            own = replace(self._request, overwrite=self._request.overwrite.intersection(ids))
            return PhotoPart(asyncio.run(fetch_part(own, ids, missing.extend)), missing)
        except KitError as error:
            return PhotoPart(DownloadStats(stopped=str(error)), missing)

    def _check(self) -> None:
        source = self._request.source
        mirror = () if is_address(source.url) else (Path(source.url),)
        check_world(self._version, source.folder, *mirror)
        if not self._mark.is_file():
            raise KitError(
                f"{source.folder} is another folder here",
                "data must be where all nodes see them, on one disk",
            )


def fetch_on_nodes(
    settings: Engine, request: PhotoRequest, ids: pa.StringArray, on_photos: OnPhotos
) -> DownloadStats:
    """Fetch photos by as many workers as there are nodes, spread over them, each with the request's concurrency.

    A piece is the photos of whole folders, so that no two nodes write down what came into one; what is missing is
    written down here. Where a node cannot go on, the pieces that are given are the last ones. Raises KitError as
    `fetch_photos`.
    """
    connect(settings)
    folder, total, got = request.source.folder, DownloadStats(), Counter[str]()
    with open_folder(folder, request.ask_again), _mark(folder) as mark:
        pool = _pool(settings, request, ids, mark)
        try:
            with closing(pool.results()) as results:
                for node, part in results:
                    add_missing(folder, part.missing)
                    got[node] += part.stats.got
                    total.add(_from(node, part.stats))
                    on_photos(total)
                    if total.stopped:
                        pool.waiting.clear()
        except KitError as error:
            total.stopped = total.stopped or str(error)
    by_node = ", ".join(f"{count} by {node}" for node, count in sorted(got.items()) if count)
    if by_node:
        logger.info(f"{folder}: photos came: {by_node}")
    return total


def _pool(settings: Engine, request: PhotoRequest, ids: pa.StringArray, mark: Path) -> Pool[PhotoPart]:
    source = request.source
    url = source.url if is_address(source.url) else str(Path(source.url).absolute())
    seen_there = replace(source, url=url, folder=source.folder.absolute())
    arguments = replace(request, source=seen_there), mark.absolute(), __version__
    share = Share(settings.cpus or 1, most=1)
    return Pool(settings, share, "photos", PhotoWorker, arguments, list(_pieces(ids)))


def _from(node: str, stats: DownloadStats) -> DownloadStats:
    """The figures, with the node's name where it could not go on."""
    return replace(stats, stopped=f"{node}: {stats.stopped}") if stats.stopped else stats


@contextmanager
def _mark(folder: Path) -> Iterator[Path]:
    """A file in a folder, for as long as the work; those that were left there long ago go."""
    path = folder / f"{MARK}{secrets.token_hex(8)}"
    with writing(folder):
        for left in folder.glob(f"{MARK}*"):
            if abs(time.time() - left.stat().st_mtime) > OLD:
                left.unlink(missing_ok=True)
        path.touch()
    try:
        yield path
    finally:
        with suppress(OSError):
            path.unlink()


def _pieces(ids: pa.StringArray) -> Iterator[Piece]:
    """The photos, those of one folder together, and several folders' where they have few."""
    if not len(ids):
        return
    ordered = ids.take(pc.array_sort_indices(ids))
    folders = pc.utf8_slice_codeunits(ordered, 0, SPREAD).dictionary_encode()
    bounds = [0]
    for end in np.cumsum(np.bincount(as_numpy(folders.indices))).tolist():
        if end - bounds[-1] >= FEWEST:
            bounds.append(end)
    bounds[max(len(bounds) - 1, 1) :] = [len(ordered)]  # the rest joins the last one
    for start, end in pairwise(bounds):
        names = ordered.slice(start, end - start)
        yield Piece(partial(_arguments, names), f"photos from {names[0]} on")


def _arguments(names: pa.StringArray) -> tuple[list[str]]:
    """Those of `PhotoWorker.make`, made when they are sent: millions of names are large as Python's own text."""
    return (names.to_pylist(),)
