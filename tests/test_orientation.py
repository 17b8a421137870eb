"""Images and boxes turned as Pillow turns images: the box stays on the same pixels."""

import numpy as np
import pytest
from PIL import Image, ImageOps

from kit.base.errors import FileFault
from kit.data.orientation import OF_ROTATION, read_rotations, upright

WIDE, HIGH = 40, 20


def marked():
    """An image with one bright box, and the box."""
    image = np.zeros((HIGH, WIDE, 3), np.uint8)
    image[2:8, 4:24] = 255
    return image, np.array([[4 / WIDE, 2 / HIGH, 24 / WIDE, 8 / HIGH]], np.float32)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_as_pillow_turns_by_exif(orientation):
    image, box = marked()
    stored = Image.fromarray(image)
    stored.getexif()[0x112] = orientation
    expected = np.asarray(ImageOps.exif_transpose(stored))
    turned, boxes = upright(image, box, orientation)
    assert (turned == expected).all()
    high, wide = turned.shape[:2]
    x1, y1, x2, y2 = np.round(boxes[0] * [wide, high, wide, high]).astype(int)
    assert (turned[y1:y2, x1:x2] == 255).all()
    assert (x2 - x1) * (y2 - y1) == (turned[..., 0] == 255).sum()
    assert boxes.dtype == np.float32


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_open_images_rotation_is_counterclockwise(degrees):
    image, box = marked()
    turned, boxes = upright(image, box, OF_ROTATION[degrees])
    assert (turned == np.rot90(image, degrees // 90)).all()
    assert boxes.shape == (1, 4)
    assert upright(image, np.zeros((0, 4), np.float32), OF_ROTATION[degrees])[1].shape == (0, 4)


def test_the_rotation_column(tmp_path):
    path = tmp_path / "images.csv"
    path.write_text(
        "ImageID,Subset,Rotation\na,train,270.0\nb,train,0.0\nc,train,\nd,train,nan\ne,train,90\n"
    )
    assert read_rotations(path) == {"a": 6, "b": 1, "c": 1, "d": 1, "e": 8}
    path.write_text("ImageID,Subset,Rotation\na,train,0\nb,train,45\n")
    with pytest.raises(
        FileFault, match=r"line 3, column Rotation: '45' where 0, 90, 180 or 270 degrees belong"
    ):
        read_rotations(path)
