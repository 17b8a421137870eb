"""Stages count by the images that are there, not by their folder's name."""

import json
import os
import shutil
from pathlib import Path

import pytest

from kit.base.errors import KitError
from kit.config import load_config
from kit.pipeline.images import MEMORY, images_key, listed_once, say_left_out
from kit.pipeline.pipeline import Pipeline
from kit.pipeline.run import Run
from kit.pipeline.stage import ImagesInput, Stage

IDS = ("ab01", "ab02", "cd01", "ef01")


@pytest.fixture
def folder(tmp_path):
    for name in IDS[:3]:
        (tmp_path / "photos").mkdir(exist_ok=True)
        (tmp_path / "photos" / f"{name}.jpg").write_bytes(name.encode())
    return tmp_path / "photos"


@pytest.fixture
def empty(tmp_path):
    (tmp_path / "run").mkdir()
    return Run(load_config("mini"), tmp_path / "run")


def key(run, folder, ids=IDS, named="ids"):
    return images_key(run, folder, named, lambda: ids)


def test_the_key_tells_which_images_are_there(empty, folder):
    first = key(empty, folder)
    assert (first["wanted"], first["there"]) == (4, 3)
    assert first == key(empty, folder) == key(Run(empty.config, empty.path), folder)
    changes = [
        lambda: (folder / "ef01.jpg").write_bytes(b"came later"),
        lambda: (folder / "ab01.jpg").write_bytes(b"of another size"),
        lambda: (folder / "ab02.jpg").unlink(),
    ]
    seen = [first]
    for change in changes:
        change()
        seen.append(key(empty, folder))
    assert len({own["digest"] for own in seen}) == 4
    assert [own["there"] for own in seen] == [3, 4, 4, 3]


def test_other_images_do_not_count_and_neither_does_the_place(empty, folder, tmp_path, monkeypatch):
    first = key(empty, folder)
    (folder / "zz01.jpg").write_bytes(b"another set's")
    (folder / "ab01.txt").write_bytes(b"no photo")
    assert key(empty, folder) == first
    (folder / "ab").mkdir()
    (folder / "ab01.jpg").rename(folder / "ab/ab01.jpg")  # as `kit download` lays them
    assert key(empty, folder) == first
    monkeypatch.chdir(tmp_path)
    assert key(empty, Path("photos")) == key(empty, Path("photos/../photos")) == first
    shutil.move(folder, tmp_path / "moved")
    assert key(empty, tmp_path / "moved") == first


def test_how_images_are_read_is_in_the_key(empty, folder):
    first = key(empty, folder)
    for change in ("data.exif_orientation=apply", "data.max_pixels=1000000"):
        assert key(Run(load_config("mini", [change]), empty.path), folder) != first


def test_what_is_wanted_is_asked_for_only_after_a_change(empty, folder):
    asked = []

    def wanted():
        asked.append(1)
        return IDS

    for _ in range(3):
        images_key(empty, folder, "ids", wanted)
    assert len(asked) == 1
    (folder / "ef01.jpg").touch()
    images_key(empty, folder, "ids", wanted)
    images_key(empty, folder, "others", wanted)
    assert len(asked) == 3


@pytest.mark.parametrize("text", ["", "[", "[]", "null", '{"x": 1}', "[" * 100_000])
def test_a_damaged_memory_is_made_anew(empty, folder, text):
    first = key(empty, folder)
    place = next(iter(json.loads((empty.path / MEMORY).read_text())))
    for damaged in (text, json.dumps({place: text}), json.dumps({place: {"folder": 1}})):
        (empty.path / MEMORY).write_text(damaged)
        assert key(empty, folder) == first


def test_a_run_that_cannot_be_written_to_and_one_that_is_not_there(empty, folder, tmp_path):
    first = key(empty, folder)
    (empty.path / MEMORY).unlink()
    (empty.path / MEMORY).mkdir()
    assert key(empty, folder) == first
    assert key(Run(empty.config, tmp_path / "none"), folder) == first
    assert not (tmp_path / "none").exists()


def test_no_image_at_all_is_an_error(empty, folder):
    with pytest.raises(KitError, match=r"photos: none of the 1 images wanted is here; run `kit download`"):
        key(empty, folder, ids=("none",))
    shutil.rmtree(folder)
    folder.mkdir()
    with pytest.raises(KitError, match="none of the 4 images"):
        key(empty, folder)


def test_a_look_at_many_stages_lists_a_folder_once(empty, folder, monkeypatch):
    listed = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: listed.append(path) or scandir(path))
    with listed_once():
        assert key(empty, folder) == key(empty, folder, named="others")
    assert len(listed) == 1
    key(empty, folder)
    assert len(listed) == 2


def test_the_images_are_asked_for_again_where_a_file_that_names_them_changed(empty, folder, tmp_path):
    asked, named = [], tmp_path / "a.csv"
    named.write_text("a")
    images = ImagesInput("data.val.images", folder, (named,), lambda: asked.append(1) or IDS[: len(asked)])
    stage = Stage("s", lambda context: {}, inputs=(images,))
    pipeline = Pipeline(empty, [stage])
    first = pipeline.fingerprint(stage)
    assert pipeline.fingerprint(stage) == first
    assert len(asked) == 1
    named.write_text("other")
    assert pipeline.fingerprint(stage) != first
    assert len(asked) == 2


@pytest.mark.parametrize(
    ("there", "left_out", "text"),
    [
        (15, 15, "15 of 30 test images (50.0%) were not there when detection ran"),
        (30, 3, "3 of 30 test images (10.0%) could not be read when detection ran"),
        (
            29,
            2,
            "1 of 30 test images (3.3%) were not there and 1 of 30 test images (3.3%) could not be read when",
        ),
        (30, 0, None),
    ],
)
def test_the_notice_of_images_that_were_not_there(empty, tmp_path, capsys, there, left_out, text):
    ids = [f"{i:016x}" for i in range(30)]
    (tmp_path / "photos").mkdir()
    for name in ids[:there]:
        (tmp_path / "photos" / f"{name}.jpg").write_bytes(b"x")
    images = ImagesInput("data.test.images", tmp_path / "photos", (), lambda: ids)
    names = ("detect-test-a", "attribute-detect-test-a", "detect-test-none")
    own = [Stage(name, lambda context: {"left_out": left_out}, inputs=(images,)) for name in names]
    pipeline = Pipeline(empty, [*own, Stage("fuse-test", lambda context: {}, needs=names[:2])])
    pipeline.make(["fuse-test"])
    for stage in (*names[:2], "fuse-test"):
        say_left_out(pipeline, stage)
    said = capsys.readouterr().err
    assert said.count("\n") == (text is not None)
    assert said.startswith(text or "")
    say_left_out(pipeline, "detect-test-none")
    assert capsys.readouterr().err == ""
