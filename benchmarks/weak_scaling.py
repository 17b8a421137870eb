"""Weak scaling on 1, 2 and 4 nodes of a Ray cluster, all on this machine: as many shards a node each time.

`python -m benchmarks.weak_scaling` prints seconds and efficiency. Nodes share the processors of one machine: where
there are more nodes than these, the clock says how few they are; "of the processors" is the efficiency by what so
many processors can do at the best, and processor seconds say what sharing costs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.measure import table

NAME = "weak-scaling"  # of the stage that `weak_scaling_stage` registers
NODES, SHARDS, IMAGES = (1, 2, 4), 8, 2_000  # shards a node, and images of a shard
TRIES = 3
STORE = 80 << 20  # bytes of a node's object store


def main() -> None:
    """Measure in turn, a process each, and print."""
    measured = {n: _apart(n) for n in NODES}
    one = measured[NODES[0]]
    rows = []
    for n, taken in measured.items():
        processor = one["processor"] * n / taken["processor"]
        wall = one["seconds"] / taken["seconds"]
        rows.append(
            (
                f"{n}",
                f"{n * SHARDS * IMAGES:,}",
                f"{taken['seconds']:.1f} s",
                f"{wall:.0%}",
                f"{wall * max(1.0, n / (os.cpu_count() or 1)):.0%}",
                f"{taken['processor']:.1f} s",
                f"{processor:.0%}",
            )
        )
    header = (
        "nodes",
        "images",
        "whole",
        "efficiency",
        "of the processors",
        "processors in shards",
        "efficiency",
    )
    table(f"Fusion of {SHARDS} shards of {IMAGES:,} images a node, {os.cpu_count()} processors", header, rows)


def _apart(nodes: int) -> dict[str, float]:
    words = [sys.executable, "-m", "benchmarks.weak_scaling", str(nodes)]
    quiet = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0"}
    for left in reversed(range(TRIES)):
        done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=not left, env=quiet)
        if not done.returncode:
            break  # else a node was not up in the half a minute that Ray waits: the machine is busy
    return dict(json.loads(done.stdout.splitlines()[-1]))


def measure(nodes: int) -> dict[str, float]:
    """Seconds of the whole stage, start of the workers included, and processor seconds within its shards."""
    import ray
    from ray.cluster_utils import Cluster

    from kit.config import load_config
    from kit.pipeline.pipeline import Pipeline
    from kit.pipeline.run import Run

    usual = {"num_cpus": 1, "object_store_memory": STORE}
    cluster = Cluster(initialize_head=True, head_node_args={**usual, "include_dashboard": False})
    for _ in range(nodes - 1):
        cluster.add_node(**usual)
    plugin = Path(__file__).with_name("weak_scaling_stage.py")
    given = [
        f"plugins=[{plugin}]",
        f"extra={{shards: {nodes * SHARDS}, images: {IMAGES}}}",
        "engine.kind=ray",
        f"engine.address={cluster.address}",
    ]
    with tempfile.TemporaryDirectory() as folder:
        pipeline = Pipeline(Run(load_config("mini", given), Path(folder) / "run"))
        start = time.perf_counter()
        record = pipeline.do(NAME)
        seconds = time.perf_counter() - start
    if len(record["nodes"]) != nodes:
        raise SystemExit(f"{len(record['nodes'])} of {nodes} nodes made shards")
    ray.shutdown()  # this process is connected with the head
    cluster.shutdown()
    return {"seconds": seconds, "processor": record["metrics"]["processor"]}


if __name__ == "__main__":
    if sys.argv[1:]:
        sys.stdout.write(json.dumps(measure(int(sys.argv[1]))) + "\n")
    else:
        main()
