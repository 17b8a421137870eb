"""Sizes of images from their files, as they are read."""

import pytest
from PIL import Image

from kit.base.errors import KitError
from kit.config import Decoding
from kit.data.image_sizes import FolderSizes

APPLY = Decoding(exif_orientation="apply")


def test_the_sizes_below_a_folder(tmp_path):
    (tmp_path / "aa").mkdir()
    Image.new("RGB", (30, 20)).save(tmp_path / "aa" / "aab1.jpg")
    Image.new("RGB", (7, 5)).save(tmp_path / "b.c.png")
    (tmp_path / "notes.txt").write_text("no image")
    sizes = FolderSizes(tmp_path)
    assert dict(sizes) == {"aab1": (30, 20), "b.c": (7, 5)}
    assert ("notes" in sizes, len(sizes), sizes.get("gone")) == (False, 2, None)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_lays_an_image_on_its_side_only_where_it_is_applied(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x112] = orientation
    Image.new("RGB", (30, 20)).save(tmp_path / "a.jpg", exif=exif)
    assert FolderSizes(tmp_path)["a"] == (30, 20)
    assert FolderSizes(tmp_path, APPLY)["a"] == ((20, 30) if orientation >= 5 else (30, 20))


def test_images_that_cannot_be_read_or_told_apart(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"no image")
    with pytest.raises(KitError, match=r"a\.jpg: not readable as an image"):
        FolderSizes(tmp_path)["a"]
    for name in ("b.jpg", "b.png"):
        Image.new("RGB", (3, 2)).save(tmp_path / name)
    with pytest.raises(KitError, match=r"b\.png: a second image is named b, beside "):
        FolderSizes(tmp_path)["b"]
