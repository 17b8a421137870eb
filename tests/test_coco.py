import json

import pytest

from kit.errors import KitError
from kit.tables.coco import read_instances

GOOD = {
    "images": [
        {"id": 7, "file_name": "a/b.jpg", "width": 100, "height": 50},
        {"id": 9, "file_name": "c.jpg", "width": 10, "height": 10},
    ],
    "categories": [{"id": 3, "name": "dog"}, {"id": 1, "name": "person"}],
    "annotations": [
        {"image_id": 7, "category_id": 3, "bbox": [10, 10, 20, 20], "iscrowd": 0},
        {"image_id": 7, "category_id": 1, "bbox": [90, 0, 20, 25], "iscrowd": 1},
        {"image_id": 7, "category_id": 1, "bbox": [5, 5, 0, 3]},
    ],
}


def test_boxes_are_normalised_and_labels_follow_the_category_ids(tmp_path):
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(GOOD))
    boxes, names = read_instances(path)
    assert names == ("person", "dog")
    assert boxes.images == ("b", "c")  # the second has no box
    assert boxes.label.tolist() == [1, 0]  # the box without area is left out
    assert boxes.box.tolist() == [pytest.approx([0.1, 0.2, 0.3, 0.6]), pytest.approx([0.9, 0, 1, 0.5])]
    assert boxes.is_group_of.tolist() == [False, True]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not a COCO instances file"),
        ("[]", "not a COCO instances file"),
        ('{"images": []}', "'categories' is missing"),
        (json.dumps({**GOOD, "images": GOOD["images"][1:]}), "7 is missing or not defined"),
        (json.dumps({**GOOD, "images": [{**GOOD["images"][0], "width": 0}]}), "not a COCO instances file"),
    ],
)
def test_a_faulty_file_is_named(tmp_path, text, message):
    path = tmp_path / "instances.json"
    path.write_text(text)
    with pytest.raises(KitError, match=message):
        read_instances(path)


def test_no_file(tmp_path):
    with pytest.raises(KitError, match="no such file"):
        read_instances(tmp_path / "none.json")
