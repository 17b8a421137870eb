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


def test_tables_are_merged_by_their_keys_and_lists_are_not():
    base = {"a": {"x": 1, "y": [1, 2]}, "b": {"z": 3}, "c": 4}
    assert merged([{"a": {"y": [5]}, "b": None}, base]) == {"a": {"x": 1, "y": [5]}, "b": None, "c": 4}
    assert merged([base]) == base
    assert merged([]) == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("extends: [a]", "extends: ['a'] is no config file; give a YAML file or a name"),
        ("extends: nowhere", "nowhere: no such config file"),
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
