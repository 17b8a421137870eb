import numpy as np
import pytest
from PIL import Image

from kit.detector.pictures import (
    GONE,
    labelled_pictures,
    read_annotations,
    read_picture,
    record_skipped,
    tidy_skipped,
    write_annotations,
)
from kit.errors import KitError
from kit.tables.schema import Boxes

BOXES = Boxes(
    ("a", "b", "c"), [0, 2], [3, 4], np.array([[0, 0, 0.5, 0.5], [0.1, 0.2, 0.3, 0.4]]), [False, True]
)


def test_annotations_keep_pictures_without_boxes(tmp_path):
    write_annotations(tmp_path / "a.npz", BOXES)
    back = read_annotations(tmp_path / "a.npz")
    assert back.images == BOXES.images
    for name in ("image", "label", "box", "is_group_of"):
        assert np.array_equal(getattr(back, name), getattr(BOXES, name))


def test_missing_pictures_are_left_out_and_none_at_all_is_an_error(tmp_path):
    (tmp_path / "a.jpg").touch()
    (tmp_path / "b.jpg").touch()
    found = labelled_pictures(tmp_path, BOXES, ("x",))
    assert found.boxes.images == ("a", "b")
    assert len(found.boxes) == 1
    assert found.missing == ("c",)
    with pytest.raises(KitError, match="no such folder of pictures"):
        labelled_pictures(tmp_path / "none", BOXES, ("x",))
    (tmp_path / "empty").mkdir()
    with pytest.raises(KitError, match="none of the 3 annotated pictures"):
        labelled_pictures(tmp_path / "empty", BOXES, ("x",))


def test_reading_a_picture(tmp_path):
    Image.new("RGB", (7, 5), (255, 0, 0)).save(tmp_path / "red.jpg")
    picture = read_picture(tmp_path / "red.jpg")
    assert picture.shape == (5, 7, 3)
    assert picture[0, 0].tolist() == pytest.approx([0, 0, 254], abs=3)  # blue, green, red
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    (tmp_path / "empty.jpg").touch()
    for name in ("broken", "empty", "none"):
        assert read_picture(tmp_path / f"{name}.jpg") is None


def test_skipped_pictures_are_listed_once(tmp_path):
    path = tmp_path / "skipped.csv"
    assert tidy_skipped(path) == 0
    assert not path.exists()
    for _ in range(3):
        record_skipped(path, "x", "broken")
    assert tidy_skipped(path, ["y"]) == 2
    assert path.read_text() == f"ImageID,Reason\ny,{GONE}\nx,broken\n"
    assert tidy_skipped(path) == 2
