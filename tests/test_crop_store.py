"""Crops from the store beside crops from the photos."""

import shutil
import tarfile
from collections import namedtuple

import cv2
import numpy as np
import pytest
from PIL import Image

from kit.base.errors import FileFault, KitError
from kit.config import Decoding
from kit.data.decode import UnreadableError, read_image
from kit.relation.crop_store import read_crop, write_crops
from kit.relation.crops import union_crop

SIZE = 64


@pytest.fixture
def pairs(tmp_path):
    """Three photos with two pairs each; the third is broken."""
    files = []
    for i in range(3):
        wide = np.linspace(0, 255, 120)[None, :, None] * np.array([1, 0.5, 0.2 * i])
        path = tmp_path / f"p{i}.jpg"
        Image.fromarray(np.broadcast_to(wide, (90, 120, 3)).astype(np.uint8)).save(path, quality=95)
        files += [path, path]
    files[4].write_bytes(b"broken")
    boxes = np.random.default_rng(0).random((6, 2, 2, 2)).astype(np.float32)
    boxes = np.sort(boxes, axis=2).reshape(6, 2, 4)
    return files, boxes[:, 0], boxes[:, 1]


def stored(folder, pairs, wanted):
    return write_crops(folder, *pairs, np.asarray(wanted, np.intp), SIZE, Decoding(), 2)


def test_a_stored_crop_is_the_photos_to_within_what_jpeg_loses(pairs, tmp_path):
    folder = tmp_path / "crops"
    places = stored(folder, pairs, [3, 0, 1, 4])
    assert (places[:, -1] > 0).tolist() == [True, True, False, True, False, False]
    for row in (0, 1, 3):
        crop = union_crop(read_image(pairs[0][row], Decoding()), pairs[1][row], pairs[2][row], SIZE)
        expected = cv2.imdecode(cv2.imencode(".jpg", crop, [cv2.IMWRITE_JPEG_QUALITY, 95])[1], 1)
        kept = read_crop(folder, places[row].tolist(), Decoding())
        assert np.array_equal(kept, expected)
        assert np.abs(kept.astype(int) - crop).mean() < 8
    (shard,) = folder.glob("*.tar")
    with tarfile.open(shard) as tar:
        assert sorted(tar.getnames()) == ["0.jpg", "1.jpg", "3.jpg"]


def test_nothing_to_store(pairs, tmp_path):
    assert not stored(tmp_path / "crops", pairs, []).any()


def test_a_writing_goes_on_where_it_was(pairs, tmp_path):
    folder = tmp_path / "crops"
    places = stored(folder, pairs, [0, 1, 2])
    (shard,) = folder.glob("*.tar")
    written = shard.stat().st_mtime_ns
    assert np.array_equal(stored(folder, pairs, [0, 1, 2]), places)
    assert shard.stat().st_mtime_ns == written
    (index,) = folder.glob("*.npy")
    whole = index.read_bytes()
    index.unlink()
    assert np.array_equal(stored(folder, pairs, [0, 1, 2]), places)
    assert index.read_bytes() == whole
    index.write_bytes(b"x")
    with pytest.raises(FileFault, match="not a whole index of crops"):
        stored(folder, pairs, [0, 1, 2])


def test_a_damaged_or_missing_shard(pairs, tmp_path):
    folder = tmp_path / "crops"
    place = stored(folder, pairs, [0])[0].tolist()
    with pytest.raises(UnreadableError):
        read_crop(folder, [0, 0, 100], Decoding())
    with pytest.raises(UnreadableError, match="its stored crop cannot be read"):
        read_crop(tmp_path / "elsewhere", place, Decoding())


def test_a_disk_without_room(pairs, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(1000, 999, 1))
    with pytest.raises(KitError, match="2 crops need about") as error:
        stored(tmp_path / "crops", pairs, [0, 1])
    assert "relation.visual.crops" in str(error.value)
