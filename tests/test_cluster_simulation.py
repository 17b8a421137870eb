"""The simulated cluster obeys what must hold of any cluster that makes shards."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.cluster_simulation import Cluster, _shard_times, simulate


@given(nodes=st.integers(1, 30), shards=st.integers(0, 200), seconds=st.floats(0.1, 1000))
def test_alike_shards_without_failures_take_their_rounds(nodes, shards, seconds):
    outcome = simulate(Cluster(nodes, seconds), shards)
    assert outcome.seconds == pytest.approx(-(-shards // nodes) * seconds)
    assert (outcome.lost, outcome.failures) == (0, 0)


@given(
    nodes=st.integers(1, 20),
    shards=st.integers(1, 150),
    spread=st.floats(0, 1),
    stragglers=st.floats(0, 0.3),
    seed=st.integers(0, 2**16),
)
def test_without_failures_the_end_lies_between_the_bounds_of_list_scheduling(
    nodes, shards, spread, stragglers, seed
):
    cluster = Cluster(nodes, 10.0, spread=spread, stragglers=stragglers)
    times = _shard_times(cluster, shards, seed)
    seconds = simulate(cluster, shards, seed).seconds
    assert seconds >= max(times.sum() / nodes, times.max()) - 1e-6
    assert seconds <= times.sum() / nodes + times.max() + 1e-6  # Graham's bound


@settings(max_examples=200)
@given(
    nodes=st.integers(1, 20),
    shards=st.integers(1, 150),
    spread=st.floats(0, 1),
    when=st.floats(0.01, 1),
    seed=st.integers(0, 2**16),
)
def test_a_lost_node_costs_at_most_one_shard(nodes, shards, spread, when, seed):
    """Of work; the end comes within the bound of list scheduling for the same work and one shard more."""
    cluster = Cluster(nodes, 10.0, spread=spread, stragglers=0.05)
    whole = simulate(cluster, shards, seed)
    hurt = simulate(cluster, shards, seed, lost_at=when * whole.seconds)
    assert hurt.failures <= 1
    assert hurt.lost <= whole.longest
    times = _shard_times(cluster, shards, seed)
    assert hurt.seconds <= (times.sum() + hurt.lost) / nodes + 2 * times.max() + 1e-6
    if nodes == 1:
        assert hurt.seconds <= whole.seconds + whole.longest + 1e-6


@settings(max_examples=50)
@given(nodes=st.integers(2, 8), failures=st.floats(1, 60), seed=st.integers(0, 2**16))
def test_every_failure_loses_at_most_one_shard(nodes, failures, seed):
    cluster = Cluster(nodes, 10.0, failures, replacement=30.0, spread=0.3)
    outcome = simulate(cluster, 60, seed)
    assert outcome.lost <= outcome.failures * outcome.longest
    assert outcome.seconds >= _shard_times(cluster, 60, seed).sum() / nodes - 1e-6


def test_more_nodes_are_not_slower_and_failures_not_quicker_in_the_mean():
    def mean(nodes, failures):
        cluster = Cluster(nodes, 60.0, failures, 300.0, spread=0.3, stragglers=0.02)
        return np.mean([simulate(cluster, 200, seed).seconds for seed in range(40)])

    by_nodes = [mean(nodes, 0.5) for nodes in (1, 2, 4, 8, 16)]
    assert by_nodes == sorted(by_nodes, reverse=True)
    by_failures = [mean(8, failures) for failures in (0, 1, 4)]
    assert by_failures == sorted(by_failures)


def test_a_cluster_that_dies_says_so():
    with pytest.raises(ValueError, match="every node is lost"):
        simulate(Cluster(1, 60.0, replacement=np.inf), 10, lost_at=90.0)
    survived = simulate(Cluster(2, 60.0, replacement=np.inf), 10, lost_at=90.0)
    assert survived.seconds == 60.0 * 9  # the other node's nine shards: one beside the first's one
    assert survived.lost == 30.0
