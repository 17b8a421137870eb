"""Photos downloaded by the nodes of a Ray cluster, into a folder that all see."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kit.base.address import is_address
from kit.base.log import logger
from kit.base.version import __version__
from kit.config import Engine
from kit.data.photos import SPREAD
from kit.download.download_all import OnPhotos
from kit.download.photo_download import DownloadStats, PhotoRequest, fetch_part, open_folder
from kit.pipeline.engine.cluster import Share, connect, nodes
from kit.pipeline.engine.node import NodeWorker, Outcome, check_world
from kit.pipeline.engine.pool import Piece, Pool

FEWEST = 500  # photos of a piece: where none of them comes, something is wrong with the address


class PhotoWorker(NodeWorker):
    """Fetches some of the photos of a request."""

    def __init__(self, level: int, request: PhotoRequest, version: str) -> None:
        super().__init__(level)
        self._request, self._version = request, version

    def make(self, ids: Sequence[str]) -> Outcome[DownloadStats]:
        """Fetch photos."""
        return self._outcome(lambda: self._fetched(ids))

    def _fetched(self, ids: Sequence[str]) -> Iterable[DownloadStats]:
        asked = self._request
        check_world(self._version, asked.source.folder)
        yield asyncio.run(
            fetch_part(
                asked.source,
                ids,
                asked.concurrency,
                asked.policy,
                ask_again=asked.ask_again,
                overwrite=asked.overwrite.intersection(ids),
            )
        )


def fetch_on_nodes(
    settings: Engine, request: PhotoRequest, ids: pa.StringArray, on_photos: OnPhotos
) -> DownloadStats:
    """Fetch photos by the nodes of the cluster, each by one worker with the request's concurrency.

    A piece is the photos of whole folders, so that no two nodes write down what came into one. Raises KitError
    where a piece's workers die again and again, and as `fetch_photos`.
    """
    connect(settings)
    source = request.source
    url = source.url if is_address(source.url) else str(Path(source.url).absolute())
    there = replace(source, url=url, folder=source.folder.absolute())
    words = (replace(request, source=there), __version__)
    share = Share(settings.cpus or min((node.cpus for node in nodes() if node.cpus), default=1))
    pieces = [Piece((piece,), f"photos from {piece[0]} on") for piece in _pieces(ids)]
    pool = Pool[DownloadStats](settings, share, "photos", PhotoWorker, words, pieces)
    total, got = DownloadStats(), Counter[str]()
    with open_folder(source.folder, request.ask_again), closing(pool.results()) as results:
        for node, stats in results:
            total.add(stats)
            got[node] += stats.got
            on_photos(total)
            if total.stopped:
                break
    by_node = ", ".join(f"{count} by {node}" for node, count in sorted(got.items()) if count)
    if by_node:
        logger.info(f"{source.folder}: photos came: {by_node}")
    return total


def _pieces(ids: pa.StringArray) -> list[list[str]]:
    """The photos, those of one folder together, and several folders' where they have few."""
    ordered = ids.take(pc.array_sort_indices(ids))
    folders = pc.utf8_slice_codeunits(ordered, 0, SPREAD).dictionary_encode()
    sizes = np.bincount(folders.indices.to_numpy(), minlength=len(folders.dictionary))
    bounds = [0]
    for end in np.cumsum(sizes).tolist():
        if end - bounds[-1] >= FEWEST:
            bounds.append(end)
    bounds[max(len(bounds) - 1, 1) :] = [len(ordered)]  # the rest joins the last one
    return [ordered.slice(a, b - a).to_pylist() for a, b in pairwise(bounds)]
