from pathlib import Path

import pytest

from kit.config import Config, load_config
from kit.errors import KitError


@pytest.mark.parametrize("name", ["mini", "layer6", "relations"])
def test_the_configs_that_come_with_kit_are_valid(name):
    assert isinstance(load_config(name), Config)


def test_the_papers_numbers():
    config = load_config("layer6")
    spatial, stack, visual = config.relation.spatial, config.relation.stack, config.relation.visual
    assert (spatial.booster, spatial.max_depth, spatial.rounds, spatial.block) == ("dart", 10, 5000, 50)
    assert (spatial.subsample, spatial.colsample_bytree, spatial.gamma, spatial.reg_lambda) == (
        0.2,
        0.2,
        2,
        1000,
    )
    assert (stack.booster, stack.max_depth, stack.reg_lambda) == ("gbtree", 8, 1000)
    assert (visual.batch, visual.epochs, visual.dropout, visual.mlp_layers) == (32, 35, 0.2, 3)
    assert (visual.highest_rate, visual.lowest_rate) == (3e-4, 5e-5)
    assert 1000 <= config.detector.sampling_limit <= 10000


def test_overrides_win_over_the_file_and_keep_the_rest():
    config = load_config("mini", ["relation.spatial.max_depth=7", "data.train.relations=a.csv", "seed=4"])
    assert config.relation.spatial.max_depth == 7
    assert config.data.train.relations == [Path("a.csv")]
    assert config.data.train.boxes == load_config("mini").data.train.boxes
    assert config.seed == 4


def test_one_file_several_files_and_none():
    config = load_config(
        "mini", ["data.val.relations=[a.csv, b.csv]", "data.val.boxes=[]", "data.val.labels="]
    )
    assert config.data.val.relations == [Path("a.csv"), Path("b.csv")]
    assert config.data.val.boxes == config.data.val.labels == []


FAULTS = [
    (
        "relation.spatial.depth=3",
        "relation.spatial.depth: unknown key; did you mean max_depth? allowed: booster",
    ),
    ("nothing=1", "nothing: unknown key; allowed: run, seed"),
    (
        "relation.spatial.booster=tree",
        "relation.spatial.booster: input should be 'gbtree' or 'dart', given 'tree'",
    ),
    ("relation.spatial.max_depth=deep", "relation.spatial.max_depth: input should be a valid integer"),
    ("relation.spatial.subsample=2", "relation.spatial.subsample: input should be less than or equal to 1"),
    ("data.train.relations=3", "data.train.relations: input should be a path, given 3"),
    ("data=3", "data: input should be a valid dictionary"),
    ("seed", "--set seed: not of the form key=value; write --set a.b=value"),
    ("seed=[", "--set seed=[: the value is not readable as YAML"),
]


@pytest.mark.parametrize(("override", "message"), FAULTS)
def test_a_fault_names_key_and_what_is_allowed(override, message):
    with pytest.raises(KitError) as caught:
        load_config("mini", [override])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_faults_of_the_file(tmp_path):
    path = tmp_path / "c.yaml"
    for text, message in [
        ("seed: 1\na: [b\nc: d", "line 3: not YAML"),
        ("- 1", "not a table of settings"),
        ("seed: 1\nsede: 2", "sede: unknown key; did you mean seed?"),
    ]:
        path.write_text(text)
        with pytest.raises(KitError, match="yaml") as caught:
            load_config(str(path))
        assert message in str(caught.value)
    with pytest.raises(KitError, match="no such config file; give a YAML file or one of: layer6, mini"):
        load_config("none")


def test_an_empty_file_is_all_defaults(tmp_path):
    (tmp_path / "c.yaml").write_text("")
    assert load_config(str(tmp_path / "c.yaml")) == Config()
