"""A user's own photos: found, named, put where the stages read them."""

import numpy as np
import pytest
from PIL import Image

from kit.base.errors import KitError
from kit.base.progress import silent
from kit.config import Decoding
from kit.data.decode import read_image
from kit.data.own_photos import find_photos, photo_ids, stage_photos
from kit.data.photos import list_photos
from kit.tables.image_lists import read_image_ids
from kit.tables.image_name import is_image_name
from kit.tables.official_writer import write_sample_submission
from tests.jpegs import jpeg

UPRIGHT = Decoding(exif_orientation="apply")


def test_photos_of_a_folder_are_found_below_it(tmp_path, caplog):
    for name in ("b.JPG", "a.png", "in/c.webp", ".hidden/d.jpg", ".e.jpg", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    found = find_photos([tmp_path, tmp_path / "a.png", tmp_path / "notes.txt"])
    assert [path.name for path in found] == [
        "a.png",
        "b.JPG",
        "c.webp",
        "notes.txt",
    ]  # what is named is taken


def test_no_photos(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(KitError, match=r"no photos in it \(1 other files\)"):
        find_photos([tmp_path])
    with pytest.raises(KitError, match="no such file or folder"):
        find_photos([tmp_path / "gone.jpg"])


def test_any_name_gives_an_id_of_its_own_that_a_csv_holds(tmp_path):
    names = [
        "a/x.jpg",
        "b/x.png",
        "x-2.jpg",
        'q",\n.jpg',
        "ü ñ.jpg",
        f"{'l' * 200}.jpg",
        "..jpg.jpg",
        "\udcff.jpg",
    ]
    photos = [tmp_path / name for name in names]
    ids = photo_ids(photos)
    assert list(ids.values()) == photos
    assert list(ids)[:3] == ["x", "x-2", "x-2-2"]
    assert all(is_image_name(name) for name in ids)
    write_sample_submission(tmp_path / "ids.csv", list(ids))
    assert read_image_ids(tmp_path / "ids.csv") == tuple(ids)


def test_every_format_is_read_as_it_is_seen(tmp_path):
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[:, :30] = (250, 10, 10)
    image = Image.fromarray(pixels)
    turned = image.getexif()
    turned[0x112] = 6  # to be turned by 90 degrees clockwise
    image.save(tmp_path / "turned.jpg", exif=turned)
    image.save(tmp_path / "plain.png")
    image.convert("RGBA").save(tmp_path / "alpha.webp", lossless=True)
    image.convert("CMYK").save(tmp_path / "cmyk.jpg")
    image.save(tmp_path / "tga.tga")  # by Pillow alone
    image.quantize(8).save(tmp_path / "palette.gif")
    ids = photo_ids(find_photos([tmp_path]))
    assert stage_photos(ids, tmp_path / "staged", UPRIGHT, silent) == {}
    staged = list_photos(tmp_path / "staged")
    for name in ids:
        read = read_image(staged.path(name), UPRIGHT)[..., ::-1].astype(int)
        if name == "turned":
            assert read.shape == (60, 40, 3)
            read = np.rot90(read)  # counter-clockwise, back
        assert read.shape == (40, 60, 3), name
        assert np.abs(read[5:-5, 5:25] - pixels[5:-5, 5:25]).max() < 40, name
        assert np.abs(read[5:-5, 35:55] - pixels[5:-5, 35:55]).max() < 40, name


def test_what_cannot_be_read_is_named_with_the_reason(tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "good.jpg").write_bytes(jpeg(1))
    Image.new("RGB", (300, 300)).save(tmp_path / "large.tga")
    ids = photo_ids(find_photos([tmp_path]))
    unread = stage_photos(ids, tmp_path / "staged", Decoding(max_pixels=64 * 48), silent)
    assert (unread["broken"], unread["empty"]) == ("not readable as an image", "empty")
    assert unread["large"].startswith("300 x 300 pixels")
    assert set(list_photos(tmp_path / "staged").places) == {"good"}
