import pytest

from kit.download.fetch import FetchError
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
