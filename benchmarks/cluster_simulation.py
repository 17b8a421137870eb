"""A cluster that makes shards, simulated: rates, stragglers and lost nodes; what a lost node costs.

    python -m benchmarks.cluster_simulation

Every node takes the next shard when it is free. A node that is lost takes nothing with it but the shard it was at,
which goes back to the front of the queue; another node stands in its place after `replacement` seconds. Kept shards
stay kept: that is what kit's shards are.
"""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass

import numpy as np

from benchmarks.measure import table

SEEDS = 40


@dataclass(frozen=True)
class Cluster:
    """nodes; seconds: of a shard on a usual node; failures: a node and hour; replacement: seconds until another
    stands (inf: never); spread: sigma of the log-normal factor of a shard's time (median 1); stragglers: share of
    shards that take `slowness` times as long.
    """

    nodes: int
    seconds: float
    failures: float = 0.0
    replacement: float = 0.0
    spread: float = 0.0
    stragglers: float = 0.0
    slowness: float = 5.0


@dataclass(frozen=True)
class Outcome:
    """seconds until the last shard; lost: node seconds of work that had to be done again; failures: nodes lost."""

    seconds: float
    lost: float
    failures: int
    longest: float  # seconds of the longest shard


def simulate(cluster: Cluster, shards: int, seed: int = 0, lost_at: float | None = None) -> Outcome:
    """Make all shards; lost_at: the first node is lost then, beside those that fail by themselves.

    A shard's time is its own (data, not node), the same for one seed whatever fails. Raises ValueError where every
    node is lost and none is replaced.
    """
    times = _shard_times(cluster, shards, seed)
    rng = np.random.default_rng((seed, 1))
    todo = deque(range(shards))
    free = [(0.0, node) for node in range(cluster.nodes)]
    dies = [_lifetime(rng, cluster) for _ in range(cluster.nodes)]
    if lost_at is not None:
        dies[0] = min(dies[0], lost_at)
    running: list[tuple[float, int, int, float, bool]] = []  # ends, node, shard, begun, whole
    lost, failures, end = 0.0, 0, 0.0
    while todo or running:
        if todo and free and (not running or free[0][0] <= running[0][0]):
            start, node = heapq.heappop(free)
            if dies[node] <= start:  # lost while it had nothing to do
                failures += 1
                _replace(free, dies, node, dies[node], cluster, rng)
                continue
            shard = todo.popleft()
            stops = min(start + times[shard], dies[node])
            heapq.heappush(running, (stops, node, shard, start, stops < dies[node]))
            continue
        if not running:
            raise ValueError("every node is lost, and none is replaced")
        now, node, shard, start, whole = heapq.heappop(running)
        if whole:
            end = max(end, now)
            heapq.heappush(free, (now, node))
        else:
            failures, lost = failures + 1, lost + now - start
            todo.appendleft(shard)
            free = [(max(when, now), other) for when, other in free]
            heapq.heapify(free)
            _replace(free, dies, node, now, cluster, rng)
    return Outcome(end, lost, failures, float(times.max(initial=0.0)))


def _shard_times(cluster: Cluster, shards: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng((seed, 0))
    times = cluster.seconds * np.exp(cluster.spread * rng.normal(size=shards))
    return np.where(rng.random(shards) < cluster.stragglers, cluster.slowness * times, times)


def _lifetime(rng: np.random.Generator, cluster: Cluster) -> float:
    return float(rng.exponential(3600 / cluster.failures)) if cluster.failures else np.inf


def _replace(
    free: list[tuple[float, int]],
    dies: list[float],
    node: int,
    now: float,
    cluster: Cluster,
    rng: np.random.Generator,
) -> None:
    if np.isfinite(cluster.replacement):
        dies[node] = now + cluster.replacement + _lifetime(rng, cluster)
        heapq.heappush(free, (now + cluster.replacement, node))


def main() -> None:
    """Print what stragglers and lost nodes cost, means over the seeds."""
    rows = []
    for nodes in (1, 8, 64):
        for failures in (0.0, 0.01, 0.1):
            cluster = Cluster(nodes, 60.0, failures, replacement=300.0, spread=0.3, stragglers=0.01)
            found = [simulate(cluster, 64 * 20, seed) for seed in range(SEEDS)]
            hours, lost = np.mean([o.seconds for o in found]) / 3600, sum(o.lost for o in found)
            each = lost / max(sum(o.failures for o in found), 1)
            useful = np.mean([_shard_times(cluster, 64 * 20, s).sum() for s in range(SEEDS)])
            efficiency = useful / (hours * 3600 * nodes)
            rows.append((f"{nodes}", f"{failures}", f"{hours:.2f}", f"{efficiency:.1%}", f"{each:.0f}"))
    columns = ("nodes", "failures a node-hour", "hours", "efficiency", "seconds of work lost a failure")
    table(
        "1,280 shards of a minute (log-normal 0.3, 1% five times as long), a node back after 5 min",
        columns,
        rows,
    )


if __name__ == "__main__":
    main()
