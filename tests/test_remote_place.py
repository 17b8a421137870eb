"""Paths of local copies tell their addresses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.base.errors import KitError
from kit.base.remote_place import address_of, cache_folder, local_name, local_place, shown_place
from kit.config import load_config
from kit.config.model import ImagesPath

PARTS = st.text(st.characters(exclude_characters="/\0?#@:", exclude_categories=["Cs"]), min_size=1).filter(
    lambda part: not part.startswith(".") and part == part.strip()
)


@pytest.fixture(autouse=True)
def _cache(monkeypatch, tmp_path):
    monkeypatch.setenv("KIT_CACHE", str(tmp_path))


@given(parts=st.lists(PARTS, min_size=1, max_size=4), name=PARTS)
def test_there_and_back(parts, name):
    address = f"s3://{'/'.join(parts)}"
    path = local_place(address, "runs")
    assert path.is_relative_to(cache_folder() / "runs")
    assert address_of(path) == shown_place(path) == address
    assert address_of(path / local_name(name)) == f"{address}/{name}"


def test_folders_of_this_machine(tmp_path):
    assert str(local_place("runs/a", "runs")) == "runs/a"
    assert str(local_place("file:///data/a", "runs")) == "/data/a"
    for path in (tmp_path, tmp_path / "runs", tmp_path / "runs" / "s3", tmp_path / "other" / "s3" / "a"):
        assert address_of(path) is None
    assert address_of(local_place("s3://b/run", "runs") / ".rehearsal" / "run") is None


@pytest.mark.parametrize(
    "address", ["s3://", "s3://a//b", "s3://a/../b", "S 3://a", "s3://a/./b", "s3://a\0/b"]
)
def test_what_is_no_address_is_one_line(address):
    with pytest.raises(KitError, match="not the address of a folder"):
        local_place(address, "runs")


@pytest.mark.parametrize("address", ["s3://key:word@bucket/run", "s3://bucket/run?token=word"])
def test_secrets_are_refused_and_not_shown(address):
    with pytest.raises(KitError, match="name, password or query") as caught:
        local_place(address, "runs")
    assert "word@" not in str(caught.value)
    assert "=word" not in str(caught.value)


def test_in_a_configuration(tmp_path):
    config = load_config("mini", ["run=s3://b/run/", "data.train.images=gs://b/train"])
    assert address_of(config.run) == "s3://b/run"
    assert address_of(config.data.train.images) == "gs://b/train"
    (tmp_path / "again.yaml").write_text(config.as_yaml())
    assert load_config(str(tmp_path / "again.yaml")) == config
    assert "run: s3://b/run\n" in config.as_yaml()
    assert str(tmp_path) not in config.as_yaml()
    with pytest.raises(KitError, match=r"--set: data.val.relations: an address, and only run and folders of"):
        load_config("mini", ["data.val.relations=s3://b/relations.csv"])
    with pytest.raises(KitError, match=r"--set: run: s3://\*\*\*@b/run: name, password or query"):
        load_config("mini", ["run=s3://a:b@b/run"])
    assert ImagesPath


def test_experiments_are_made_in_folders(kit):
    code, _, err = kit("reproduce", "table1", "--set", "run=s3://b/run")
    assert code == 2
    assert err == "kit: s3://b/run: experiments are made in a folder of this machine; give it with --out\n"
