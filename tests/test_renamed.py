import pytest

from kit.base.errors import KitError
from kit.config import load_config, renamed
from kit.config.renamed import RENAMED, Renamed, rename_keys

NEW = "data.download.concurrency; the older name is read for one more release"


def test_an_older_key_of_a_file_is_read_with_its_line(tmp_path, capsys):
    path = tmp_path / "c.yaml"
    path.write_text("seed: 1\ndata:\n  download: {read: 5,\n    at_once: 3}\n")
    download = load_config(str(path)).data.download
    assert (download.concurrency, download.read_timeout) == (3, 5.0)
    assert capsys.readouterr().err.splitlines() == [
        f"{path}, line 3: data.download.read is now data.download.read_timeout; "
        "the older name is read for one more release",
        f"{path}, line 4: data.download.at_once is now {NEW}",
    ]


def test_an_older_key_by_an_alias_is_read_without_a_line(tmp_path, capsys):
    path = tmp_path / "c.yaml"
    path.write_text("data:\n  download:\n    <<: &a {at_once: 3}\n")
    assert load_config(str(path)).data.download.concurrency == 3
    assert capsys.readouterr().err == f"{path}: data.download.at_once is now {NEW}\n"


@pytest.mark.parametrize("override", ["data.download.at_once=3", "data.download={at_once: 3}"])
def test_an_older_key_of_an_override_is_read(capsys, override, tmp_path):
    (tmp_path / "c.yaml").write_text("data: {download: {concurrency: 7}}\n")
    assert load_config(str(tmp_path / "c.yaml"), [override]).data.download.concurrency == 3
    assert capsys.readouterr().err == f"--set: data.download.at_once is now {NEW}\n"


def test_a_wrong_value_by_an_older_key_is_told_by_the_new_one():
    with pytest.raises(KitError, match=r"--set: data\.download\.attempts: input should be greater"):
        load_config("mini", ["data.download.tries=0"])


def test_both_names_are_one_too_many(tmp_path):
    with pytest.raises(KitError, match=r"data\.download\.wait is the older name of data\.download\.backoff"):
        load_config("mini", ["data.download={wait: 1, backoff: 1}"])


@pytest.mark.parametrize("key", RENAMED)
def test_every_new_name_is_one_of_the_configuration(key):
    """Where the pattern has no star; the older name is none any more."""
    table = load_config("layer6").model_dump()
    *above, old = key.split(".")
    for part in above:
        table = (
            table[part] if part != "*" else next(iter(table.values() if isinstance(table, dict) else table))
        )
    assert RENAMED[key].name in table
    assert old not in table


def test_stars_are_keys_and_items_and_values_are_converted(monkeypatch):
    monkeypatch.setattr(
        renamed, "RENAMED", {"models.*.views.*.way": Renamed("flip", lambda v: v == "mirrored")}
    )
    values = {
        "models": {"a": {"views": [{"size": 1, "way": "mirrored"}, {"way": "plain"}], "way": 1}},
        "way": 2,
    }
    found = rename_keys(values, ".".join)
    assert found == {
        "models": {"a": {"views": [{"size": 1, "flip": True}, {"flip": False}], "way": 1}},
        "way": 2,
    }


def test_a_key_of_any_depth_has_an_end():
    with pytest.raises(KitError):
        load_config("mini", [f"{'data.' * 50_000}x=1"])
