import numpy as np
import pytest

from kit.data.world import draw_world
from kit.metric.detection_files import score_detection_files
from kit.metric.detection_tables import detection_scores
from kit.metric.hierarchy import read_hierarchy, relatives_among, spread
from kit.tables.official_writer import write_boxes, write_detections, write_image_labels
from kit.tables.schema import Boxes, Detections, ImageLabels, VerifiedLabels
from kit.vocabulary import vocabulary
from tests.imperfect import imperfect
from tests.kinds import CLASSES, KINDS, MIDS, hierarchy_json


def test_equals_the_score_of_the_same_tables_as_files(tmp_path):
    boxes = draw_world("val", 40, seed=4).boxes
    found = imperfect(boxes, 5)
    write_boxes(tmp_path / "boxes.csv", boxes)
    write_detections(tmp_path / "found.csv", found)
    files = score_detection_files([tmp_path / "boxes.csv"], tmp_path / "found.csv", [])
    tables = detection_scores(boxes, None, found, CLASSES)
    assert 0.1 < tables.mean_ap < 1
    assert tables.mean_ap == pytest.approx(files.mean_ap, abs=1e-3)  # the files round coordinates
    assert len(tables.ap) == len(files.ap)


def test_labels_say_what_counts_and_the_order_of_images_does_not_matter():
    box = np.array([[0, 0, 0.5, 0.5]], np.float32)
    truth = Boxes(("b", "a"), [0], [0], box, [False])
    found = Detections(("a", "b"), [0, 1, 0], [0, 0, 0], [0.9, 0.5, 0.4], np.repeat(box, 3, axis=0))
    assert detection_scores(truth, None, found, CLASSES).mean_ap == 1.0  # image a: nothing is verified
    verified = ImageLabels(("a",), [0], [0])
    assert detection_scores(truth, verified, found, CLASSES).mean_ap == 0.5


def test_the_first_attribute_is_no_class_of_the_next_image():
    box = np.array([[0, 0, 0.5, 0.5]], np.float32)
    truth = Boxes(("a", "b", "c"), [2], [0], box, [False])
    labels = ImageLabels(("a",), [0], [57])
    found = Detections(("b", "c"), [0, 1], [0, 0], [0.9, 0.5], np.repeat(box, 2, axis=0))
    scores = detection_scores(truth, labels, found, CLASSES)
    assert (scores.mean_ap, scores.counts["pred_kept"]) == (1.0, 1)


def test_attribute_labels_are_no_classes():
    box = np.array([[0, 0, 0.5, 0.5]], np.float32)
    truth = Boxes(("a",), [0], [3], box, [False])
    labels = ImageLabels(("a",), [0, 0], [3, 60])
    assert detection_scores(truth, labels, Detections.empty(("a",)), CLASSES).mean_ap == 0.0


CAR, VAN = CLASSES.index("Car"), CLASSES.index("Van")


def tree(path):
    """A hierarchy of the 57 in which some are kinds of others."""
    path.write_text(hierarchy_json())
    return read_hierarchy(path)


def test_a_van_is_a_car_and_no_car_is_no_van(tmp_path):
    """By hand. Without the hierarchy nothing is known of the van in image c, and every class is found.

    With it the van of a is a car too, and so is its detection: cars are found in a (0.9), not in c (0.85), in b
    (0.8), precision 1 and 2/3 at the two halves of the recall; and in c, where no car is, the van is wrong.
    """
    relatives = relatives_among(tree(tmp_path / "tree.json"), vocabulary().mids[:57])
    images, box = ("a", "b", "c"), np.array([[0, 0, 0.5, 0.5]], np.float32)
    truth = Boxes(images, [0, 1], [VAN, CAR], box.repeat(2, 0), [False, False])
    labels = VerifiedLabels(images, [0, 1, 2], [VAN, CAR, CAR], [True, True, False])
    found = Detections(images, [0, 2, 1], [VAN, VAN, CAR], [0.9, 0.85, 0.8], box.repeat(3, 0))
    plain = detection_scores(truth, labels, found, CLASSES)
    assert plain.ap == {"Car": 1.0, "Van": 1.0}
    scores = detection_scores(truth, labels, found, CLASSES, relatives)
    assert scores.ap == pytest.approx({"Car": 5 / 6, "Van": 1.0})
    assert scores.num_gt == {"Car": 2, "Van": 1}
    assert scores.mean_ap == pytest.approx(11 / 12)
    late = Detections(images, [0, 2, 1], [VAN, VAN, CAR], [0.8, 0.85, 0.9], box.repeat(3, 0))
    assert detection_scores(truth, labels, late, CLASSES, relatives).ap["Van"] == 0.5
    nothing = Detections.empty(images)
    assert detection_scores(truth, labels, nothing, CLASSES, relatives).mean_ap == 0
    with pytest.raises(ValueError, match="must say whether they are present"):
        detection_scores(truth, ImageLabels(images, [0], [VAN]), found, CLASSES, relatives)


def test_a_hierarchy_gives_the_score_of_the_same_tables_as_files(tmp_path):
    hierarchy = tree(tmp_path / "tree.json")
    relatives = relatives_among(hierarchy, vocabulary().mids[:57])
    boxes = draw_world("val", 150, seed=4).boxes
    found = imperfect(boxes, 5)
    rng = np.random.default_rng(1)
    image, label = (rng.integers(0, n, 500) for n in (150, 57))
    there = set(zip(boxes.image.tolist(), boxes.label.tolist(), strict=True))
    absent = np.array([(i, k) not in there for i, k in zip(image.tolist(), label.tolist(), strict=True)])
    labels = VerifiedLabels(boxes.images, image[absent], label[absent], np.zeros(absent.sum(), bool))
    present = VerifiedLabels(boxes.images, boxes.image, boxes.label, np.ones(len(boxes), bool))
    labels = VerifiedLabels.concat([labels, present])
    write_boxes(tmp_path / "boxes.csv", boxes)
    write_image_labels(tmp_path / "labels.csv", labels)
    kinds = {CLASSES.index(kind): CLASSES.index(name) for name, several in KINDS.items() for kind in several}
    rows = [found.take(found.label == kind) for kind in kinds]
    above = [
        Detections(r.images, r.image, np.full(len(r), k), r.score, r.box)
        for r, k in zip(rows, kinds.values(), strict=True)
    ]
    write_detections(tmp_path / "found.csv", Detections.concat([found, *above]))
    files = score_detection_files(
        [tmp_path / "boxes.csv"], tmp_path / "found.csv", [tmp_path / "labels.csv"], hierarchy
    )
    scores = detection_scores(boxes, labels, found, CLASSES, relatives)
    assert scores.counts == files.counts
    assert {MIDS[name]: n for name, n in scores.num_gt.items()} == files.num_gt
    for name, ap in scores.ap.items():
        assert ap == pytest.approx(files.ap[MIDS[name]], abs=5e-3), name  # the files round coordinates
    assert scores.num_gt["Car"] > detection_scores(boxes, labels, found, CLASSES).num_gt["Car"]


def test_a_class_that_the_hierarchy_has_not_is_alone(tmp_path):
    (tmp_path / "h.json").write_text('{"Subcategory": [{"LabelName": "x"}]}')
    relatives = relatives_among(read_hierarchy(tmp_path / "h.json"), ["x", "y"])
    assert relatives.ancestors == relatives.descendants == ((0,), (1,))


def test_rows_are_copied_to_the_targets_of_their_labels():
    rows, label = spread(np.array([2, 0, 1, 2]), [(0,), (1, 0), (2, 1, 0)])
    assert rows.tolist() == [0, 0, 0, 1, 2, 2, 3, 3, 3]
    assert label.tolist() == [2, 1, 0, 0, 1, 0, 2, 1, 0]
    rows, label = spread(np.zeros(0, np.uint16), [(0,)])
    assert len(rows) == len(label) == 0
