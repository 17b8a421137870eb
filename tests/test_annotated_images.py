import numpy as np
import pytest

from kit.base.errors import KitError
from kit.data.photos import GONE
from kit.detector.annotated_images import (
    annotated_images,
    left_out,
    read_annotations,
    read_skipped,
    record_skipped,
    tidy_skipped,
    training_images,
    write_annotations,
)
from kit.detector.class_balanced_sampling import draw_images
from kit.tables.schema import Boxes

BOXES = Boxes(
    ("a", "b", "c"), [0, 2], [3, 4], np.array([[0, 0, 0.5, 0.5], [0.1, 0.2, 0.3, 0.4]]), [False, True]
)


def test_annotations_keep_images_without_boxes(tmp_path):
    write_annotations(tmp_path / "a.npz", BOXES, np.array([2, 0, 2]))
    back, draws = read_annotations(tmp_path / "a.npz")
    assert draws.tolist() == [2, 0, 2]
    assert back.images == BOXES.images
    for name in ("image", "label", "box", "is_group_of"):
        assert np.array_equal(getattr(back, name), getattr(BOXES, name))


def test_missing_images_are_left_out_and_none_at_all_is_an_error(tmp_path):
    (tmp_path / "a.jpg").touch()
    (tmp_path / "b.jpg").touch()
    found = annotated_images(tmp_path, BOXES, ("x",))
    assert found.boxes.images == ("a", "b")
    assert len(found.boxes) == 1
    with pytest.raises(KitError, match="no such folder of images"):
        annotated_images(tmp_path / "none", BOXES, ("x",))
    (tmp_path / "empty").mkdir()
    with pytest.raises(KitError, match="none of the 3 annotated images"):
        annotated_images(tmp_path / "empty", BOXES, ("x",))


def test_a_training_has_the_images_that_it_draws_whatever_is_there(tmp_path, capsys):
    table = Boxes(
        ("a", "b", "c"), [0, 1, 2], [0, 0, 0], np.tile([[0, 0, 0.5, 0.5]], (3, 1)), np.zeros(3, bool)
    )
    drawn = draw_images(table, 1, None, seed=0, count=40)
    (tmp_path / "b.jpg").touch()
    images = training_images(tmp_path, drawn, ("x",))
    assert images.boxes.images == ("a", "b", "c")
    assert images.draws is drawn.draws
    assert "2 of 3 images that the training draws (66.7%) are not there" in capsys.readouterr().err
    only_b = draw_images(table.of_images(("b",)), 1, None, seed=0, count=4)
    assert training_images(tmp_path, only_b, ("x",)).boxes.images == ("b",)
    assert capsys.readouterr().err == ""
    with pytest.raises(KitError, match="none of the 1 annotated images is here"):
        training_images(tmp_path, draw_images(table.of_images(("a",)), 1, None, 0, 4), ("x",))


def test_skipped_images_are_listed_once(tmp_path):
    path = tmp_path / "skipped.csv"
    assert tidy_skipped(path) == {}
    assert not path.exists()
    for _ in range(3):
        record_skipped(path, "x", "broken")
    assert tidy_skipped(path, ["y"]) == {"y": GONE, "x": "broken"}
    assert path.read_text() == f"ImageID,Reason\ny,{GONE}\nx,broken\n"
    assert tidy_skipped(path) == {"y": GONE, "x": "broken"}
    assert left_out(tidy_skipped(path), 8) == f"2 of 8 images (25.0%) were left out, the first y ({GONE})"


def test_any_id_and_reason_come_back_from_the_file_of_skipped_images(tmp_path):
    path = tmp_path / "skipped.csv"
    rows = {'a,"b': "400,000,000 pixels", "c\nd": "x", "ImageID": "gone", "": ""}
    for name, why in rows.items():
        record_skipped(path, name, why)
    assert read_skipped(path) == tidy_skipped(path) == read_skipped(path) == rows
    assert read_skipped(tmp_path / "none.csv") == {}


@pytest.mark.parametrize("data", [b"\xff\xfe\x00", bytes(200_000), b"a,gone\n\xff"])
def test_a_damaged_list_of_skipped_images_is_told_and_begun_anew(data, tmp_path, capsys):
    path = tmp_path / "skipped.csv"
    path.write_bytes(data)
    assert tidy_skipped(path, ["b"]) == {"b": "not there"}
    assert "skipped.csv: damaged" in capsys.readouterr().err
    assert read_skipped(path) == {"b": "not there"}
