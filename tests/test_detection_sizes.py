import numpy as np
import pytest

from kit.data.world import draw_world
from kit.metric.detection_sizes import SIZES, scores_by_size
from kit.metric.detection_tables import detection_scores
from kit.tables.schema import Boxes, Detections, ImageLabels
from kit.vocabulary import vocabulary
from tests.imperfect import imperfect

NAMES = vocabulary().names[: vocabulary().classes]
SMALL, LARGE, AWAY = (0.0, 0.0, 0.05, 0.05), (0.1, 0.1, 0.9, 0.9), (0.5, 0.0, 0.6, 0.05)


def boxes(*rows):
    label, box = zip(*rows, strict=True)
    n = len(rows)
    return Boxes(("a",), np.zeros(n, int), np.array(label), np.array(box, np.float32), np.zeros(n, bool))


def detections(*rows):
    label, box, score = zip(*rows, strict=True)
    n = len(rows)
    return Detections(("a",), np.zeros(n, int), np.array(label), np.array(score), np.array(box, np.float32))


def test_what_is_of_another_size_neither_helps_nor_harms():
    truth = boxes((3, SMALL), (3, LARGE))
    found = detections((3, LARGE, 0.9), (3, AWAY, 0.8), (3, SMALL, 0.7))
    by_size = scores_by_size(truth, None, found, NAMES)
    assert by_size["large"].ap == {NAMES[3]: 1.0}  # the small wrong one is not in the way
    assert by_size["small"].ap == {NAMES[3]: 0.5}  # it is here
    assert by_size["medium"].ap == {}


def test_a_class_of_another_size_is_verified_still():
    truth = boxes((3, LARGE), (4, SMALL))
    found = detections((4, AWAY, 0.9), (4, SMALL, 0.8), (3, AWAY, 0.9))
    by_size = scores_by_size(truth, ImageLabels.empty(("a",)), found, NAMES)
    assert by_size["small"].ap == {NAMES[4]: 0.5}
    assert by_size["small"].counts["pred_kept"] == 3


def test_objects_of_one_size_score_as_ever():
    world = draw_world("val", 40, seed=1).boxes
    share = (world.box[:, 2] - world.box[:, 0]) * (world.box[:, 3] - world.box[:, 1])
    medium = world.take((share > 0.03) & (share < 0.07))
    found = imperfect(medium, 2)
    own = found.take(SIZES[1].has(found.box))
    plain = detection_scores(medium, None, own, NAMES)
    by_size = scores_by_size(medium, None, own, NAMES)
    assert by_size["medium"].ap == pytest.approx(plain.ap)
    assert by_size["large"].num_gt == by_size["small"].num_gt == {}
