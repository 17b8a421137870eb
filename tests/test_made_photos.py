"""Made photos: JPEGs of real size and weight, and many names for a few of them."""

import io

import numpy as np
import pytest
from PIL import Image

from kit.data.photos import list_photos
from kit.rehearsal.made_photos import LONG, SHORT, link_photos, make_photos


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return make_photos(tmp_path_factory.mktemp("photos"), 5)


def test_photos_weigh_what_real_ones_do(photos):
    sizes = [Image.open(io.BytesIO(path.read_bytes())).size for path in photos]
    assert set(sizes) == {(LONG, SHORT), (SHORT, LONG)}
    assert np.mean([path.stat().st_size for path in photos]) == pytest.approx(293_000, rel=0.1)


def test_photos_differ(photos):
    assert len({path.read_bytes() for path in photos}) == 5


@pytest.mark.parametrize("count", [0, 1, 20])
def test_every_id_has_a_photo(photos, tmp_path, count):
    names = [f"{i * 997:016x}" for i in range(count)]
    for _ in range(2):  # the second time they are there
        link_photos(tmp_path / "links", names, photos)
    assert set(list_photos(tmp_path / "links").places) == set(names)
