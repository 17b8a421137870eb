"""Settings of what does the work: this machine, or a cluster. No result depends on them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from kit.config.model import Model

Address = Annotated[str, Field(pattern=r"^(auto|[\w.-]+:\d{1,5})$")]


class Engine(Model):
    """What makes stages: local, processes of this machine; ray, the nodes of a Ray cluster.

    address: HOST:PORT of a cluster's head, auto for the one that this machine belongs to; null starts one of this
    machine alone, for as long as the command. cpus, gpus: what a worker takes of its node where its stage computes
    on a GPU, several workers sharing one where gpus is a fraction; on the CPU one processor makes shards, and all
    of a node one stage that has none. cpus of 0: these, and beside a GPU its share of the processors. workers: at
    most so many make the shards of a stage, 0 for as many as the nodes hold: a cluster that grows on demand needs
    a number. retries: how often a shard or a stage whose worker died is done again; object_store: megabytes of
    memory that a cluster of this machine keeps results in on their way; dashboard: whether it has Ray's.
    """

    kind: Literal["local", "ray"] = "local"
    address: Address | None = None
    cpus: int = Field(0, ge=0)
    gpus: float = Field(1.0, gt=0, le=1)
    workers: int = Field(0, ge=0)
    retries: int = Field(3, ge=0, le=100)
    object_store: int = Field(256, ge=80)
    dashboard: bool = False
