"""The order of stages and their groups, against plain loops over random graphs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.base.errors import KitError
from kit.pipeline.order import in_order, next_group
from kit.pipeline.stage import Together
from tests.stages import small_stage


def stage(name, *needs, key=None):
    """A stage; key: of those that it can be made together with."""
    return small_stage(name, *needs, together=Together(key, lambda _: []) if key else None)


def groups(stages, left):
    """All groups that come, one after another."""
    left, found = list(left), []
    while left:
        found.append(next_group(stages, left))
        assert found[-1]
        assert set(found[-1]) <= set(left)
        left = [name for name in left if name not in found[-1]]
    return found


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ([stage("a", "b")], "stage a needs b, which no stage of this config is"),
        ([stage("a", "b"), stage("b", "a")], "stages need each other in a circle: "),
        ([stage("a", "c"), stage("b", "a"), stage("c", "b"), stage("d")], "stages need each other in a circ"),
        ([stage("a", "a")], "stages need each other in a circle: a -> a"),
        ([stage("a"), stage("b"), stage("a")], "two stages are called a"),
        ([stage("logs")], "no stage can be called 'logs'"),
        ([stage("../a")], "no stage can be called '../a'"),
        ([stage("")], "no stage can be called ''"),
        ([stage("a\n")], "no stage can be called 'a\\n'"),
        ([stage("-a")], "no stage can be called '-a'"),
    ],
)
def test_stages_that_cannot_be_put_in_order(stages, message):
    with pytest.raises(KitError) as error:
        in_order(stages)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_none_and_one():
    assert in_order([]) == {}
    one = stage("a_1-b")
    assert in_order([one]) == {"a_1-b": one}
    assert next_group({"a_1-b": one}, ["a_1-b"]) == ["a_1-b"]


def test_what_is_needed_comes_first_and_else_the_order_is_kept():
    given_order = [stage("d", "b", "c"), stage("z"), stage("c", "a"), stage("b", "a"), stage("a")]
    assert list(in_order(given_order)) == ["z", "a", "c", "b", "d"]


DETECT = [
    stage("model-a"), stage("detect-a", "model-a", key="val"), stage("test-a", "model-a", key="test"),
    stage("model-b"), stage("detect-b", "model-b", key="val"), stage("test-b", "model-b", key="test"),
    stage("fuse", "detect-a", "detect-b"), stage("model-c", "fuse"), stage("detect-c", "model-c", key="val"),
]  # fmt: skip


def test_the_models_are_there_before_one_pass_for_all():
    stages = in_order(DETECT)
    assert groups(stages, stages) == [
        ["model-a"], ["model-b"], ["detect-a", "detect-b"], ["test-a", "test-b"], ["fuse"], ["model-c"],
        ["detect-c"],
    ]  # fmt: skip


def test_what_is_not_left_is_not_waited_for_and_not_made():
    stages = in_order(DETECT)
    assert groups(stages, ["detect-a", "model-b", "detect-b"]) == [["model-b"], ["detect-a", "detect-b"]]
    assert groups(stages, ["detect-a", "detect-b"]) == [["detect-a", "detect-b"]]
    # detect-c needs the others, though by way of stages that are finished
    assert groups(stages, ["detect-a", "detect-b", "detect-c"]) == [["detect-a", "detect-b"], ["detect-c"]]


@st.composite
def graphs(draw, keys):
    """Stages in any order, each with needs among those of lower numbers, and some that are left to do."""
    count = draw(st.integers(1, 9))
    stages = []
    for i in range(count):
        needs = draw(st.sets(st.integers(0, i - 1), max_size=3)) if i else set()
        stages.append(stage(f"s{i}", *(f"s{need}" for need in sorted(needs)), key=draw(keys)))
    is_left = draw(st.lists(st.booleans(), min_size=count, max_size=count))
    left = {one.name for one, chosen in zip(stages, is_left, strict=True) if chosen}
    return draw(st.permutations(stages)), left


def all_needs(stages):
    """What every stage needs, directly or not: plainly, until nothing is new."""
    needs = {one.name: set(one.needs) for one in stages}
    for _ in stages:
        needs = {name: own.union(*(needs[need] for need in own)) for name, own in needs.items()}
    return needs


@given(graphs(st.none()))
def test_the_order_is_that_of_a_plain_loop(graph):
    """The next is always the first, as given, of those whose needs are all there."""
    stages, _ = graph
    expected = []
    while len(expected) < len(stages):
        ready = (s.name for s in stages if s.name not in expected and set(s.needs) <= set(expected))
        expected.append(next(ready))
    by_name = {one.name: one for one in stages}
    assert list(in_order(stages).items()) == [(name, by_name[name]) for name in expected]


@given(graphs(st.sampled_from([None, "k", "l", "m"])))
def test_groups_are_of_one_key_after_their_needs_and_everything_is_made_once(graph):
    stages, left = graph
    ordered, needs = in_order(stages), all_needs(stages)
    made = []
    for group in groups(ordered, [name for name in ordered if name in left]):
        keys = {own.key if (own := ordered[name].together) else None for name in group}
        assert len(keys) == 1
        assert len(group) == 1 or keys != {None}
        for name in group:
            assert needs[name] & left <= set(made)
            assert not needs[name] & set(group)
        made += group
    assert sorted(made) == sorted(left)


@given(graphs(st.sampled_from([None, "k"])))
def test_of_one_key_there_are_as_few_groups_as_can_be(graph):
    """As many as stages of the key that are left need one another in a row."""
    stages, left = graph
    ordered, needs = in_order(stages), all_needs(stages)
    row = {}
    for name in ordered:
        if name in left and ordered[name].together:
            row[name] = 1 + max((row[need] for need in needs[name] if need in row), default=0)
    found = groups(ordered, [name for name in ordered if name in left])
    assert sum(group[0] in row for group in found) == max(row.values(), default=0)
