"""Detections in every form: what is written is read again, and by the libraries of those who made the forms."""

import gzip
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from kit.base.errors import KitError
from kit.data.image_sizes import FolderSizes
from kit.tables.detection_formats import format_of, load_detections, read_rows, save_detections
from kit.tables.format_names import FORMATS
from kit.tables.schema import Detections
from kit.tables.side_files import SideFiles
from kit.vocabulary import vocabulary

IMAGES = ("0a1b", "img_2", "000000000139")
SIZES = {"0a1b": (640, 480), "img_2": (33, 1000), "000000000139": (20, 10)}
NAMES = {"openimages": "d.csv", "kaggle": "d.csv.gz", "coco": "d.json", "yolo": "labels"}
CELL = 1 / 4096
MIDS, CLASSES = vocabulary().mids, vocabulary().names[:57]

corner = st.integers(0, 4095)
row = st.tuples(
    st.integers(0, 2),
    st.integers(0, 56),
    st.floats(0, 1, width=32),
    *[st.tuples(corner, corner).filter(lambda pair: pair[0] != pair[1]).map(sorted) for _ in range(2)],
)


def table(rows):
    box = [[x[0], y[0], x[1], y[1]] for _, _, _, x, y in rows]
    columns = [[r[i] for r in rows] for i in range(3)]
    return Detections(
        IMAGES,
        np.array(columns[0], np.int32),
        np.array(columns[1], np.int64),
        np.array(columns[2], np.float32),
        np.array(box, np.float32).reshape(-1, 4) * CELL,
    )


def as_rows(detections):
    """Comparable whatever the order: image, label, score, box to five decimals."""
    ids = [detections.images[i] for i in detections.image]
    boxes = np.round(detections.box.astype(float), 5) + 0.0
    return sorted(zip(ids, detections.label.tolist(), detections.score.tolist(), boxes.tolist(), strict=True))


def same(ours, theirs, tolerance=2e-5):
    ours, theirs = as_rows(ours), as_rows(theirs)
    assert [r[:3] for r in ours] == [r[:3] for r in theirs]
    for one, other in zip(ours, theirs, strict=True):
        assert one[3] == pytest.approx(other[3], abs=tolerance)


@pytest.mark.parametrize("form", FORMATS)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(row, min_size=1, max_size=12))
def test_what_is_written_is_read_again(form, rows, tmp_path_factory, capsys):
    folder = tmp_path_factory.mktemp("round")
    written = table(
        [*rows, (1, 5, 0.5, (0, 4095), (0, 4095))]
    )  # a set of first pixels alone looks like fractions
    described = save_detections(folder / NAMES[form], written, form, SideFiles(sizes=SIZES))
    assert format_of(folder / NAMES[form]) == form
    assert (described is not None) == (form == "coco")
    again = load_detections([folder / NAMES[form]], SideFiles(images=described))
    same(again, written)
    assert capsys.readouterr().err == ""
    if form in ("kaggle", "yolo"):  # these have a line, or a file, of every image
        assert set(again.images) == set(IMAGES)


def test_the_forms_of_one_table_are_read_as_one(tmp_path):
    written = table(
        [(0, 3, 0.5, (0, 1024), (0, 2048)), (1, 56, 1.0, (0, 4095), (5, 6)), (0, 3, 0.25, (1, 2), (3, 4))]
    )
    for form in FORMATS:
        described = save_detections(tmp_path / form / NAMES[form], written, form, SideFiles(sizes=SIZES))
        same(load_detections([tmp_path / form / NAMES[form]], SideFiles(images=described)), written)


PHOTOS = {"0a1b": (64, 48), "img_2": (30, 100), "000000000139": (20, 10)}


@pytest.fixture
def photos(tmp_path):
    """Three images."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, size in PHOTOS.items():
        Image.new("RGB", size).save(folder / f"{name}.jpg")
    return folder


WRITTEN = [
    (0, 3, 0.5, (0, 1024), (0, 2048)),
    (1, 56, 1.0, (0, 4095), (5, 600)),
    (2, 0, 0.25, (1, 2000), (3, 4000)),
]


def test_pycocotools_loads_what_is_written_and_has_the_same_boxes(tmp_path, photos, capsys):
    coco = pytest.importorskip("pycocotools.coco")
    written = table(WRITTEN)
    described = save_detections(tmp_path / "d.json", written, "coco", SideFiles(sizes=FolderSizes(photos)))
    truth = coco.COCO(str(described))
    found = truth.loadRes(str(tmp_path / "d.json"))
    boxes = []
    for annotation in found.dataset["annotations"]:
        image = truth.loadImgs(annotation["image_id"])[0]
        x, y, w, h = annotation["bbox"]
        name = truth.loadCats(annotation["category_id"])[0]["name"]
        size = np.array([image["width"], image["height"]] * 2)
        boxes.append((image["file_name"], name, annotation["score"], np.array([x, y, x + w, y + h]) / size))
    expected = [
        (f"{IMAGES[i]}.jpg", CLASSES[label], score, box)
        for i, label, score, box in zip(written.image, written.label, written.score, written.box, strict=True)
    ]
    assert [b[:3] for b in boxes] == [e[:3] for e in expected]
    for ours, theirs in zip(boxes, expected, strict=True):
        assert ours[3] == pytest.approx(theirs[3], abs=1e-5)


def test_results_of_another_coco_data_set_keep_its_ids(tmp_path):
    """Made by pycocotools' own conventions: whole image ids, categories that skip numbers."""
    description = {
        "images": [
            {"id": 139, "file_name": "val/000000000139.jpg", "width": 640, "height": 426},
            {"id": 7, "file_name": "0a1b.png", "width": 100, "height": 50},
        ],
        "categories": [{"id": 90, "name": "man"}, {"id": 3, "name": "Guitar"}, {"id": 1, "name": "zebra"}],
    }
    results = [
        {"image_id": 7, "category_id": 90, "bbox": [10, 5, 50, 40], "score": 0.5},
        {"image_id": 139, "category_id": 3, "bbox": [0, 0, 640.4, 426], "score": 1},
        {"image_id": 139, "category_id": 1, "bbox": [0, 0, 9, 9], "score": 0.5},
    ]
    (tmp_path / "images.json").write_text(json.dumps(description))
    (tmp_path / "d.json").write_bytes(gzip.compress(json.dumps(results).encode()))
    beside = SideFiles(images=tmp_path / "images.json")
    found = load_detections([tmp_path / "d.json"], beside)
    assert as_rows(found) == [
        ("000000000139", CLASSES.index("Guitar"), 1.0, [0, 0, 1, 1]),
        ("0a1b", CLASSES.index("Man"), 0.5, [0.1, 0.1, 0.6, 0.9]),
    ]
    save_detections(tmp_path / "again.json", found, "coco", beside)
    written = json.loads((tmp_path / "again.json").read_text())
    assert [(r["image_id"], r["category_id"]) for r in written] == [(7, 90), (139, 3)]
    assert written[0]["bbox"] == pytest.approx([10, 5, 50, 40], abs=1e-3)
    whole = description | {"annotations": results}
    (tmp_path / "whole.json").write_text(json.dumps(whole))
    same(load_detections([tmp_path / "whole.json"]), found)


def test_image_ids_are_names_of_files_or_their_numbers(tmp_path, photos):
    (tmp_path / "names.json").write_text(json.dumps({"categories": [{"id": 1, "name": "Man"}]}))
    record = {"category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}
    results = [{"image_id": 139, **record}, {"image_id": "0a1b", **record}, {"image_id": "gone", **record}]
    (tmp_path / "d.json").write_text(json.dumps(results))
    beside = SideFiles(sizes=FolderSizes(photos), classes=tmp_path / "names.json")
    found = load_detections([tmp_path / "d.json"], beside)
    assert found.images == ("000000000139", "0a1b")
    assert found.box[0] == pytest.approx([1 / 20, 2 / 10, 4 / 20, 6 / 10])


def sv_data_set(photos, sv, boxes):
    """A data set of supervision, a box a class an image."""
    paths = [str(photos / f"{name}.jpg") for name in IMAGES]
    annotations = {
        path: sv.Detections(xyxy=np.array([box], float), class_id=np.array([label]))
        for path, (label, box) in zip(paths, boxes, strict=True)
    }
    return sv.DetectionDataset(classes=list(CLASSES), images=paths, annotations=annotations)


def test_what_supervision_writes_is_read(tmp_path, photos, capsys):
    sv = pytest.importorskip("supervision")
    boxes = [(3, [0, 0, 32, 24]), (56, [5, 10, 25, 90]), (0, [1, 1, 19, 9])]
    labels = tmp_path / "labels"
    sv_data_set(photos, sv, boxes).as_yolo(
        annotations_directory_path=str(labels), data_yaml_path=str(tmp_path / "data.yaml")
    )
    found = load_detections([labels], SideFiles(classes=tmp_path / "data.yaml"))
    expected = {name: box for name, (_, box) in zip(IMAGES, boxes, strict=True)}
    for image, label, score, box in zip(found.image, found.label, found.score, found.box, strict=True):
        name = found.images[image]
        size = np.array(PHOTOS[name] * 2)
        assert box == pytest.approx(expected[name] / size, abs=2e-5)
        assert (label, score) == (boxes[IMAGES.index(name)][0], 1)
    assert "3 of 3 boxes (100.0%) have no confidence and count as sure" in capsys.readouterr().err


def test_supervision_reads_what_is_written(tmp_path, photos):
    sv = pytest.importorskip("supervision")
    written = table(WRITTEN)
    save_detections(tmp_path / "labels", written, "yolo")
    names = (tmp_path / "labels" / "classes.txt").read_text().split("\n")[:-1]
    (tmp_path / "data.yaml").write_text(json.dumps({"names": names}))
    theirs = sv.DetectionDataset.from_yolo(str(photos), str(tmp_path / "labels"), str(tmp_path / "data.yaml"))
    assert tuple(theirs.classes) == CLASSES
    for i, name in enumerate(IMAGES):
        size = np.array(PHOTOS[name] * 2)
        found = theirs.annotations[str(photos / f"{name}.jpg")]
        assert found.class_id.tolist() == [WRITTEN[i][1]]
        assert found.xyxy[0] / size == pytest.approx(written.box[i], abs=1e-6)


def test_the_folder_of_a_yolo_prediction(tmp_path):
    """As ultralytics documents `yolo predict save_txt=True save_conf=True`: PREDICTION/labels/IMAGE.txt."""
    labels = tmp_path / "predict" / "labels"
    labels.mkdir(parents=True)
    (tmp_path / "predict" / "bus.jpg").write_bytes(b"")
    (labels / "bus.txt").write_text("0 0.5 0.5 1 1 0.94\n1 0.25 0.75 0.5 0.25 0.3\n")
    (labels / "empty.txt").write_text("")
    (tmp_path / "data.yaml").write_text("names:\n  0: Man\n  1: bus driver\n")
    found = load_detections([tmp_path / "predict"], SideFiles(classes=tmp_path / "data.yaml"))
    assert found.images == ("bus", "empty")
    assert as_rows(found) == [("bus", CLASSES.index("Man"), pytest.approx(0.94), [0, 0, 1, 1])]


@pytest.mark.parametrize("order", ["{mid} {score}", "{score} {mid}"])
def test_kaggle_with_the_label_or_the_score_first(tmp_path, order):
    box = order.format(mid=MIDS[3], score=0.5) + " 0.1 0.2 0.3 0.4"
    (tmp_path / "d.csv").write_text(f"ImageID,PredictionString\na,{box} {box}\nb,\nc, {box} \n")
    rows = read_rows(tmp_path / "d.csv")
    assert (rows.images, rows.image.tolist()) == (("a", "b", "c"), [0, 0, 2])
    assert rows.box.tolist() == [[0.1, 0.2, 0.3, 0.4]] * 3
    assert {rows.labels[i] for i in rows.label} == {MIDS[3]}


def one(path, text):
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


KAGGLE = "ImageId,PredictionString\n"
GOOD_BOX = f"{MIDS[0]} 0.5 0.1 0.2 0.3 0.4"
RELATION = f"0.5 {MIDS[0]} 0.1 0.2 0.3 0.4 {MIDS[1]} 0.1 0.2 0.3 0.4 at"
WRONG = [
    (
        "d.csv",
        KAGGLE + f"a,{GOOD_BOX}\nb,{GOOD_BOX} 1\n",
        "line 3, column PredictionString: token count is not",
    ),
    (
        "d.csv",
        KAGGLE + f"a,{GOOD_BOX}\nb,{GOOD_BOX} {MIDS[0]} x 0 0 1 1\n",
        "line 3.*box 2 of the line, Score: 'x'",
    ),
    ("d.csv", KAGGLE + f"a,{GOOD_BOX.replace('0.3', '1.3')}\n", "box 1 of the line, XMax: 1.3 is outside"),
    ("d.csv", KAGGLE + f"a,{GOOD_BOX.replace('0.5', '95')}\n", "Score: score 95 is outside.*percent"),
    ("d.csv", KAGGLE + f"a,{RELATION}\n", "kit score relations"),
    ("d.csv", KAGGLE + f"a/b,{GOOD_BOX}\n", "line 2, column ImageId: 'a/b' cannot be an image's id"),
    ("d.csv", "ImageID,LabelName,XMin,XMax,YMin,YMax\na,b,0,1,0,1\n", "column Score: the header lacks"),
    ("d.txt", "0 0.5 0.5 1 1 0.9\n", "looks like one image's YOLO labels; give the folder"),
    ("labels/a.txt", "0 0.5 0.5 1 1 0.9\n0 0.5 0.5 1\n", r"a\.txt, line 2: 4 values where a box has 6"),
    (
        "labels/a.txt",
        "0 0.5 0.5 1 1 0.9\n\n0 0.5 nan 1 1 1\n",
        r"a\.txt, line 3: 'nan' where a finite number",
    ),
    (
        "labels/a.txt",
        "57 0.5 0.5 1 1 0.9\n",
        "a.txt, line 1, column class: class 57, and there are names of 57",
    ),
    ("labels/a.txt", "0.5 0.5 0.5 1 1 0.9\n", "column class: class 0.5"),
    ("labels/a.txt", "0 320 240 100 100 0.9\n", r"line 1, column cx, w: 270 is outside \[0, 1\]: pixels"),
    ("labels/a.txt", "0 0.5 0.5 -0.1 1 0.9\n", "column cx, w: inverted box"),
    ("labels/a.txt", "0 0.5 0.5 1 1 7\n", "column conf: score 7 is outside"),
    ("labels/a.txt", "0 0.1 0.1 0.2 0.1 0.2 0.2 0.3 0.3\n", "9 values where a box has 6 .outlines"),
    ("none/classes.txt", "Man\n", r"no YOLO label file \(\*\.txt\)"),
    ("d.json", "[", "line 1: not COCO results"),
    ("d.json", "[1]", "not COCO results: no list of records"),
    ("d.json", "{}", "'annotations' is missing"),
    (
        "d.json",
        '[{"image_id": 1, "category_id": 1, "bbox": [0, 0, 9], "score": 1}]',
        "detection 1: expected 4 numbers",
    ),
    (
        "d.json",
        '[{"image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 9]}]',
        "detection 1: 'score' is missing",
    ),
    (
        "d.json",
        '[{"image_id": 1, "category_id": 7, "bbox": [0, 0, 9, 9], "score": 1}]',
        "category_id 7 is not defined",
    ),
    (
        "d.json",
        '[{"image_id": 8, "category_id": 1, "bbox": [0, 0, 9, 9], "score": 1}]',
        "image_id 8 is no image's",
    ),
    (
        "d.json",
        '[{"image_id": 1, "category_id": 1, "bbox": [0, 0, 90, 9], "score": 1}]',
        "detection 1: bbox: 4.5 is outside.*a bbox is x, y, width, height in pixels",
    ),
    (
        "d.json",
        '[{"image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 9], "score": 2}]',
        "score: score 2 is outside",
    ),
    (
        "d.json",
        '[{"image_id": 1, "category_id": 1, "bbox": [0, 0, -9, 9], "score": 2}]',
        "has a negative side",
    ),
    (
        "d.json",
        '[{"image_id": 1, "category_id": 1, "bbox": [0, 0, 0.5, 1], "score": 1}]',
        "first pixel: fractions",
    ),
]


@pytest.mark.parametrize(("name", "text", "message"), WRONG)
def test_what_cannot_be_right(tmp_path, name, text, message):
    description = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 20, "height": 10}],
        "categories": [{"id": 1, "name": "Man"}],
    }
    images = one(tmp_path / "images.json", json.dumps(description))
    classes = one(tmp_path / "names.txt", "".join(f"{name}\n" for name in CLASSES))
    path = one(tmp_path / name, text)
    given_path = path if path.parent == tmp_path and path.suffix != "" else path.parent
    with pytest.raises(KitError, match=message) as error:
        load_detections([given_path], SideFiles(images=images, classes=classes))
    assert "\n" not in str(error.value)


def test_what_stands_nowhere_is_asked_for(tmp_path, photos):
    results = one(
        tmp_path / "d.json", '[{"image_id": "0a1b", "category_id": 1, "bbox": [0, 0, 9, 9], "score": 1}]'
    )
    with pytest.raises(
        KitError, match="COCO results do not say the images' sizes; give a COCO file of images"
    ):
        load_detections([results])
    with pytest.raises(KitError, match="COCO results do not say the names of the categories"):
        load_detections([results], SideFiles(sizes=FolderSizes(photos)))
    one(tmp_path / "labels" / "a.txt", "0 0.5 0.5 1 1 0.9\n")
    with pytest.raises(
        KitError, match="no names of the classes of these YOLO labels; give a file of class names"
    ):
        load_detections([tmp_path / "labels"])
    with pytest.raises(KitError, match="are in pixels, and the images' sizes are not known"):
        save_detections(tmp_path / "new.json", table(WRITTEN), "coco")
    with pytest.raises(KitError, match="labels: there already; give a folder that is not there"):
        save_detections(tmp_path / "labels", table(WRITTEN), "yolo")
    assert not (tmp_path / "new.json").exists()


def test_what_is_left_out_is_counted(tmp_path, capsys):
    folder = tmp_path / "labels"
    one(folder / "a.txt", "0 0.5 0.5 1 1 0.9\n1 0.5 0.5 1 1 0.9\n")
    one(folder / "classes.txt", "zebra\nMan\n")
    assert len(load_detections([folder])) == 1
    text = (
        "1 of 2 rows (50.0%) are left out: label outside the challenge's 57 classes, first at a.txt, line 1"
    )
    assert f"{text} (zebra)" in capsys.readouterr().err
    sizes = {"0a1b": (64, 48)}
    save_detections(tmp_path / "d.json", table(WRITTEN), "coco", SideFiles(sizes=sizes))
    assert (
        "2 of 3 detections (66.7%) are left out: size of the image not known, first at img_2"
        in capsys.readouterr().err
    )
    with pytest.raises(KitError, match="of no image with detections the size is known"):
        save_detections(tmp_path / "d.json", table(WRITTEN), "coco", SideFiles(sizes={"x": (1, 1)}))
