import ensemble_boxes
import numpy as np
import pytest

from kit.fusion.published import combine
from kit.tables.schema import Detections


def sources():
    rng = np.random.default_rng(0)
    out = []
    for names in (("a", "b"), ("b", "a", "c")):
        box = np.sort(rng.random((20, 2, 2)), axis=1).reshape(-1, 4)
        out.append(
            Detections(names, rng.integers(0, len(names), 20), rng.integers(0, 3, 20), rng.random(20), box)
        )
    return out


@pytest.mark.parametrize("method", ["nms", "soft-nms", "nmw"])
def test_every_image_is_what_ensemble_boxes_gives(method):
    tables, weights = sources(), [1.0, 2.0]
    out = combine(tables, weights, method, iou=0.5, skip_box_threshold=0.01)
    assert out.images == ("a", "b", "c")
    for i, image in enumerate(out.images):
        parts = [
            t.take(t.image == t.images.index(image)) if image in t.images else t.take([]) for t in tables
        ]
        lists = [[getattr(p, n).astype(np.float64) for p in parts] for n in ("box", "score", "label")]
        if method == "nmw":
            expected = ensemble_boxes.non_maximum_weighted(
                *lists, weights=weights, iou_thr=0.5, skip_box_thr=0.01
            )
        elif method == "nms":
            expected = ensemble_boxes.nms(*lists, weights=weights, iou_thr=0.5)
        else:
            expected = ensemble_boxes.soft_nms(*lists, weights=weights, iou_thr=0.5, sigma=0.5, thresh=0.01)
        own = out.take(out.image == i)
        assert len(own) == len(expected[1])
        assert np.allclose(np.sort(own.score), np.sort(expected[1]), atol=1e-6)
        assert (np.diff(own.score) <= 0).all()


@pytest.mark.parametrize("method", ["nms", "soft-nms", "nmw"])
def test_the_usual_settings_and_what_is_left_out(method):
    """Scores from 0.0001 on; boxes with a width and a height."""
    box = np.array([[0, 0, 0.5, 0.5], [0.6, 0.6, 1, 1], [0.2, 0, 0.2, 1], [0, 0.3, 1, 0.3], [0, 0.6, 0.3, 1]])
    table = Detections(("a",), [0] * 5, [1] * 5, [0.9, 0.8, 0.7, 0.6, 0.00009], box)
    out = combine([table], None, method)
    assert out.score.tolist() == pytest.approx([0.9, 0.8])
    assert np.allclose(out.box, box[:2])
    near = combine([sources()[0]], None, method)
    told = combine([sources()[0]], [1.0], method, iou=0.55, skip_box_threshold=1e-4)
    assert np.array_equal(near.score, told.score)


@pytest.mark.parametrize("method", ["nms", "nmw"])
@pytest.mark.parametrize(("side", "left"), [(0.6, 1), (0.54, 2)])
def test_boxes_are_one_object_where_they_overlap_by_more_than_0_55(method, side, left):
    table = Detections(("a",), [0] * 2, [1] * 2, [0.9, 0.8], np.array([[0, 0, 1, 1], [0, 0, 1, side]]))
    assert len(combine([table], None, method)) == left


def test_nothing_to_combine_and_wrong_weights():
    assert len(combine([Detections.empty(("a",))], None, "nms")) == 0
    with pytest.raises(ValueError, match="weights"):
        combine(sources(), [1.0], "nms")
