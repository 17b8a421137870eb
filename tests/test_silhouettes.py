import numpy as np
import pytest

from kit.data.silhouettes import FINE, draw, invented, silhouettes
from kit.vocabulary import vocabulary


def test_every_class_has_a_look_of_its_own():
    shapes = silhouettes()
    assert set(shapes) == set(vocabulary().names[:57])
    assert len({shape.strokes for shape in shapes.values()}) == 57
    for shape in shapes.values():
        assert 0.1 < shape.aspect < 10
        assert 0 < shape.height <= 0.5
        points = np.asarray([p for stroke in shape.strokes for p in stroke.points])
        assert points.min() >= 0
        assert points.max() <= 100


@pytest.mark.parametrize("name", ["Man", "Table", "Snake"])
def test_a_drawing_fills_its_box_and_the_mask_is_its_main_tone(name):
    main = (200, 10, 90)
    image, mask = draw(silhouettes()[name], (60, 40), main)
    assert image.size == mask.size == (60 * FINE, 40 * FINE)
    pixels, shown = np.asarray(image), np.asarray(mask) > 0
    rows, columns = np.nonzero(pixels[..., 3])
    assert rows.min() <= 3 * FINE
    assert rows.max() >= 36 * FINE
    assert columns.min() <= 4 * FINE
    assert columns.max() >= 55 * FINE
    assert shown.any()
    assert (pixels[shown][:, :3] == main).all()


def test_an_invented_look_depends_on_the_name_alone():
    assert invented("pizza") == invented("pizza")
    assert invented("pizza").strokes != invented("zebra").strokes
