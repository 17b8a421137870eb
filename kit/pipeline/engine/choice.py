"""Which engine makes the shards of this process's stages, and fetches photos."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

from kit.config import Config
from kit.detector.process_group import is_distributed
from kit.pipeline.engine.local import LocalEngine
from kit.pipeline.engine.sharded import Engine
from kit.pipeline.tasks import CLUSTER, NO_CLUSTER, NODE

if TYPE_CHECKING:
    from kit.download.download_all import FetchPhotos


def is_on_cluster(config: Config) -> bool:
    """Whether this process gives its work to a cluster.

    One that works for a cluster does it by itself, and so do those of a torchrun.
    """
    return config.engine.kind == "ray" and os.environ.get(CLUSTER) != NO_CLUSTER and not is_distributed()


def engine_of(config: Config) -> Engine:
    """The engine of the config."""
    if not is_on_cluster(config):
        return LocalEngine()
    from kit.pipeline.engine.ray import RayEngine

    return RayEngine(config.engine)


def photo_fetcher(config: Config) -> FetchPhotos | None:
    """What fetches the photos of a split: the nodes of a cluster; None for this process, which alone is no faster.

    Raises KitError where no cluster answers.
    """
    if not is_on_cluster(config) or config.engine.address is None:
        return None
    from kit.pipeline.engine.cluster import connect
    from kit.pipeline.engine.node_photos import fetch_on_nodes

    connect(config.engine)
    return partial(fetch_on_nodes, config.engine)


def node_here() -> dict[str, int]:
    """The node of a cluster that this process does a stage on, as the maker of its one part; nothing elsewhere."""
    node = os.environ.get(NODE)
    return {node: 1} if node else {}
