import io

import pytest
from PIL import Image

from kit.base.errors import KitError
from kit.data.photos import photo_names, photo_path, photo_place
from kit.download.photo_store import add_missing, find_corrupt, read_missing, save, tidy_missing
from tests.jpegs import jpeg

NAMES = ["ab01", "ab02", "cd01"]


def test_photos_lie_by_the_start_of_their_ids_or_all_in_one(tmp_path):
    assert photo_names(tmp_path) == set()
    for i, name in enumerate(NAMES):
        save(tmp_path, name, jpeg(i))
    assert (tmp_path / "ab/ab01.jpg").read_bytes() == jpeg(0)
    (tmp_path / "ef01.jpg").write_bytes(jpeg(9))
    (tmp_path / "ab/.ab09.jpg.1.part").write_bytes(b"")
    assert photo_names(tmp_path) == {*NAMES, "ef01"}
    assert photo_path(tmp_path, "ef01") == tmp_path / "ef01.jpg"
    assert photo_path(tmp_path, "cd01") == photo_path(tmp_path, "cd01") == tmp_path / "cd/cd01.jpg"
    assert photo_path(tmp_path, "none") == photo_place(tmp_path, "none")


def test_one_changed_byte_is_found(tmp_path):
    for i, name in enumerate(NAMES):
        save(tmp_path, name, jpeg(i))
    (tmp_path / "flat.jpg").write_bytes(jpeg(5))
    (tmp_path / "half.jpg").write_bytes(jpeg(6)[:300])
    assert list(find_corrupt(tmp_path, [*NAMES, "flat", "gone"])) == []
    path = photo_path(tmp_path, "ab02")
    data = bytearray(jpeg(1))
    data[len(data) // 2] ^= 1  # still a whole JPEG by its ends
    path.write_bytes(data)
    assert list(find_corrupt(tmp_path, [*NAMES, "half"])) == [path, tmp_path / "half.jpg"]
    save(tmp_path, "ab02", jpeg(7))  # got again, with another content: its last digest counts
    assert list(find_corrupt(tmp_path, NAMES)) == []


def test_one_that_lies_flat_is_mended_where_it_lies(tmp_path):
    (tmp_path / "ab01.jpg").write_bytes(b"damaged")
    save(tmp_path, "ab01", jpeg(0))
    assert (tmp_path / "ab01.jpg").read_bytes() == jpeg(0)
    assert not (tmp_path / "ab").exists()
    assert list(find_corrupt(tmp_path, ["ab01"])) == []


def test_digests_that_cannot_be_read_leave_the_look_of_the_photo(tmp_path):
    save(tmp_path, "ab01", jpeg(0))
    (tmp_path / "ab/digests.csv").write_bytes(b"\xff\xfe,\x00\n")
    assert list(find_corrupt(tmp_path, ["ab01"])) == []


def test_names_that_no_photo_can_have_harm_nobody(tmp_path):
    bad = ["../x", "a/b", "x" * 300, ""]
    save(tmp_path, "ab01", jpeg(0))
    assert list(find_corrupt(tmp_path, [*bad, "ab01"])) == []
    add_missing(tmp_path, [(name, "HTTP 404") for name in [*bad, "cd01"]])
    tidy_missing(tmp_path)
    assert list(read_missing(tmp_path)) == ["cd01"]
    for name in bad:
        with pytest.raises(KitError, match="no photo can have this name"):
            save(tmp_path, name, jpeg(0))


def test_a_image_of_another_kind_is_not_called_damaged(tmp_path):
    file = io.BytesIO()
    Image.new("RGB", (4, 4)).save(file, "PNG")
    (tmp_path / "ab01.jpg").write_bytes(file.getvalue())
    (tmp_path / "ab02.jpg").write_bytes(file.getvalue()[:-20])
    (tmp_path / "ab03.jpg").mkdir()
    assert list(find_corrupt(tmp_path, ["ab01", "ab02", "ab03"])) == [tmp_path / "ab02.jpg"]


def test_what_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "ab").write_text("")
    with pytest.raises(KitError, match=r"ab: cannot be written \(File exists\); the next call goes on"):
        save(tmp_path, "ab01", jpeg(0))


def test_missing_photos(tmp_path):
    assert list(read_missing(tmp_path)) == []
    add_missing(tmp_path, [])
    assert not (tmp_path / "missing.csv").exists()
    add_missing(tmp_path, [("ab01", "HTTP 404"), ("ab02", "HTTP 403")])
    add_missing(tmp_path, [("ab01", "HTTP 404"), ("cd01", "HTTP 404")])
    assert list(read_missing(tmp_path)) == ["ab01", "ab02", "cd01"]
    save(tmp_path, "ab02", jpeg(0))
    tidy_missing(tmp_path)
    assert (tmp_path / "missing.csv").read_text() == "ImageID,Reason\nab01,HTTP 404\ncd01,HTTP 404\n"
