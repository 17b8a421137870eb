from pathlib import Path

import pytest

from kit.base.errors import KitError
from kit.config import Config, load_config


@pytest.mark.parametrize("name", ["mini", "ensemble", "layer6", "best", "relations"])
def test_the_configs_that_come_with_kit_are_valid(name):
    assert isinstance(load_config(name), Config)


def test_the_papers_numbers():
    config = load_config("layer6")
    spatial, stack, visual = config.relation.spatial, config.relation.stack, config.relation.visual
    assert (spatial.booster, spatial.max_depth, spatial.rounds, spatial.early_stopping_interval) == (
        "dart",
        10,
        5000,
        50,
    )
    assert (spatial.subsample, spatial.colsample_bytree, spatial.gamma, spatial.reg_lambda) == (
        0.2,
        0.2,
        2,
        1000,
    )
    assert (stack.booster, stack.max_depth, stack.reg_lambda) == ("gbtree", 8, 1000)
    assert (visual.batch_size, visual.epochs, visual.dropout, visual.mlp_layers) == (32, 35, 0.2, 3)
    assert (visual.max_lr, visual.min_lr) == (3e-4, 5e-5)
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
    with pytest.raises(
        KitError, match="no such config file; give a YAML file or one of: best, ensemble, layer6"
    ):
        load_config("none")


def test_an_empty_file_is_all_defaults(tmp_path):
    (tmp_path / "c.yaml").write_text("")
    assert load_config(str(tmp_path / "c.yaml")) == Config()


HUGE = "9" * 5000
BOMB = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12))
MERGED = "a0: &a0 {k: 1}\n" + BOMB.partition("\n")[2].replace("] ", "").replace(" [", " {<<: [").replace(
    "]\n", "]}\n"
)
SETTINGS = [
    ("seed=2020-01-01", "seed: input should be a valid integer"),
    ("seed=2020-13-45", "seed: input should be a valid integer"),
    (f"seed={HUGE}", "is too large"),
    ("seed=0x" + "f" * 5000, "is too large"),
    ("seed=1" + "0" * 20, "is too large"),
    ("seed=-1", "greater than or equal to 0"),
    ("relation.spatial.eta=.nan", "finite number"),
    ("relation.spatial.gamma=.inf", "finite number"),
    ("seed=" + "[" * 20_000, "more than 32 tables or lists inside one another"),
    ("seed=" + "{a: " * 2_000, "more than 32 tables or lists inside one another"),
    ("seed=&a [*a]", "an alias inside what it stands for"),
    ("seed={a: 1, a: 2}", "the key a is there twice"),
    ("seed={1: 2}", "the key 1 is no text"),
    ("seed=\0", r"the character '\x00'"),
    ("seed='" + "x" * 50_000 + "'", "valid integer"),
    ("a..b=1", "--set a..b=1: not of the form key=value"),
    ("=1", "not of the form key=value"),
    (".=1", "not of the form key=value"),
    ("detector.inference.views.size=3", "detector.inference.views is a list; give it whole"),
    ("run.x=3", "run is a single value; give it whole"),
    ('run="a\\0b"', "without NUL"),
    ("detector.models={../up: {architecture: hrnet-mini}}", "string should match pattern"),
]


@pytest.mark.parametrize(("override", "message"), SETTINGS)
def test_what_no_setting_can_be_is_one_short_line(override, message):
    with pytest.raises(KitError) as caught:
        load_config("mini", [override])
    assert message in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (BOMB.encode(), "more than 20,000 values, aliases written out"),
        (MERGED.encode(), "more than 20,000 values, aliases written out"),
        (b"- " * 50_000, "more than 32 tables or lists"),
        (b"seed: 1\nseed: 2\n", "line 2: the key seed is there twice"),
        (b"seed:\t1\n\trun: x\n", "line 1: not YAML"),
        (bytes(range(256)), "not UTF-8 text, so not a config file"),
        (b"seed: 1\nrun: a\0b", "line 2: not YAML"),
        (b"seed: 1\n" * 100_000, "larger than 256 kB: not a config file"),
        (None, "a folder, not a config file"),
    ],
)
def test_files_that_are_no_config(tmp_path, data, message):
    path = tmp_path / "c.yaml"
    if data is None:
        path.mkdir()
    else:
        path.write_bytes(data)
    with pytest.raises(KitError) as caught:
        load_config(str(path))
    assert message in str(caught.value)


def test_a_sparse_file_of_a_gigabyte_is_not_read(tmp_path):
    with (tmp_path / "c.yaml").open("wb") as file:
        file.truncate(1 << 30)
    with pytest.raises(KitError, match="larger than 256 kB"):
        load_config(str(tmp_path / "c.yaml"))


def test_home_is_written_out_everywhere(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "c.yaml").write_text(
        "run: ~/x\ndata: {train: {relations: [~/a.csv, b.csv]}, download: {mirror: ~/m}}\n"
        "detector: {models: {a: {architecture: hrnet-mini, weights: ~/w.pth}}}\n"
    )
    config = load_config("~/c.yaml", ["data.val.images=~/p", "data.test.ids=~"])
    assert config.run == tmp_path / "x"
    assert config.data.train.relations == [tmp_path / "a.csv", Path("b.csv")]
    assert config.data.download.mirror == str(tmp_path / "m")
    assert config.detector.models["a"].weights == tmp_path / "w.pth"
    assert config.data.val.images == tmp_path / "p"


def test_aliases_within_reason_are_fine(tmp_path):
    (tmp_path / "c.yaml").write_text(
        "detector: {training: &t {batch_size: 3}, source: {training: {<<: *t, lr: 1e-3}}}\n"
        "attribute: {training: *t}\n"
    )
    config = load_config(str(tmp_path / "c.yaml"))
    assert config.detector.source.training.batch_size == config.attribute.training.batch_size == 3
    assert config.detector.source.training.lr == 1e-3


@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        ("data.val.relations=[a.csv, a.csv]", "a.csv is there twice: its rows would count twice"),
        (
            "detector.inference.views=[{size: [96, 96]}, {size: [96, 96]}]",
            "the view 96x96 is there twice: its boxes would count twice",
        ),
        ("threads=100000000", "less than or equal to 1024"),
        ("relation.visual.trunk=[1]", "relation.visual.freeze_backbone: input should be a valid boolean"),
        ("relation.visual.trunk={a: 1}", "relation.visual.freeze_backbone: input should be a valid boolean"),
    ],
)
def test_what_would_count_twice_or_never_end_is_refused(setting, problem):
    with pytest.raises(KitError) as error:
        load_config("mini", [setting])
    assert problem in str(error.value)
    assert "\n" not in str(error.value)


def test_several_processes_need_a_gpu_each():
    """One GPU that is named by its number is none for each of them."""
    two = "detector.processes=2"
    assert load_config("layer6", ["detector.device=cuda", two]).attribute_processes == 2
    assert load_config("layer6", ["detector.device=cuda:1"]).attribute_processes == 1
    for wrong in (["detector.device=cuda:1", two], ["detector.processes=0"], ["attribute.processes=0"]):
        with pytest.raises(KitError, match=r"processes: |greater than or equal to 1|processes need"):
            load_config("layer6", wrong)
    own = ["detector.device=cuda:1", "attribute.processes=2"]
    text = "attribute: 2 processes need a GPU each, but detector.device is cuda:1; set it to cuda"
    with pytest.raises(KitError, match=text):
        load_config("layer6", own)
