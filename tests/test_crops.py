import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.config import Decoding
from kit.data.decode import read_image
from kit.relation.crops import union_crop
from tests.paths import OPENIMAGES, needs_openimages

WHITE = np.full((100, 200, 3), 255, np.uint8)


def test_outside_the_two_boxes_all_is_black():
    """Two 40 × 40 boxes at opposite corners of a 100 × 100 union: in the crop two white squares."""
    crop = union_crop(WHITE, np.array([0, 0, 0.2, 0.4]), np.array([0.3, 0.6, 0.5, 1]), 100)
    assert crop.shape == (100, 100, 3)
    expected = np.zeros((100, 100), np.uint8)
    expected[:40, :40] = expected[60:, 60:] = 255
    assert np.array_equal(crop[..., 0], expected)


def test_the_pixels_are_the_images_own():
    image = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    crop = union_crop(image, np.array([0, 0, 1, 1]), np.array([0.5, 0.5, 0.6, 0.6]), 64)
    assert np.array_equal(crop, image)


def test_the_aspect_is_kept_and_the_rest_is_black():
    crop = union_crop(WHITE, np.array([0, 0, 1, 0.5]), np.array([0, 0, 0.1, 0.1]), 80)
    rows = crop[..., 0].max(axis=1)
    assert (rows > 0).sum() == 20  # 200 × 50 pixels become 80 × 20
    assert rows[29] == 0
    assert rows[30] == 255


CORNER = st.floats(0, 1, width=32)


@given(st.lists(CORNER, min_size=8, max_size=8), st.sampled_from([(7, 5), (1, 40), (30, 30)]))
def test_any_boxes_give_a_crop(sides, shape):
    boxes = np.sort(np.asarray(sides, np.float32).reshape(2, 2, 2), axis=1).reshape(2, 4)
    crop = union_crop(np.full((*shape, 3), 9, np.uint8), boxes[0], boxes[1], 32)
    assert crop.shape == (32, 32, 3)
    assert 0 < crop.max() <= 9  # a line of one pixel is blended with the black beside it


@needs_openimages
@pytest.mark.parametrize("split", ["train", "validation"])
def test_the_real_photos(split):
    import csv

    folder = OPENIMAGES / "photos" / split
    with (folder / "vrd.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if (folder / f"{row['ImageID']}.jpg").exists()]
    assert len(rows) >= 10
    for row in rows:
        image = read_image(folder / f"{row['ImageID']}.jpg", Decoding())
        one, two = (
            np.array([float(row[f"{side}{i}"]) for side in ("XMin", "YMin", "XMax", "YMax")]) for i in "12"
        )
        crop = union_crop(image, one, two, 224)
        assert crop.shape == (224, 224, 3)
        assert crop.std() > 5
