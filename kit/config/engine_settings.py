"""Settings of what does the work: this machine, or a cluster. No result depends on them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from kit.config.model import Model

Address = Annotated[str, Field(pattern=r"^(auto|[\w.-]+:\d{1,5})$")]


class Engine(Model):
    """What makes stages, and fetches photos: local, processes of this machine; ray, the nodes of a Ray cluster.

    address: HOST:PORT of a cluster's head, auto for the one that this machine belongs to; null starts one of this
    machine alone, for as long as the command. gpus: what a worker that makes shards takes of a GPU, several sharing
    one where it is a fraction; a stage without shards takes a whole one, or one a process. cpus: processors of a
    worker; 0 shares those of a node among its GPUs, in two parts at least, and gives one to what makes shards
    without a GPU, or fetches photos. workers: at most so many make the shards of a stage, or fetch photos, 0 for as
    many as the nodes hold (a cluster that grows on demand needs a number). retries: how often a shard, photos or a
    stage whose worker died are done again;
    object_store: megabytes in which a cluster of this machine keeps results on their way; dashboard: whether it has
    Ray's.
    """

    kind: Literal["local", "ray"] = "local"
    address: Address | None = None
    cpus: int = Field(0, ge=0)
    gpus: float = Field(1.0, gt=0, le=1)
    workers: int = Field(0, ge=0)
    retries: int = Field(3, ge=0, le=100)
    object_store: int = Field(256, ge=80)
    dashboard: bool = False
