"""Photos decoded once, shown under every view and put into batches, against cv2's reading and plain loops."""

from itertools import islice
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kit.config import Decoding, Inference, View
from kit.detector import photo_batches
from kit.detector.photo_batches import Batches, decoded_photos

CPU = torch.device("cpu")
VIEWS = [
    View(size=(64, 64)),
    View(size=(64, 64), flip=True),
    View(size=(32, 32), flip=True),
    View(size=(32, 32)),
]


@pytest.fixture
def photo(tmp_path):
    """Write a photo of noise, its pixels kept exactly: its path."""

    def write(name, high, wide):
        pixels = np.random.default_rng(high).integers(0, 255, (high, wide, 3)).astype(np.uint8)
        path = tmp_path / f"{name}.png"
        assert cv2.imwrite(str(path), pixels)
        return path

    return write


def decoded(files, views=VIEWS, **settings):
    return list(decoded_photos(files, views, Inference(**settings), Decoding(), CPU))


def shown(path, high, wide):
    """A photo of this size as a detector takes it: (3, height, width)."""
    return cv2.resize(cv2.imread(str(path)), (wide, high), interpolation=cv2.INTER_LINEAR).transpose(2, 0, 1)


def test_every_view_is_resized_and_mirrored_as_it_says(photo):
    path = photo("a", 64, 48)
    ((size, inputs),) = decoded([path])
    assert tuple(size) == (64, 48)
    assert all(image.dtype == torch.uint8 and image.is_contiguous() for image in inputs)
    large, small = shown(path, 64, 48), shown(path, 32, 24)
    expected = [large, large[:, :, ::-1], small[:, :, ::-1], small]
    for image, pixels in zip(inputs, expected, strict=True):
        assert np.array_equal(image.numpy(), pixels)


def test_a_photo_is_decoded_once_and_resized_once_a_size(photo, monkeypatch):
    files, calls = [photo("a", 70, 50), photo("b", 40, 80)], {"read_image": [], "resized": []}

    def counted(name):
        real = getattr(photo_batches, name)

        def call(*arguments):
            calls[name].append(arguments)
            return real(*arguments)

        monkeypatch.setattr(photo_batches, name, call)

    counted("read_image")
    counted("resized")
    decoded(files)
    assert [path for path, _ in calls["read_image"]] == files
    assert sorted(sides for _, *sides in calls["resized"]) == [[32, 32]] * 2 + [[64, 64]] * 2


def test_photos_come_in_the_order_of_their_files_and_with_reasons_of_their_own(photo, tmp_path):
    broken, empty = tmp_path / "broken.jpg", tmp_path / "empty.jpg"
    broken.write_bytes(b"broken")
    empty.write_bytes(b"")
    files = [photo("a", 40, 30), None, broken, photo("b", 30, 40), tmp_path / "gone.jpg", empty, tmp_path]
    alone, beside = decoded(files), decoded(files, workers=2)
    reasons = ["not there", "not readable as an image", "not there", "empty", "not a file"]
    assert [photo for photo in alone if isinstance(photo, str)] == reasons
    assert [tuple(photo[0]) for photo in alone if not isinstance(photo, str)] == [(40, 30), (30, 40)]
    for one, other in zip(alone, beside, strict=True):
        if isinstance(one, str):
            assert one == other
        else:
            assert one[0] == other[0]
            assert all(map(torch.equal, one[1], other[1]))
    assert decoded([]) == []


def test_a_photo_that_is_too_large_is_not_decoded(photo):
    photos = decoded_photos([photo("a", 40, 30)], VIEWS, Inference(), Decoding(max_pixels=1199), CPU)
    assert list(photos) == ["30 x 40 pixels are more than data.max_pixels (1199)"]


@given(
    st.lists(st.sampled_from(["upright", "wide", "square", "unreadable"]), max_size=25),
    st.integers(1, 6),
    st.integers(1, 3),
)
def test_batches_are_of_one_orientation_and_lose_nothing(kinds, batch_size, views):
    sizes = {"upright": (3, 2), "wide": (2, 3), "square": (2, 2)}  # a square is taken with the wide ones
    photos = [
        f"reason {i}"
        if kind == "unreadable"
        else (sizes[kind], [torch.full((3, *sizes[kind]), 10 * view + i) for view in range(views)])
        for i, kind in enumerate(kinds)
    ]
    batches = Batches(photos, views, batch_size)
    found = list(batches)
    numbers = {
        is_upright: [i for i, k in enumerate(kinds) if k != "unreadable" and (k == "upright") == is_upright]
        for is_upright in (True, False)
    }
    for is_upright, expected in numbers.items():
        own = [batch for batch in found if (kinds[batch.numbers[0]] == "upright") == is_upright]
        cut = [expected[i : i + batch_size] for i in range(0, len(expected), batch_size)]
        assert [batch.numbers for batch in own] == cut
    for batch in found:
        assert batch.sizes == [sizes[kinds[i]] for i in batch.numbers]
        assert [len(images) for images in batch.inputs] == [len(batch.numbers)] * views
        for view, images in enumerate(batch.inputs):
            assert [int(image.max()) for image in images] == [10 * view + i for i in batch.numbers]
    assert batches.unread == {i: f"reason {i}" for i, kind in enumerate(kinds) if kind == "unreadable"}
    assert batches.waited >= 0


def test_a_batch_is_given_out_once_it_is_full():
    """A detector works while later photos are not yet there."""
    asked = []

    def photos():
        for i in range(6):
            asked.append(i)
            yield (2, 3), [torch.zeros(3, 2, 3)]

    batches = iter(Batches(photos(), 1, 2))
    assert next(batches).numbers == [0, 1]
    assert asked == [0, 1]
    assert [batch.numbers for batch in batches] == [[2, 3], [4, 5]]


def test_one_pass_is_cut_into_shards():
    photos = iter([((2, 3), [torch.zeros(3, 2, 3)])] * 5)
    shards = [list(Batches(islice(photos, 3), 1, 2)) for _ in range(3)]
    assert [[batch.numbers for batch in batches] for batches in shards] == [[[0, 1], [2]], [[0, 1]], []]


def test_the_time_of_waiting_is_that_of_the_photos_alone(monkeypatch):
    """By a clock of the test: a photo takes 2 seconds, an unreadable one 1, and the work on a batch 100."""
    now = [0.0]
    monkeypatch.setattr(photo_batches, "time", SimpleNamespace(perf_counter=lambda: now[0]))

    def photos():
        for size in ((2, 3), (3, 2), None, (2, 3), (2, 3)):
            now[0] += 2 if size else 1
            yield (size, [torch.zeros(3, *size)]) if size else "empty"

    batches = Batches(photos(), 1, 2)
    for _ in batches:
        now[0] += 100
    assert batches.waited == 4 * 2 + 1
    nothing = Batches([], 1, 2)
    assert (list(nothing), nothing.unread, nothing.waited) == ([], {}, 0)
