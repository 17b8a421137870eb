import types

import ensemble_boxes.ensemble_boxes_wbf as published
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.fusion.wbf import CONF_TYPES, fuse, fuse_detections, weights_of
from kit.tables.schema import Detections


class Stable(np.ndarray):
    """An array that sorts stably, to give the published code a defined order where scores tie."""

    def argsort(self, *args, **kwargs):
        return np.asarray(self).argsort(kind="stable")


STABLE_NUMPY = types.SimpleNamespace(
    **{name: getattr(np, name) for name in dir(np) if not name.startswith("__")}
)
STABLE_NUMPY.array = lambda *a, **k: np.array(*a, **k).view(Stable)
STABLE_NUMPY.concatenate = lambda *a, **k: np.concatenate(*a, **k).view(Stable)


def random_sources(rng, sources, most, ties, degenerate):
    out = []
    centres = rng.random((5, 4))
    for _ in range(sources):
        n = int(rng.integers(0, most + 1))
        near = centres[rng.integers(0, 5, n)] + rng.normal(0, 0.05, (n, 4))
        box = np.where(rng.random((n, 1)) < 0.7, near, rng.random((n, 4)))
        if not degenerate:
            box = np.sort(box.clip(0, 1).reshape(-1, 2, 2), axis=1).reshape(-1, 4)
        else:
            box = box.clip(-0.005, 1.005)
            box = np.where(rng.random((n, 1)) < 0.2, box.clip(0, 1).round(1)[:, [0, 1, 0, 3]], box)
        score = rng.random(n)
        out.append((box, score.round(1) if ties else score, rng.integers(0, 3, n)))
    return out


def ours(sources, weights, **settings):
    lengths = [len(s[1]) for s in sources]
    box, score, label = (np.concatenate(parts) for parts in zip(*sources, strict=True))
    source = np.repeat(np.arange(len(sources)), lengths)
    zeros = np.zeros(len(score), np.int64)
    return fuse(zeros, label, score, box, source, weights_of(weights, len(sources)), **settings)


@pytest.mark.filterwarnings("ignore:(X|Y|Zero)")
@pytest.mark.parametrize("conf_type", CONF_TYPES)
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("degenerate", [False, True])
def test_equals_ensemble_boxes(conf_type, ties, degenerate, monkeypatch):
    monkeypatch.setattr(published, "np", STABLE_NUMPY)
    rng = np.random.default_rng([CONF_TYPES.index(conf_type), ties, degenerate])
    for _ in range(200):
        sources = random_sources(rng, int(rng.integers(1, 6)), 12, ties, degenerate)
        sources = [(b, np.maximum(s, 0.01), x) for b, s, x in sources]
        weights = None if rng.random() < 0.3 else rng.uniform(0.2, 3, len(sources))
        iou, skip_box_threshold, overflow = (
            rng.choice([0.3, 0.55, 0.7]),
            rng.choice([0, 0.2]),
            bool(rng.random() < 0.3),
        )
        box, score, label = published.weighted_boxes_fusion(
            *zip(*sources, strict=True), weights, iou, skip_box_threshold, conf_type, overflow
        )
        got = ours(
            sources,
            weights,
            iou=iou,
            skip_box_threshold=skip_box_threshold,
            conf_type=conf_type,
            overflow=overflow,
        )
        assert np.allclose(got.score, score, rtol=1e-6, atol=0)
        assert np.allclose(got.box, box, atol=1e-6)
        assert np.array_equal(got.label, label)


def test_two_boxes_of_one_object_by_hand():
    a, b = np.array([[0.0, 0, 0.4, 0.4]]), np.array([[0.0, 0, 0.4, 0.44]])
    got = ours([(a, np.array([0.9]), np.array([1])), (b, np.array([0.3]), np.array([1]))], None)
    assert got.box == pytest.approx(np.array([[0, 0, 0.4, (0.9 * 0.4 + 0.3 * 0.44) / 1.2]]), abs=1e-6)
    assert got.score == pytest.approx([0.6])
    alone = ours([(a, np.array([0.9]), np.array([1])), (b[:0], np.zeros(0), np.zeros(0, int))], None)
    assert alone.score == pytest.approx([0.45])  # the second source did not see it


def test_many_images_are_fused_each_for_itself():
    rng = np.random.default_rng(0)
    per_image = [random_sources(rng, 3, 10, False, False) for _ in range(7)]
    tables = [
        Detections.concat(
            [
                Detections((f"i{i}",), np.zeros(len(s), int), label, s, box)
                for i, (box, s, label) in enumerate(image[k] for image in per_image)
            ]
        )
        for k in range(3)
    ]
    whole = fuse_detections(tables, [1, 2, 3])
    for i, sources in enumerate(per_image):
        sources = [(b.astype(np.float32), s.astype(np.float32), x) for b, s, x in sources]
        want = ours(sources, [1, 2, 3])
        got = whole.of_images((f"i{i}",))
        assert np.allclose(got.box, want.box, atol=1e-6)
        assert np.allclose(got.score, want.score, rtol=1e-6)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_a_source_beside_itself_changes_no_box_and_no_score(seed):
    box, score, label = random_sources(np.random.default_rng(seed), 1, 8, False, False)[0]
    label = np.arange(len(label))  # every box a class of its own
    once, twice = ours([(box, score, label)], None), ours([(box, score, label)] * 2, None)
    assert np.allclose(once.box, twice.box, atol=1e-6)
    assert np.allclose(once.score, twice.score, rtol=1e-6)


def test_nothing_to_fuse():
    nothing = (np.zeros((0, 4)), np.zeros(0), np.zeros(0, np.int64))
    assert len(ours([nothing], None).score) == 0
    assert len(fuse_detections([Detections.empty(("a",))])) == 0


def test_zero_scores_keep_the_first_box():
    box = np.array([[0.1, 0.1, 0.5, 0.5], [0.1, 0.1, 0.5, 0.52]])
    got = ours([(box, np.zeros(2), np.zeros(2, int))], None)
    assert got.score.tolist() == [0]
    assert np.isfinite(got.box).all()


ONE = (np.array([[0, 0, 1, 1.0]]), np.array([0.5]), np.array([0]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": [1, 2]}, "weights: expected 1, one a source, given 2"),
        ({"weights": [0]}, "weights: expected positive numbers"),
        ({"weights": [1e7]}, r"weights: expected positive numbers from 1e-06 to 1e\+06, given 1e\+07"),
        ({"weights": [1e-300]}, "weights: expected positive numbers"),
        ({"weights": [np.nan]}, "weights: expected positive numbers .* given nan"),
        ({"iou": 2}, r"iou: expected a number in \[0, 1\]"),
        ({"iou": np.nan}, r"iou: expected a number in \[0, 1\]"),
        ({"skip_box_threshold": np.nan}, r"skip_box_threshold: expected a number in \[0, 1\], given nan"),
        ({"skip_box_threshold": 50}, r"skip_box_threshold: expected a number in \[0, 1\]"),
        ({"conf_type": "median"}, "conf_type: expected one of avg"),
    ],
)
def test_wrong_settings_are_told(change, message):
    with pytest.raises(ValueError, match=message):
        ours([ONE], **{"weights": None, **change})


@pytest.mark.parametrize(
    ("box", "score", "message"),
    [
        (np.zeros((2, 4)), np.ones(1), r"box: expected shape \(1, 4\)"),
        (np.full((1, 4), np.nan), np.ones(1), "box: expected finite numbers"),
        (
            np.array([[0, 0, np.nan, 1]]),
            np.ones(1),
            "box: expected finite numbers, given 0, 0, nan, 1 in row 0",
        ),
        (np.ones((1, 4)), np.array([-0.004]), r"score: expected numbers in \[0, 1\], given -0.004 in row 0$"),
        (np.ones((1, 4)), np.array([-0.5]), r"score: expected numbers in \[0, 1\], given -0.5 in row 0$"),
        (np.ones((1, 4)), np.array([90.0]), r"score: .* given 90 in row 0 \(a percentage\?\)"),
        (np.array([[10, 10, 512, 77.0]]), np.ones(1), r"box: .* given 10, 10, 512, 77 in row 0 \(pixels\?\)"),
        (np.array([[-0.2, 0, 1, 1]]), np.ones(1), r"box: .* given -0.2, 0, 1, 1 in row 0$"),
        (np.ones((1, 4)), np.ones(2), r"score: expected shape \(1,\)"),
    ],
)
def test_wrong_rows_are_told(box, score, message):
    one = np.zeros(1, np.int64)
    with pytest.raises(ValueError, match=message):
        fuse(one, one, score, box, one, np.ones(1))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("source", 1, "source: expected numbers from 0 to 0, given 1 to 1"),
        ("source", -1, "source: expected numbers from 0 to 0"),
        ("image", -1, "image: expected numbers from 0 and more, given -1 to -1"),
        ("label", -2, "label: expected numbers from 0 and more"),
        ("score", np.nan, "score: expected finite numbers"),
        ("box", np.inf, "box: expected finite numbers"),
        ("box", -np.inf, "box: expected finite numbers"),
        ("score", -0.1, "score: expected numbers"),
    ],
)
def test_rows_that_cannot_be(name, value, message):
    rows = {
        "image": np.zeros(1, np.int64),
        "label": np.zeros(1, np.int64),
        "score": np.ones(1),
        "box": np.array([[0, 0, 1.0, 1.0]]),
        "source": np.zeros(1, np.int64),
    }
    rows[name][...] = value
    with pytest.raises(ValueError, match=message):
        fuse(*rows.values(), np.ones(1))


def test_the_first_row_that_does_not_fit_is_named_among_many():
    rng = np.random.default_rng(0)
    rows, zeros = np.sort(rng.random((50, 2, 2)), axis=1).reshape(50, 4), np.zeros(50, np.int64)
    rows[31, 2] = 1.3
    with pytest.raises(ValueError, match="in row 31"):
        fuse(zeros, zeros, rng.random(50), rows, zeros, np.ones(1))


def test_rounding_beyond_the_image_is_clipped():
    box, one = np.array([[-0.004, 0, 1.004, 1]]), np.zeros(1, np.int64)
    assert fuse(one, one, np.ones(1), box, one, np.ones(1)).box.tolist() == [[0, 0, 1, 1]]


def test_no_source_at_all():
    with pytest.raises(ValueError, match="sources: expected one or more"):
        fuse_detections([])
