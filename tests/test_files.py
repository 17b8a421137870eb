import gzip
import json
import os
import subprocess
import zipfile
from contextlib import suppress

import pytest

from kit.base import files
from kit.base.errors import KitError
from kit.base.files import (
    atomic_write,
    json_text,
    open_compressed,
    remove_stale_parts,
    temporary_path,
    write_json,
    write_text,
)


def test_a_file_is_whole_or_not_there(tmp_path):
    path = tmp_path / "deep" / "a.txt"
    with suppress(RuntimeError), atomic_write(path) as part:
        part.write_text("half")
        raise RuntimeError
    assert list(path.parent.iterdir()) == []
    write_text(path, "all")
    assert [p.name for p in path.parent.iterdir()] == ["a.txt"]
    assert path.read_text() == "all"


def test_an_unfinished_write_leaves_the_old_file(tmp_path):
    write_text(tmp_path / "a.txt", "old")
    with suppress(RuntimeError), atomic_write(tmp_path / "a.txt") as part:
        part.write_text("new")
        raise RuntimeError
    assert (tmp_path / "a.txt").read_text() == "old"


def test_where_nothing_can_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(KitError, match="cannot be written"):
        write_text(tmp_path / "file" / "a.txt", "x")


def test_packing_by_name(tmp_path):
    for name in ("a.csv", "a.csv.gz", "a.csv.zip"):
        with atomic_write(tmp_path / name) as part, open_compressed(part, name) as file:
            file.write(b"text")
    assert (tmp_path / "a.csv").read_bytes() == b"text"
    assert gzip.decompress((tmp_path / "a.csv.gz").read_bytes()) == b"text"
    with zipfile.ZipFile(tmp_path / "a.csv.zip") as archive:
        assert {n: archive.read(n) for n in archive.namelist()} == {"a.csv": b"text"}


def test_json_has_null_for_what_is_no_number(tmp_path):
    value = {"a": float("nan"), "b": [float("inf"), 1.5], "c": {"d": None}}
    assert json.loads(json_text(value)) == {"a": None, "b": [None, 1.5], "c": {"d": None}}
    write_json(tmp_path / "a.json", value)
    assert json.loads((tmp_path / "a.json").read_text())["b"] == [None, 1.5]


@pytest.mark.parametrize(
    ("name", "start"), [("a.ZIP", b"PK"), ("a.csv.Zip", b"PK"), ("a.csv.GZ", b"\x1f\x8b")]
)
def test_a_file_is_packed_as_its_name_ends_in_any_case(name, start, tmp_path):
    with open_compressed(tmp_path / "part", name) as file:
        file.write(b"x")
    assert (tmp_path / "part").read_bytes().startswith(start)


def test_what_a_killed_writer_left_goes_and_nothing_else(tmp_path):
    gone = subprocess.Popen(["true"])
    gone.wait()
    names = {  # whether each goes
        f".a.txt.{gone.pid}.part": True,
        f".a.txt.{gone.pid}x0123abcd.part": True,
        f".fresh.txt.{gone.pid}.part": False,
        f".fresh.txt.{gone.pid}x0123abcd.part": False,
        temporary_path(tmp_path / "a.txt").name: False,
        f".a.txt.{os.getpid()}.part": False,
        ".a.txt.part": False,
        f"a.txt.{gone.pid}.part": False,
        "a.txt": False,
    }
    for name in names:
        (tmp_path / name).touch()
        if "fresh" not in name:
            os.utime(tmp_path / name, (0, 0))
    remove_stale_parts(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {name for name, goes in names.items() if not goes}
    remove_stale_parts(tmp_path / "nowhere")


def test_two_processes_of_one_number_write_beside_each_other(tmp_path, monkeypatch):
    """Those of two containers, into a folder that both see."""
    with atomic_write(tmp_path / "a") as one:
        one.write_text("one")
        monkeypatch.setattr(files, "OWN", "0123abcd")
        with atomic_write(tmp_path / "a") as two:
            two.write_text("two")
        assert (tmp_path / "a").read_text() == "two"
        assert one.read_text() == "one"
    assert (tmp_path / "a").read_text() == "one"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
