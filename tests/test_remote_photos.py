"""Photos in a bucket: listed, read through the cache, left out where they are missing or damaged."""

import os

import cv2
import numpy as np
import pytest

from kit.base.errors import KitError
from kit.base.remote_place import local_place
from kit.base.retry import RemoteError
from kit.base.store import Store
from kit.config import Config, Decoding, load_config
from kit.data import photos as photos_module
from kit.data import remote_photos
from kit.data.decode import UnreadableError, read_image
from kit.data.image_sizes import FolderSizes
from kit.data.photos import is_photo_folder, list_photos, photo_path
from kit.download.selection import PhotoFilter, wanted_splits
from kit.pipeline.images import images_key
from kit.pipeline.run import Run
from kit.pipeline.stage import ImagesInput

NAMES = (
    "aa1.jpg",
    "aa/aa2.jpg",
    "train_0/bb3.jpeg",
    "aa/cc4.jpg",
    ".hidden.jpg",
    "notes.txt",
    "deep/er/aa5.jpg",
)


def picture(value, side=8):
    return cv2.imencode(".png", np.full((side, 2 * side, 3), value, np.uint8))[1].tobytes()


@pytest.fixture(autouse=True)
def _forget():
    """What a new process knows."""
    remote_photos._known.clear()
    photos_module._known_photos.cache_clear()


@pytest.fixture
def store(bucket):
    store = Store(f"{bucket}/train")
    for i, name in enumerate(NAMES):
        store.write(name, picture(i))
    return store


@pytest.fixture
def folder(store):
    return local_place(store.address, "photos")


def beside(store, path):
    """The same photos in a folder of this machine."""
    for name in store.entries():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(store.read(name))
    return path


def test_they_are_those_of_a_local_folder(store, folder, tmp_path):
    local = list_photos(beside(store, tmp_path / "local"))
    photos = list_photos(folder)
    assert is_photo_folder(folder)
    assert photos.places == local.places
    assert photos.sizes() == local.sizes()
    assert photos.sizes(["aa2", "no"]) == local.sizes(["aa2", "no"])
    for name in photos.places:
        assert (read_image(photos.path(name), Decoding()) == read_image(local.path(name), Decoding())).all()
    assert photos.path("no") is None
    assert photo_path(folder, "bb3") == photos.path("bb3")
    sizes, there = FolderSizes(folder), FolderSizes(tmp_path / "local")
    assert sorted(sizes) == sorted(there)
    assert sizes["aa1"] == there["aa1"] == (16, 8)


def test_a_fingerprint_counts_names_and_sizes_wherever_they_lie(store, folder, tmp_path):
    beside(store, tmp_path / "local")
    run = Run(Config(), tmp_path / "run")
    found = [
        images_key(run, place, "x", lambda: ["aa1", "aa2", "zz"]) for place in (folder, tmp_path / "local")
    ]
    assert found[0] == found[1]
    assert found[0]["there"] == 2


def test_a_photo_is_fetched_once(store, folder, monkeypatch):
    path = list_photos(folder).path("aa1")
    assert not path.exists()
    image = read_image(path, Decoding())
    monkeypatch.setattr(Store, "read", None)
    assert (read_image(path, Decoding()) == image).all()
    assert path.stat().st_size == len(picture(0))


def test_missing_and_damaged_ones_are_left_out_a_store_that_fails_is_not(store, folder, monkeypatch):
    photos = list_photos(folder)
    store.write("aa1.jpg", b"damaged")
    store.remove(["aa/aa2.jpg"])
    with pytest.raises(UnreadableError, match="not readable as an image"):
        read_image(photos.path("aa1"), Decoding())
    with pytest.raises(UnreadableError, match="not there"):
        read_image(photos.path("aa2"), Decoding())
    with pytest.raises(UnreadableError, match="16 x 8 pixels are more"):
        read_image(photos.path("bb3"), Decoding(max_pixels=100))
    with pytest.raises(UnreadableError, match="not there"):
        read_image(folder, Decoding())

    def refuse(*_):
        raise RemoteError("the network is no more")

    monkeypatch.setattr(Store, "read", refuse)
    with pytest.raises(RemoteError, match="no more"):
        read_image(local_place(f"{store.address}/other.jpg", "photos"), Decoding())


def test_a_photo_that_is_replaced_is_fetched_anew(store, folder, monkeypatch):
    before = read_image(list_photos(folder).path("aa1"), Decoding())
    store.write("aa1.jpg", picture(200))
    remote_photos._known.clear()
    monkeypatch.setattr(remote_photos, "AGE", 0.0)
    after = read_image(list_photos(folder).path("aa1"), Decoding())
    assert (before == 0).all()
    assert (after == 200).all()


@pytest.fixture
def near(monkeypatch, tmp_path):
    """Photos in a store in memory."""
    monkeypatch.setenv("KIT_CACHE", str(tmp_path / "cache"))
    store = Store(f"memory://{tmp_path.name}/train")
    store.write("aa/aa2.jpg", picture(7))
    return store


@pytest.mark.parametrize("left", [b"", picture(7)[:20], picture(7) + b"0"])
def test_a_photo_whose_length_is_not_the_listed_one_is_fetched_anew(near, left):
    path = list_photos(local_place(near.address, "photos")).path("aa2")
    assert (read_image(path, Decoding()) == 7).all()
    path.write_bytes(left)
    assert (read_image(path, Decoding()) == 7).all()
    assert path.read_bytes() == picture(7)


def test_names_that_lead_elsewhere_are_not_listed(near, monkeypatch, tmp_path):
    """Neither read, nor removed once the store says that they have changed."""
    folder = local_place(near.address, "photos")
    (tmp_path / "mine.jpg").write_bytes(b"mine")
    out = os.path.relpath(tmp_path / "mine.jpg", folder)
    real = Store.entries
    for _ in range(2):  # with another tag each time
        near.write("aa/other.jpg", picture(8))
        other = real(near)["aa/other.jpg"]
        with monkeypatch.context() as patch:
            patch.setattr(Store, "entries", lambda self, other=other: {**real(self), out: other})
            patch.setattr(remote_photos, "AGE", 0.0)
            remote_photos._known.clear()
            assert set(remote_photos.remote_files(folder)) == {"aa/aa2.jpg", "aa/other.jpg"}
            assert set(FolderSizes(folder)) == {"aa2", "other"}
    assert (tmp_path / "mine.jpg").read_bytes() == b"mine"


def test_a_listing_serves_as_long_as_it_is_worth(store, folder, monkeypatch):
    listed = []
    real = Store.entries
    monkeypatch.setattr(Store, "entries", lambda self: (listed.append(1), real(self))[1])
    clock = [1000.0]
    monkeypatch.setattr(remote_photos.time, "time", lambda: clock[0])
    monkeypatch.setattr(remote_photos.time, "monotonic", lambda: clock[0])
    list_photos(folder)
    clock[0] += 4
    list_photos(folder)
    assert len(listed) == 1  # within one process
    remote_photos._known.clear()
    list_photos(folder)
    assert len(listed) == 2  # another one does not trust a listing that cost nothing
    monkeypatch.setattr(Store, "entries", lambda self: (clock.__setitem__(0, clock[0] + 60), real(self))[1])
    clock[0] += 10
    list_photos(folder)  # one that took a minute
    remote_photos._known.clear()
    monkeypatch.setattr(Store, "entries", None)
    clock[0] += 1000
    assert len(list_photos(folder)) == 3


def test_workers_of_a_loader_read_them(store, folder):
    """Forked after the store was asked: the driver's threads are not in the child."""
    path = list_photos(folder).path("bb3")
    pid = os.fork()
    if not pid:
        code = 1
        try:
            code = 0 if (read_image(path, Decoding()) == 2).all() else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert path.exists()


def test_what_a_stage_says_is_missing(bucket):
    def missing(address):
        folder = local_place(address, "photos")
        return ImagesInput("data.val.images", folder, (), list).missing()

    assert missing(f"{bucket}/nothing") == f"{bucket}/nothing: no photos there; set data.val.images"
    assert missing("s3://nowhere-at-all/x").startswith("s3://nowhere-at-all/x: no such bucket; make it")


def test_photos_are_not_downloaded_into_a_store(tiny):
    config = load_config("mini", ["data.val.images=s3://bucket/val"])
    with pytest.raises(
        KitError, match=r"data.val.images is s3://bucket/val: photos are downloaded into folders"
    ):
        wanted_splits(config, "photos", PhotoFilter(splits=["val"]))
