"""Drawings: geometry that must hold for any objects and relations, and what is seen in the pixels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.report.drawing import DrawnObject, DrawnRelation, colour_of, draw, ink_on, lay_out, score_text
from kit.vocabulary import PREDICATES, vocabulary

NAMES = vocabulary().names


def box(*corners):
    return np.array(corners, np.float32)


@st.composite
def scenes(draw):
    unit = st.floats(0, 1, width=32)
    objects = []
    for _ in range(draw(st.integers(0, 6))):
        (x1, x2), (y1, y2) = (sorted(draw(st.tuples(unit, unit))) for _ in range(2))
        tags = tuple(draw(st.lists(st.sampled_from(NAMES[57:]), max_size=2)))
        score = draw(st.none() | unit)
        objects.append(DrawnObject(draw(st.sampled_from(NAMES[:57])), box(x1, y1, x2, y2), score, tags))
    places = st.integers(0, len(objects) - 1)
    relation = st.builds(
        DrawnRelation,
        places,
        places,
        st.sampled_from(PREDICATES),
        st.none() | unit,
        st.none() | st.booleans(),
    )
    return objects, draw(st.lists(relation, max_size=6)) if objects else []


@given(scenes(), st.tuples(st.integers(1, 3000), st.integers(1, 3000)))
@settings(max_examples=60)
def test_labels_lie_inside_and_arrows_end_in_their_boxes(scene, size):
    objects, relations = scene
    layout = lay_out(size, objects, relations)
    wide, high = layout.size
    assert 720 <= max(layout.image[2:] - layout.image[:2]) <= 1280
    for label in layout.labels:
        x1, y1, x2, y2 = label.rect
        assert -1e-6 <= x1 < x2 <= wide + 1e-6
        assert -1e-6 <= y1 < y2 <= high + 1e-6
    assert set(layout.pairs) == {(r.subject, r.object) for r in relations}
    for (subject, target), arrow in zip(layout.pairs, layout.arrows, strict=True):
        for end, i in ((arrow[:2], subject), (arrow[2:], target)):
            assert (layout.boxes[i][:2] - 1e-6 <= end).all()
            assert (end <= layout.boxes[i][2:] + 1e-6).all()


def test_labels_of_few_things_do_not_overlap():
    objects = [DrawnObject("Man", box(0.1, 0.2, 0.5, 0.9)), DrawnObject("Guitar", box(0.1, 0.2, 0.5, 0.9))]
    objects += [DrawnObject("Table", box(0.1, 0.2, 0.4, 0.8), 0.5, ("Wooden", "Plastic"))]
    relations = [DrawnRelation(i, j, "on", 0.3) for i in range(3) for j in range(3) if i != j]
    rects = [label.rect for label in lay_out((160, 120), objects, relations).labels]
    for i, a in enumerate(rects):
        for b in rects[:i]:
            common = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
            assert (common <= 1e-6).any()


def test_a_label_that_stands_away_from_its_box_tells_of_the_nearest_point_of_it():
    objects = [DrawnObject(name, box(0, 0, 0.03, 0.01)) for name in ("Drum", "Desk") * 6]
    layout = lay_out((720, 720), objects, [])
    away = 0
    for label, (x1, y1, x2, y2) in zip(layout.labels, layout.boxes, strict=True):
        left, top, right, low = label.rect
        assert label.target == pytest.approx([min((left + right) / 2, x2), min((top + low) / 2, y2)])
        assert (label.target >= [x1, y1]).all()
        away += top > y2 + 2 * layout.font_size
    assert away


def test_a_label_goes_beside_its_box_rather_than_far_below_it():
    corners = [(60, 420, 540, 655), (35, 0, 304, 173), (61, 264, 591, 592), (591, 28, 922, 339)]
    corners += [(83, 169, 639, 544), (12, 0, 295, 100)]
    objects = [
        DrawnObject("Table", box(*c) / (1024, 768, 1024, 768), None, ("Wooden 0.08",)) for c in corners
    ]
    layout = lay_out((1024, 768), objects, [])
    for label, (x1, y1, x2, y2) in zip(layout.labels, layout.boxes, strict=True):
        left, top, right, low = label.rect
        assert max(left - x2, x1 - right, top - y2, y1 - low) < low - top


def test_both_directions_of_a_pair_are_two_arrows_apart():
    objects = [DrawnObject("Man", box(0, 0, 0.3, 0.3)), DrawnObject("Woman", box(0.6, 0.6, 1, 1))]
    layout = lay_out((800, 800), objects, [DrawnRelation(0, 1, "hits"), DrawnRelation(1, 0, "hits")])
    there, back = layout.arrows
    assert np.hypot(*(there[:2] - back[2:])) > layout.font_size


def test_a_relation_whose_boxes_are_equal_still_has_an_arrow():
    objects = [DrawnObject("Man", box(0.2, 0.2, 0.8, 0.8)), DrawnObject("Suit", box(0.2, 0.2, 0.8, 0.8))]
    ((x1, y1, x2, y2),) = lay_out((500, 500), objects, [DrawnRelation(0, 1, "wears")]).arrows
    assert np.hypot(x2 - x1, y2 - y1) > 50


def test_predicates_of_a_pair_share_a_label_the_surest_first():
    objects = [DrawnObject("Man", box(0, 0, 0.5, 1)), DrawnObject("Guitar", box(0.4, 0.4, 1, 1))]
    relations = [DrawnRelation(0, 1, "holds", 0.25, False), DrawnRelation(0, 1, "plays", 0.75, True)]
    label = lay_out((640, 480), objects, relations).labels[-1]
    assert [line.text for line in label.lines] == ["✓ plays 0.75", "✗ holds 0.25"]


def test_the_image_stays_where_nothing_is_drawn():
    image = np.full((720, 960, 3), (10, 200, 90), np.uint8)
    assert (draw(image, [], []) == image).all()


def test_a_box_is_drawn_in_the_colour_of_its_class():
    drawn = draw(np.zeros((720, 720, 3), np.uint8), [DrawnObject("Guitar", box(0.25, 0.25, 0.75, 0.75))], [])
    assert tuple(drawn[360, 182]) == colour_of("Guitar")  # the left edge, two pixels in
    assert not drawn[360, 300:400].any()


@pytest.mark.parametrize("size", [(1, 1), (20, 800), (800, 20)])
def test_a_narrow_image_gets_a_margin(size):
    drawn = draw(
        np.zeros((size[1], size[0], 3), np.uint8), [DrawnObject("Musical instrument", box(0, 0, 1, 1))], []
    )
    assert max(drawn.shape) >= 720
    assert min(drawn.shape[:2]) >= 20


def test_a_relation_of_no_object():
    with pytest.raises(ValueError, match=r"\(0, 1\), but there are 1"):
        lay_out((10, 10), [DrawnObject("Man", box(0, 0, 1, 1))], [DrawnRelation(0, 1, "on")])


def test_text_is_readable_on_every_colour():
    def luminance(colour):
        c = np.array(colour) / 255
        c = np.where(c <= 0.03928, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
        return float(c @ [0.2126, 0.7152, 0.0722])

    for name in (*NAMES, *PREDICATES):
        ground = colour_of(name)
        low, high = sorted((luminance(ground), luminance(ink_on(ground))))
        assert (high + 0.05) / (low + 0.05) >= 4.5  # WCAG AA


@pytest.mark.parametrize(("score", "text"), [(None, ""), (0.931, " 0.93"), (0.004, " <0.01"), (1.0, " 1.00")])
def test_scores(score, text):
    assert score_text(score) == text
