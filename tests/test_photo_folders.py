"""Photos in every layout, and names that no photo can have."""

import os

import pytest

from kit.base.errors import KitError
from kit.data.photos import list_photos, photo_names, photo_path, photo_place
from kit.tables.image_name import is_image_name

FILES = {
    "ab01": "ab01.jpg",
    "cd02": "cd/cd02.jpg",
    "0123": "train_0/0123.jpg",
    "f456": "train_f/f456.JPG",
    "ab07": "ab07.JPEG",
    "ab08": "ab/ab08.jpeg",
    "a.b": "a.b.jpg",
}
BAD = ["", ".", "..", "../x", "a/b", "/etc/passwd", "a\0b", "x" * 300, "é" * 130, ".hidden", "a\\b", "a\x1b"]


@pytest.fixture
def folder(tmp_path):
    for i, place in enumerate(FILES.values()):
        path = tmp_path / "photos" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * i)
    return tmp_path / "photos"


def test_every_layout_and_ending(folder):
    photos = list_photos(folder)
    assert set(photos.places) == set(FILES) == photo_names(folder)
    assert len(photos) == len(FILES)
    for i, (name, place) in enumerate(FILES.items()):
        assert name in photos
        assert photos.path(name) == photo_path(folder, name) == folder / place
        assert photos.sizes([name, "none"]) == {name: i}
    assert photos.path("none") is None
    assert photo_path(folder, "none") == photo_place(folder, "none") == folder / "no/none.jpg"


def test_what_is_no_photo_is_not_listed(folder):
    (folder / "dir.jpg").mkdir()
    (folder / ".ab09.jpg").touch()
    (folder / "ab/.ab09.jpg.1.part").touch()
    (folder / "ab/zz01.jpg").touch()  # where no id of these letters is looked for
    (folder / "other").mkdir()
    (folder / "other/ab10.jpg").touch()
    (folder / "train_g").mkdir()
    (folder / "train_g/ab11.jpg").touch()
    (folder / "ab12.png").touch()
    (folder / ".jpg").touch()
    os.mkfifo(folder / "fifo.jpg")
    (folder / "lost.jpg").symlink_to("nowhere")
    (folder / "link.jpg").symlink_to("ab01.jpg")
    assert photo_names(folder) == {*FILES, "link"}


def test_of_two_the_same_one_counts_everywhere(folder):
    for place in ("ab01.JPG", "ab/ab01.jpg", "train_a/ab01.jpg", "train_c/cd02.jpg", "ab/ab08.JPG"):
        (folder / place).parent.mkdir(exist_ok=True)
        (folder / place).touch()
    photos = list_photos(folder)
    for name, place in FILES.items():
        assert photos.path(name) == photo_path(folder, name) == folder / place


def test_a_photo_that_went_since_has_no_size(folder):
    photos = list_photos(folder)
    (folder / "ab01.jpg").unlink()
    assert "ab01" not in photos.sizes()


@pytest.mark.parametrize("name", BAD)
def test_names_that_no_photo_can_have(folder, name):
    assert not is_image_name(name)
    assert name not in list_photos(folder)
    for function in (photo_place, photo_path):
        with pytest.raises(KitError, match="no photo can have this name"):
            function(folder, name)


@pytest.mark.parametrize("name", ["a", "ab01", "é", "x" * 250, "a b", "a.jpg", "..x"[2:]])
def test_names_that_a_photo_can_have(tmp_path, name):
    assert is_image_name(name)
    assert photo_path(tmp_path, name).parent.parent == tmp_path
