"""Cells of regions, against plain loops and torchvision; what is stored, beside what is seen anew."""

import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision.ops import roi_align

from kit.base.errors import KitError
from kit.base.progress import set_meter
from kit.config import Decoding, Visual
from kit.data.decode import UnreadableError, read_image
from kit.detector.annotated_images import read_skipped
from kit.detector.architecture import build, model_config, prepare
from kit.rehearsal.meter import LoopMeter
from kit.relation.region_store import read_cells, write_regions
from kit.relation.regions import SIDE, RegionTrunk, cell_channels, enclosing, join, look_at, masks

pytestmark = pytest.mark.filterwarnings("ignore")
RNG = np.random.default_rng(0)
PHOTO = RNG.integers(0, 255, (40, 80, 3)).astype(np.uint8)
SUBJECT = np.asarray([[0, 0, 0.5, 1], [0.25, 0.5, 1, 1]], np.float32)
OBJECT = np.asarray([[0.5, 0.25, 1, 1], [0, 0, 0.5, 0.5]], np.float32)


def detector(name):
    prepare()
    torch.manual_seed(0)
    model = build(model_config(name, 57, 1e-4, 10)).eval()
    return model, model.state_dict()


@pytest.fixture(scope="module", params=["resnext-mini", "hrnet-mini"])
def pair(request):
    """A detector and a trunk with its weights."""
    model, state = detector(request.param)
    trunk = RegionTrunk(request.param)
    trunk.start_from(state)
    return model, trunk


def test_cells_are_those_of_the_detectors_own_features(pair):
    """Mmdet's preprocessing, backbone and neck; torchvision's RoIAlign of the three boxes on the finest level."""
    model, trunk = pair
    looks = [look_at(PHOTO, SUBJECT, OBJECT, (80, 40), flip=False)]
    found = trunk.cells(looks)
    assert found.shape == (2, trunk.channels, SIDE, SIDE) == (2, 3 * 32 + 2, SIDE, SIDE)
    with torch.inference_mode():
        batch = model.data_preprocessor({"inputs": [looks[0][0]]})
        finest = model.extract_feat(batch["inputs"])[0]
        scale = torch.tensor([80, 40, 80, 40])
        union = [[0, 0, 1, 1], [0, 0, 1, 1]]
        for i, boxes in enumerate((SUBJECT, OBJECT, union)):
            regions = [torch.tensor(boxes, dtype=torch.float32) * scale]
            there = roi_align(finest, regions, SIDE, 1 / 4, 2, aligned=True)
            off = (found[:, 32 * i : 32 * i + 32] - there).abs().max() / there.abs().max()
            assert off < 0.02  # padding is the mean to half a grey level


def test_pairs_and_images_do_not_change_each_other(pair):
    _, trunk = pair
    tall = RNG.integers(0, 255, (60, 50, 3)).astype(np.uint8)
    looks = [look_at(image, SUBJECT, OBJECT, (64, 64), flip=False) for image in (PHOTO, PHOTO, tall)]
    none = look_at(PHOTO, SUBJECT[:0], OBJECT[:0], (64, 64), flip=False)
    for module in trunk.modules():  # whose padding is not zero after the first layer
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.bias, 0.5, 1.0)
    together = trunk.cells([*looks, none])
    for i, look in enumerate(looks):
        alone, beside = trunk.cells([look]), together[2 * i : 2 * i + 2]
        assert (alone - beside).abs().max() < 1e-5 * alone.abs().max()
    assert len(together) == 6
    assert torch.equal(together[:2], together[2:4])
    one = look_at(PHOTO, SUBJECT[1:], OBJECT[1:], (64, 64), flip=False)
    assert torch.allclose(trunk.cells([one, *looks[1:]])[0], together[1], atol=1e-5)
    assert trunk.cells([none]).shape == (0, trunk.channels, SIDE, SIDE)


def test_weights_of_another_architecture():
    trunk = RegionTrunk("hrnet-mini")
    with pytest.raises(KitError, match="the detector is of another architecture"):
        trunk.start_from(detector("resnext-mini")[1])


def test_full_size_necks_are_wider():
    assert cell_channels("resnext101-64x4d") == 3 * 256 + 2


def test_an_image_of_the_wanted_size_is_shown_as_it_is_with_boxes_in_its_pixels():
    image, subject, object_ = look_at(PHOTO, SUBJECT, OBJECT, (80, 40), flip=False)
    assert np.array_equal(image.permute(1, 2, 0).numpy(), PHOTO)
    assert subject.tolist() == [[0, 0, 40, 40], [20, 20, 80, 40]]
    assert object_.tolist() == [[40, 10, 80, 40], [0, 0, 40, 20]]


def test_mirrored_boxes_hold_the_same_pixels():
    image, *plain = look_at(PHOTO, SUBJECT, OBJECT, (80, 40), flip=False)
    mirrored, *turned = look_at(PHOTO, SUBJECT, OBJECT, (80, 40), flip=True)
    for one, two in zip(torch.cat(plain).int().tolist(), torch.cat(turned).int().tolist(), strict=True):
        there = image[:, one[1] : one[3], one[0] : one[2]]
        assert torch.equal(mirrored[:, two[1] : two[3], two[0] : two[2]].flip(2), there)


def test_a_large_image_is_made_smaller():
    image, subject, _ = look_at(PHOTO, SUBJECT, OBJECT, (40, 40), flip=False)
    assert image.shape == (3, 20, 40)
    assert subject.tolist() == [[0, 0, 20, 20], [10, 10, 40, 20]]


def test_images_of_several_shapes_are_padded_by_the_mean():
    other = RNG.integers(0, 255, (60, 70, 3)).astype(np.uint8)
    looks = [
        look_at(PHOTO, SUBJECT, OBJECT, (80, 80), False),
        look_at(other, SUBJECT[:1], OBJECT[:1], (70, 60), False),
    ]
    images, number, subject, object_ = join(looks)
    assert images.shape == (2, 3, 64, 96)  # multiples of 32, 64 at least
    assert number.tolist() == [0, 0, 1]
    for image, photo in zip(images.permute(0, 2, 3, 1).numpy(), (PHOTO, other), strict=True):
        high, wide = photo.shape[:2]
        assert np.array_equal(image[:high, :wide], photo)
        assert (image[high:] == [104, 116, 124]).all()
        assert (image[:, wide:] == [104, 116, 124]).all()
    assert subject[2].tolist() == [0, 0, 35, 60]
    assert object_[2].tolist() == [35, 15, 70, 60]


@settings(max_examples=30)
@given(st.lists(st.integers(0, 60), min_size=8, max_size=8))
def test_masks_are_counted_on_a_fine_grid(corners):
    low_high = np.sort(np.asarray(corners).reshape(2, 2, 2), axis=1)
    low_high[:, 1] += 1
    subject, object_ = torch.from_numpy(low_high.reshape(2, 1, 4).astype(np.float32))
    union, fine = enclosing(subject, object_)[0].numpy(), 16
    steps = (np.arange(fine * SIDE) + 0.5) / (fine * SIDE)
    xs, ys = (union[i] + steps * (union[i + 2] - union[i]) for i in (0, 1))
    for mask, box in zip(masks(subject, object_)[0], (subject, object_), strict=True):
        x1, y1, x2, y2 = box[0].numpy()
        dots = ((ys >= y1) & (ys < y2))[:, None] & ((xs >= x1) & (xs < x2))
        share = dots.reshape(SIDE, fine, SIDE, fine).mean(axis=(1, 3))
        assert np.abs(mask.numpy() - share).max() <= 2 / fine + 1e-3  # a border a cell and axis, or two


def test_one_box_fills_its_mask_and_two_halves_a_half_each():
    box = torch.tensor([[3.0, 4.0, 20.0, 30.0]])
    assert torch.allclose(masks(box, box), torch.ones(1, 2, SIDE, SIDE), atol=1e-5)
    left, right = torch.tensor([[0.0, 0.0, 7.0, 14.0]]), torch.tensor([[7.0, 0.0, 14.0, 14.0]])
    row = torch.tensor([1, 1, 1, 0.5, 0, 0, 0])
    assert torch.allclose(
        masks(left, right)[0], torch.stack([row, row.flip(0)])[:, None].expand(2, SIDE, SIDE)
    )


STORED = Visual(features="regions", image_size=(64, 64))


@pytest.fixture
def files(tmp_path):
    """Three photos with two pairs each; the second is broken."""
    paths = [tmp_path / f"p{i}.png" for i in range(3)]
    for i, path in enumerate(paths):
        Image.fromarray(RNG.integers(0, 255, (40, 50 + i, 3)).astype(np.uint8)).save(path)
    paths[1].write_bytes(b"broken")
    return [path for path in paths for _ in range(2)]


@pytest.fixture(scope="module")
def trunk():
    found = RegionTrunk("resnext-mini")
    found.start_from(detector("resnext-mini")[1])
    return found


def stored(folder, trunk, files, wanted):
    pairs = (files, np.tile(SUBJECT, (3, 1)), np.tile(OBJECT, (3, 1)), np.asarray(wanted, np.intp))
    return write_regions(folder / "store", trunk, *pairs, STORED, Decoding(), folder / "skipped.csv")


def test_stored_cells_are_those_that_are_seen(files, trunk, tmp_path):
    places = stored(tmp_path, trunk, files, [5, 0, 2, 3, 1])
    assert (places[:, -1] > 0).tolist() == [True, True, False, False, False, True]
    assert read_skipped(tmp_path / "skipped.csv") == {"p1": "not readable as an image"}
    for row in (0, 1, 5):
        image = read_image(files[row], Decoding())
        boxes = (boxes[[row % 2]] for boxes in (SUBJECT, OBJECT))
        subject, object_ = boxes
        for flip in (False, True):
            seen = trunk.cells([look_at(image, subject, object_, (64, 64), flip)])[0].numpy()
            kept = read_cells(tmp_path / "store", places[row].tolist(), flip)
            assert kept.dtype == np.float32
            assert np.abs(kept - seen).max() < 2e-3 * max(1, np.abs(seen).max())


def test_an_image_of_many_pairs_is_looked_at_in_portions(files, trunk, tmp_path, monkeypatch):
    whole = stored(tmp_path, trunk, files, [5, 0, 1, 4])
    monkeypatch.setattr("kit.relation.region_store.PAIRS", 1)
    (tmp_path / "few").mkdir()
    places = stored(tmp_path / "few", trunk, files, [5, 0, 1, 4])
    assert np.array_equal(places[:, -1], whole[:, -1])
    for row in (0, 1, 4, 5):
        kept = [
            read_cells(folder / "store", place[row].tolist(), True)
            for folder, place in ((tmp_path, whole), (tmp_path / "few", places))
        ]
        assert np.abs(kept[0] - kept[1]).max() < 2e-3 * max(1, np.abs(kept[0]).max())


def test_nothing_to_store(files, trunk, tmp_path):
    assert not stored(tmp_path, trunk, files, []).any()


def test_a_writing_goes_on_where_it_was(files, trunk, tmp_path):
    meter = LoopMeter(1e9, time.monotonic)
    set_meter(meter)
    places = stored(tmp_path, trunk, files, [0, 5])
    set_meter(None)
    (shard,) = (tmp_path / "store").glob("*.bin")
    assert [loop.kept for loop in meter.loops] == [shard.stat().st_size]
    written, whole = shard.stat().st_mtime_ns, shard.read_bytes()
    assert np.array_equal(stored(tmp_path, trunk, files, [0, 5]), places)
    assert shard.stat().st_mtime_ns == written
    (index,) = (tmp_path / "store").glob("*.npy")
    index.unlink()
    assert np.array_equal(stored(tmp_path, trunk, files, [0, 5]), places)
    assert shard.read_bytes() == whole


def test_a_damaged_or_missing_shard(files, trunk, tmp_path):
    place = stored(tmp_path, trunk, files, [0])[0].tolist()
    with pytest.raises(UnreadableError, match="its stored regions cannot be read"):
        read_cells(Path(tmp_path / "elsewhere"), place, False)
    (shard,) = (tmp_path / "store").glob("*.bin")
    shard.write_bytes(shard.read_bytes()[:100])
    with pytest.raises(UnreadableError, match="cut short"):
        read_cells(tmp_path / "store", place, True)
