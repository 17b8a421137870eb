import numpy as np
import pytest

from kit.data.world import draw_world
from kit.metric.detection_files import score_detection_files
from kit.metric.detection_tables import detection_scores
from kit.tables.official_writer import write_boxes, write_detections
from kit.tables.schema import Boxes, Detections, ImageLabels
from kit.vocabulary import vocabulary
from tests.imperfect import imperfect

CLASSES = vocabulary().names[:57]


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
