"""Config files that extend others: tables key by key, everything else whole."""

import pytest

from kit.base.errors import KitError
from kit.config import load_config
from kit.config.extends import merged


def test_a_file_has_all_settings_of_the_one_it_extends_but_its_own(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text("extends: layer6\nrun: runs/own\nrelation: {spatial: {rounds: 7}}\n")
    own, base = load_config(str(path)), load_config("layer6")
    assert (str(own.run), own.relation.spatial.rounds) == ("runs/own", 7)
    spatial = base.relation.spatial.model_copy(update={"rounds": 7})
    relation = base.relation.model_copy(update={"spatial": spatial})
    assert own == base.model_copy(update={"run": own.run, "relation": relation})


def test_a_file_beside_it_and_over_several(tmp_path):
    (tmp_path / "a.yaml").write_text("seed: 1\nthreads: 1\nattribute: {models: [x, y]}\n")
    (tmp_path / "b.yaml").write_text("extends: a.yaml\nseed: 2\n")
    (tmp_path / "c.yaml").write_text(f"extends: {tmp_path / 'b.yaml'}\nattribute: {{models: [z]}}\n")
    config = load_config(str(tmp_path / "c.yaml"), ["threads=3"])
    assert (config.seed, config.threads, config.attribute.models) == (2, 3, ["z"])


def test_a_file_never_writes_into_the_run_folder_of_the_one_it_extends(tmp_path):
    (tmp_path / "first.yaml").write_text("extends: layer6\nseed: 1\n")
    (tmp_path / "second.yaml").write_text("extends: first.yaml\nrun:\n")
    assert str(load_config(str(tmp_path / "first.yaml")).run) == "runs/first"
    second = str(tmp_path / "second.yaml")
    assert str(load_config(second).run) == "runs/second"
    assert str(load_config(second, ["run=runs/other"]).run) == "runs/other"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("layer6", "extends: layer6"),
        ("a", "extends: b.yaml"),
        ("c", "extends: c.yml"),
        ("default", "extends: c.yml"),
    ],
)
def test_a_name_that_gives_the_same_run_folder_is_refused(tmp_path, name, text):
    (tmp_path / "b.yaml").write_text("run: runs/a/\n")
    (tmp_path / "c.yml").write_text("seed: 1\n")
    path = tmp_path / f"{name}.yaml"
    path.write_text(text)
    with pytest.raises(KitError, match=f"would write into runs/{name}, .*; write run: FOLDER into it"):
        load_config(str(path))
    path.write_text(f"{text}\nrun: runs/mine\n")
    assert str(load_config(str(path)).run) == "runs/mine"


@pytest.mark.parametrize("name", ["layer6", "mini", "relations", "best"])
def test_the_configs_that_come_with_kit_have_run_folders_of_their_own(name):
    assert str(load_config(name).run) == f"runs/{name}"


def test_a_model_is_dropped_by_null(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text("extends: layer6\ndetector: {models: {hrnet: null}}\nrelation: {visual: null}\n")
    assert list(load_config(str(path)).detector.models) == ["resnext"]
    assert load_config(str(path)).relation.visual is None
    assert list(load_config("layer6", ["detector.models.resnext=null"]).detector.models) == ["hrnet"]


def test_an_override_changes_one_of_several_tables_that_an_alias_stands_for(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text("detector: {training: &t {batch_size: 3, size: [64, 64]}}\nattribute: {training: *t}\n")
    config = load_config(str(path), ["attribute.training.batch_size=5"])
    assert (config.detector.training.batch_size, config.attribute.training.batch_size) == (3, 5)


def test_what_is_merged_shares_no_table_or_list():
    shared = {"x": [1]}
    base = {"a": shared, "b": shared}
    whole = merged([{"c": 1}, base])
    whole["a"]["x"].append(2)
    whole["a"]["y"] = 3
    assert whole["b"] == {"x": [1]}
    assert base == {"a": {"x": [1]}, "b": {"x": [1]}}


BASE = """
detector:
  start: sideways
  models: {one: {weights: a.pth}}
  inference: {views: [{size: [64, 64]}]}
seed: 1
"""


@pytest.mark.parametrize(
    ("own", "overrides", "message"),
    [
        ("detector: {models: {one: null}}", [], "base.yaml: detector.initial_weights: input should be"),
        (
            "threads: 1\ndetector: {initial_weights: pwt}",
            [],
            "base.yaml: detector.models.one.architecture: field",
        ),
        ("detector: {initial_weights: pwt, models: null}", [], "own.yaml: detector.models: input"),
        ("detector: {initial_weights: pwt, models: {two: {}}}", [], "base.yaml: detector.models.one.arch"),
        (
            "detector: {initial_weights: pwt, models: {one: null, two: {}}}",
            [],
            "own.yaml: detector.models.two.arch",
        ),
        (
            "detector: {initial_weights: pwt, models: {one: null}, inference: {views: [{flip: true}]}}",
            [],
            "own.yaml: detector.inference.views.size: field required",
        ),
        (
            "detector: {initial_weights: pwt, models: {one: null}}",
            ["detector.models.two.weights=x"],
            "--set: detector.models.two.architecture: field required",
        ),
        ("detector: {models: {one: null}}", ["detector.start=up"], "--set: detector.initial_weights: input"),
        (
            "detector: {models: {two: null}}",
            [],
            "own.yaml: detector.models.two: null drops a model, and there is no two; there are: one",
        ),
        (
            "detector: {models: {one: null}}",
            ["detector.models.on=null"],
            "--set: detector.models.on: null drops a model, and there is no on; there are: one",
        ),
        ("extend: base.yaml", [], "own.yaml: extend: unknown key; did you mean extends? allowed: run"),
    ],
)
def test_a_fault_names_the_file_that_it_stands_in(tmp_path, own, overrides, message):
    (tmp_path / "base.yaml").write_text(BASE)
    (tmp_path / "own.yaml").write_text(own if own.startswith("extend") else f"extends: base.yaml\n{own}")
    with pytest.raises(KitError) as error:
        load_config(str(tmp_path / "own.yaml"), overrides)
    assert message in str(error.value)


def test_a_model_can_be_dropped_twice_and_must_be_there_to_be_dropped(tmp_path):
    base = tmp_path / "base.yaml"
    base.write_text("detector: {models: {one: {architecture: resnext-mini}}}")
    own = tmp_path / "own.yaml"
    own.write_text("extends: base.yaml\ndetector: {models: {one: null}}")
    for overrides in ([], ["detector.models.one=null"], ["detector.models={one: null}"]):
        assert load_config(str(own), overrides).detector.models == {}
    base.write_text("detector: {models: {two: null}}")
    with pytest.raises(
        KitError, match=r"base.yaml: detector.models.two: null drops a model.* there are: none"
    ):
        load_config(str(base))


def test_a_name_too_long_for_a_file_is_no_file(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text(f"extends: {'x' * 300}\n")
    for name in ("y" * 300, f"{'y' * 300}/z", str(path)):
        with pytest.raises(KitError, match="no such config file"):
            load_config(name)


def test_tables_are_merged_by_their_keys_and_lists_are_not():
    base = {"a": {"x": 1, "y": [1, 2]}, "b": {"z": 3}, "c": 4}
    assert merged([{"a": {"y": [5]}, "b": None}, base]) == {"a": {"x": 1, "y": [5]}, "b": None, "c": 4}
    assert merged([base]) == base
    assert merged([]) == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("extends: [a]", "extends: ['a'] is no config file; give a YAML file or a name"),
        ("extends: nowhere", "own.yaml: extends: nowhere: no such config file; give a YAML file or one of"),
        ("extends: own.yaml", "files extend each other in a circle: own.yaml -> own.yaml"),
        ("extends: layer6\nsede: 1", "own.yaml: sede: unknown key; did you mean seed?"),
        ("detector: {inference: {views: [{size: [a, 2]}]}}", "own.yaml: detector.inference.views.size: "),
        ("extends: layer6\ndetector: {inference: {views: [{size: [a, 2]}]}}", "own.yaml: detector.inference"),
        ("extends: bad.yaml\nseed: 1", "bad.yaml: detector.sampling_limit: input should be a valid integer"),
    ],
)
def test_what_cannot_be_extended_is_one_line(tmp_path, text, message):
    (tmp_path / "bad.yaml").write_text("detector: {sampling_limit: many}\n")
    (tmp_path / "own.yaml").write_text(text)
    with pytest.raises(KitError) as error:
        load_config(str(tmp_path / "own.yaml"))
    assert message in str(error.value)
    assert "\n" not in str(error.value)
