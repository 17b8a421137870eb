import pytest

from kit.download.fault import FetchError
from kit.download.jpeg import scaled, whole_jpeg
from tests.test_photos import jpeg


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
