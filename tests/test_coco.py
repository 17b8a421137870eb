import gzip
import json

import numpy as np
import pytest

from kit.base.errors import KitError
from kit.tables.coco import read_instances

GOOD = {
    "images": [
        {"id": 7, "file_name": "a/b.jpg", "width": 100, "height": 50},
        {"id": 9, "file_name": "c.jpg", "width": 10, "height": 10},
    ],
    "categories": [{"id": 3, "name": "dog"}, {"id": 1, "name": "person"}],
    "annotations": [
        {"image_id": 7, "category_id": 3, "bbox": [10, 10, 20, 20], "iscrowd": 0},
        {"image_id": 7, "category_id": 1, "bbox": [90, 0, 10.6, 25], "iscrowd": 1},
        {"image_id": 7, "category_id": 1, "bbox": [5, 5, 0, 3]},
    ],
}


def write(path, data):
    path.write_bytes(data)
    return path


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
        ("", "empty"),
        ("{", "line 1: not a COCO instances file"),
        ('{"images":\n [1,]}', "line 2: not a COCO instances file"),
        ("[]", "no object at its top"),
        ("[" * 100_000, "nested too deeply"),
        (b"\xff\xfe\xfd", "not UTF-8 text"),
        (b"PAR1....", "Parquet data"),
        ("9" * 5000, "not a COCO instances file"),
        ('{"images": []}', "'images' is empty"),
        (json.dumps({**GOOD, "categories": None}), "'categories' is missing"),
        (json.dumps({**GOOD, "images": 3}), "'images' is no list of objects"),
        (json.dumps({**GOOD, "images": GOOD["images"][1:]}), "annotation 1: image_id 7 is not defined"),
        (json.dumps({**GOOD, "categories": GOOD["categories"][1:]}), "category_id 3 is not defined"),
        (json.dumps({**GOOD, "annotations": [{"image_id": [7]}]}), r"image_id \[7\] is not defined"),
        (
            json.dumps({**GOOD, "categories": [*GOOD["categories"], {"id": 3, "name": "x"}]}),
            "3 is there twice",
        ),
        (
            json.dumps({**GOOD, "categories": [{"id": 1, "name": "x"}, {"id": "a", "name": "y"}]}),
            "several types",
        ),
        (json.dumps({**GOOD, "annotations": GOOD["annotations"][2:]}), "no box with an area"),
    ],
)
def test_a_faulty_file_is_named(tmp_path, text, message):
    path = tmp_path / "instances.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(KitError, match=message):
        read_instances(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 0}, r"image 1 \(id 7\): 0 x 50 is no size of an image"),
        ({"height": -5}, "is no size of an image"),
        ({"width": None}, "expected 2 numbers"),
        ({"width": float("nan")}, "is not finite"),
        ({"width": 10**400}, "a number that is too large"),
        ({"id": 9}, "image 2: the id 9 is there twice"),
        ({"id": None}, "None is no id"),
        ({"file_name": "x/c.png"}, r"image 2 \(id 9\): a second image is named c"),
        ({"file_name": "x" * 300}, "an image id of 300 bytes"),
        ({"file_name": "a\0b.jpg"}, "cannot be an image's id"),
        ({"file_name": ".."}, "cannot be an image's id"),
        ({"file_name": ""}, "empty where an image id belongs"),
        ({"file_name": "\ud800.jpg"}, "file_name is no text"),
        ({"file_name": 3}, "file_name is no text"),
    ],
)
def test_a_faulty_image_is_named(tmp_path, change, message):
    path = tmp_path / "instances.json"
    images = [{**GOOD["images"][0], **change}, GOOD["images"][1]]
    path.write_text(json.dumps({**GOOD, "images": images}))
    with pytest.raises(KitError, match=message):
        read_instances(path)


@pytest.mark.parametrize(
    ("box", "message"),
    [
        (
            [90, 0, 20, 25],
            r"annotation 2 \(id 5\): bbox \[90, 0, 20, 25\] lies outside the image of 100 x 50",
        ),
        ([-3, 0, 20, 25], "lies outside the image"),
        ([120, 10, 20, 25], "lies outside the image"),
        ([10, 10, -5, 25], "bbox has a negative side"),
        ([10, 10, float("nan"), 25], "is not finite"),
        ([10, 10, float("inf"), 25], "is not finite"),
        ([10, 10, 10**400, 25], "a number that is too large"),
        ([10, 10, 5], "expected 4 numbers"),
        (["1", "2", "3", "4"], "expected 4 numbers"),
        ("1234", "expected 4 numbers"),
        (None, "expected 4 numbers"),
    ],
)
def test_a_faulty_box_is_named(tmp_path, box, message):
    path = tmp_path / "instances.json"
    wrong = {"id": 5, "image_id": 7, "category_id": 1, "bbox": box}
    path.write_text(json.dumps({**GOOD, "annotations": [GOOD["annotations"][0], wrong]}))
    with pytest.raises(KitError, match=message):
        read_instances(path)


def test_what_is_left_out_clipped_or_a_crowd_is_told_once(tmp_path, capsys):
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(GOOD))
    read_instances(path)
    assert capsys.readouterr().err == (
        f"{path}: 1 of 3 annotations (33.3%) are left out: boxes without area, first at annotation 3; "
        "1 of 3 boxes (33.3%) lie outside their image by no more than rounding and are clipped, first at "
        "annotation 2; 1 of 2 boxes (50.0%) are crowds, which training ignores, first at annotation 2\n"
    )
    read_instances(path)
    assert capsys.readouterr().err == ""


def test_categories_of_one_name_stay_classes_of_their_own(tmp_path, capsys):
    path = tmp_path / "twice.json"
    names = [*GOOD["categories"], {"id": 7, "name": "dog"}]
    path.write_text(json.dumps({**GOOD, "categories": names}))
    assert read_instances(path)[1] == ("person", "dog", "dog")
    told = "1 category has the name of an earlier one, the first category 3 (id 7), dog: each is a class of its own"
    assert capsys.readouterr().err.startswith(f"{path}: {told}\n")


def test_two_decimals_of_a_pixel_are_no_matter(tmp_path, capsys):
    path = tmp_path / "instances.json"
    path.write_text(
        json.dumps({**GOOD, "annotations": [{**GOOD["annotations"][0], "bbox": [80, 10, 20.01, 40]}]})
    )
    boxes, _ = read_instances(path)
    assert boxes.box.tolist() == [pytest.approx([0.8, 0.2, 1, 1])]
    assert boxes.box.max() <= 1
    assert capsys.readouterr().err == ""


def test_packed_and_with_a_mark(tmp_path):
    text = json.dumps(GOOD).encode()
    plain = read_instances(write(tmp_path / "plain.json", text))
    for name, data in (("a.json", gzip.compress(text)), ("b.json", b"\xef\xbb\xbf" + text)):
        boxes, names = read_instances(write(tmp_path / name, data))
        assert names == plain[1]
        assert np.array_equal(boxes.box, plain[0].box)
    with pytest.raises(KitError, match="truncated or damaged"):
        read_instances(write(tmp_path / "c.json", gzip.compress(text)[:-20]))


@pytest.mark.parametrize("classes", [80, 365, 500, 1203])
def test_the_label_of_every_class_stays(tmp_path, classes):
    path = tmp_path / "instances.json"
    ids = np.random.default_rng(0).permutation(5 * classes)[:classes]  # with gaps, in any order
    categories = [{"id": int(i), "name": f"c{i}"} for i in ids]
    annotations = [{"image_id": 7, "category_id": int(i), "bbox": [1, 1, 5, 5]} for i in ids]
    path.write_text(json.dumps({**GOOD, "categories": categories, "annotations": annotations}))
    boxes, names = read_instances(path)
    assert [names[label] for label in boxes.label] == [f"c{i}" for i in ids]
    assert len(set(boxes.label.tolist())) == classes


def test_no_file_and_a_folder(tmp_path):
    with pytest.raises(KitError, match="no such file"):
        read_instances(tmp_path / "none.json")
    with pytest.raises(KitError, match="is a folder"):
        read_instances(tmp_path)


def test_boxes_in_fractions_of_the_image_are_refused(tmp_path):
    boxes = [{"image_id": 7, "category_id": 3, "bbox": [0.1, 0.2, x, 0.5]} for x in (0.9, 0.3)]
    path = write(tmp_path / "a.json", json.dumps({**GOOD, "annotations": boxes}).encode())
    said = r"annotation 1: bbox \[0.1, 0.2, 0.9, 0.5\], like all .*: fractions\?; .* in pixels"
    with pytest.raises(KitError, match=said):
        read_instances(path)
    boxes[1]["bbox"] = [3, 3, 4, 4]  # in pixels then, and one box is a tiny one
    path.write_text(json.dumps({**GOOD, "annotations": boxes}))
    assert len(read_instances(path)[0]) == 2
