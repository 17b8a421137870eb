"""Images put together."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from kit.report.drawing import font_of
from kit.report.panels import (
    CAPTION,
    GAP,
    captioned,
    contact_sheet,
    save_png,
    side_by_side,
    thumbnail,
    wrapped,
)


def plain(high, wide, value):
    return np.full((high, wide, 3), value, np.uint8)


@given(st.text(max_size=80), st.integers(40, 400))
@settings(max_examples=40)
def test_a_caption_is_in_lines_that_fit_and_nothing_is_lost(text, wide):
    lines = wrapped(text, wide)
    assert "".join("".join(lines).split()) == "".join(text.split())
    assert all(font_of(CAPTION).getlength(line) <= wide for line in lines)


def test_a_caption_leaves_the_image_as_it_is():
    image = plain(50, 300, 77)
    assert (captioned(image, "a caption of words " * 5)[-50:] == image).all()


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_sheet_holds_every_image(count):
    sheet = contact_sheet([plain(10 + i, 20, 100 + i) for i in range(count)])
    for i in range(count):
        assert (sheet == 100 + i).all(-1).sum() == 20 * (10 + i)


def test_side_by_side_is_one_row():
    assert side_by_side([plain(10, 20, 1), plain(30, 40, 2)]).shape == (30, 60 + GAP, 3)


def test_thumbnails_are_small_enough_and_keep_their_form():
    assert thumbnail(plain(1000, 2000, 9)).shape == (240, 480, 3)
    assert thumbnail(plain(10, 20, 9)).shape == (10, 20, 3)


def test_a_png_is_read_back(tmp_path):
    save_png(tmp_path / "in/a.png", plain(3, 4, 200))
    assert (np.asarray(Image.open(tmp_path / "in/a.png")) == plain(3, 4, 200)).all()
