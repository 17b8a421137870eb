import cv2
import numpy as np
import pytest

from kit.config import Decoding
from kit.data.decode import decode
from kit.data.jpeg import orientation, with_orientation
from kit.download.photo_store import is_image, scaled, whole_jpeg
from kit.download.remote import FetchError
from tests.jpegs import jpeg


def test_what_is_a_whole_jpeg():
    data = jpeg(0)
    assert whole_jpeg(data) == data
    assert whole_jpeg(data + b"\0" * 100)  # some cameras write on behind the end
    for bad, cause in (
        (data[:-50], "cut off"),
        (b"<html>", "web page"),
        (b"", "not a JPEG"),
        (b"GIF89a", "not a"),
    ):
        with pytest.raises(FetchError, match=cause):
            whole_jpeg(bad)


def test_what_is_no_photo_is_not_scaled():
    assert scaled(b"no photo", 10) == b"no photo"


def test_the_end_of_a_thumbnail_is_not_the_end_of_the_photo():
    thumbnail = jpeg(1, (16, 12))
    data = jpeg(0)
    exif = b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    photo = data[:2] + exif + data[2:]
    assert whole_jpeg(photo) == photo
    for cut in (len(exif) + 2, len(exif) + 100, len(photo) - 2):
        with pytest.raises(FetchError, match="cut off"):
            whole_jpeg(photo[:cut])


@pytest.mark.parametrize("length", range(2, 30))
def test_no_start_of_a_photo_is_a_photo(length):
    with pytest.raises(FetchError, match="cut off"):
        whole_jpeg(jpeg(0)[:length])


def test_much_behind_the_end_mark_is_no_matter():
    for behind in (b"\0" * 200_000, jpeg(3), b"\xff" * 70_000 + b"\xda"):
        assert whole_jpeg(jpeg(0) + behind) == jpeg(0) + behind


@pytest.mark.parametrize("value", [1, 6, 8])
def test_down_scaling_keeps_the_stored_pixels_and_their_orientation(value):
    data = with_orientation(jpeg(0, (120, 60)), value)
    small = scaled(data, 40)
    assert orientation(small) == value
    assert decode(small, Decoding()).shape == (20, 40, 3)
    turned = (20, 40, 3) if value == 1 else (40, 20, 3)
    assert decode(small, Decoding(exif_orientation="apply")).shape == turned
    plain = scaled(jpeg(0, (120, 60)), 40)
    assert np.array_equal(decode(small, Decoding()), decode(plain, Decoding()))


def test_what_is_too_large_or_narrow_to_be_scaled():
    data = jpeg(0, (100, 100))
    assert scaled(data, 40, max_pixels=9_999) == data
    assert decode(scaled(data, 40, max_pixels=10_000), Decoding()).shape == (40, 40, 3)
    assert decode(scaled(jpeg(0, (3000, 2)), 64), Decoding()).shape == (1, 64, 3)


def test_what_detection_reads_is_not_broken():
    png = cv2.imencode(".png", np.zeros((4, 4, 3), np.uint8))[1].tobytes()
    assert is_image(png)
    assert is_image(jpeg(0))
    for bad in (b"", b"text", png[:-20], jpeg(0)[:-50]):
        assert not is_image(bad)
