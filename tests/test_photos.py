"""Many photos from a server that has not all of them, and sends some of them badly."""

import asyncio
import io

import numpy as np
import pytest
from PIL import Image

from kit.download.fetch import FetchError
from kit.download.photos import Album, fetch_photos, read_missing, scaled, whole_jpeg
from kit.patience import Patience
from tests.badserver import serving

HASTY = Patience(connect=1, read=0.5, tries=3, wait=0.01)


def jpeg(i, size=(64, 48)):
    file = io.BytesIO()
    pixels = np.random.default_rng(i).integers(0, 255, (size[1], size[0], 3)).astype(np.uint8)
    Image.fromarray(pixels).save(file, "JPEG")
    return file.getvalue()


NAMES = [f"{i:016x}" for i in range(40)]


@pytest.fixture
def server():
    with serving() as answers:
        answers.files |= {f"/train/{name}.jpg": jpeg(i) for i, name in enumerate(NAMES)}
        yield answers


def get(server, folder, names=NAMES, **options):
    album = Album(f"{server.url}/train", folder, options.pop("longest", None))
    return asyncio.run(fetch_photos(album, names, 8, HASTY, **options))


def test_all_photos_many_at_once(server, tmp_path):
    for name in NAMES[:8]:
        server.tricks[f"/train/{name}.jpg"] = ["slow 0.2"]
    seen = []
    tally = get(server, tmp_path / "p", progress=lambda t: seen.append(t.got))
    assert (tally.got, tally.there, tally.missing, tally.failures()) == (40, 0, 0, 0)
    assert 1 < server.most <= 8
    assert max(seen) == 40
    for name in NAMES:
        assert (tmp_path / "p" / f"{name}.jpg").read_bytes() == server.files[f"/train/{name}.jpg"]
    again = get(server, tmp_path / "p")
    assert (again.got, again.there) == (0, 40)
    assert sum(server.seen.values()) == 40


def test_what_is_gone_is_noted_and_not_asked_for_again(server, tmp_path):
    del server.files[f"/train/{NAMES[3]}.jpg"]
    server.tricks[f"/train/{NAMES[5]}.jpg"] = ["status 403"]
    assert get(server, tmp_path).missing == 2
    assert (tmp_path / "missing.csv").read_text().splitlines()[0] == "ImageID,Reason"
    assert set(read_missing(tmp_path)) == {NAMES[3], NAMES[5]}
    assert get(server, tmp_path).missing == 2
    assert server.seen[f"/train/{NAMES[3]}.jpg"] == 1
    tally = get(server, tmp_path, ask_again=True)
    assert (tally.got, tally.missing) == (1, 1)
    assert set(read_missing(tmp_path)) == {NAMES[3]}


@pytest.mark.parametrize(
    "trick", ["cut 500", "reset", "status 503", "status 429 0", "slow 2", "page", "short"]
)
def test_faults_are_outlived(server, tmp_path, trick):
    for name in NAMES[:4]:
        server.tricks[f"/train/{name}.jpg"] = [trick, trick]
    assert get(server, tmp_path, NAMES[:8]).got == 8
    for name in NAMES[:8]:
        assert (tmp_path / f"{name}.jpg").read_bytes() == server.files[f"/train/{name}.jpg"]


def test_what_stays_broken_is_told_by_cause_and_tried_again_by_the_next_call(server, tmp_path):
    for name in NAMES[:3]:
        server.tricks[f"/train/{name}.jpg"] = ["status 500"] * 3
    server.tricks[f"/train/{NAMES[9]}.jpg"] = ["short"] * 3
    tally = get(server, tmp_path)
    assert tally.failures() == 4
    assert tally.causes == {"HTTP 500": 3, "a photo was cut off": 1}
    assert dict(tally.failed)[NAMES[9]] == "a photo was cut off"
    assert not (tmp_path / f"{NAMES[0]}.jpg").exists()
    assert get(server, tmp_path).got == 4
    assert not list(tmp_path.glob(".*.part"))


def test_photos_are_made_smaller_on_the_way(server, tmp_path):
    server.files["/train/big.jpg"] = jpeg(1, (300, 200))
    get(server, tmp_path, ["big", NAMES[0]], longest=100)
    with Image.open(tmp_path / "big.jpg") as big:
        assert big.size == (100, 67)
    assert (tmp_path / f"{NAMES[0]}.jpg").read_bytes() == server.files[f"/train/{NAMES[0]}.jpg"]
    assert scaled(b"no photo", 10) == b"no photo"


def test_what_is_a_whole_jpeg():
    data = jpeg(0)
    assert whole_jpeg(data) == data
    assert whole_jpeg(data + b"\0" * 100)  # some cameras write on behind the end
    for bad, cause in (
        (data[:-50], "cut off"),
        (b"<html>", "web page"),
        (b"", "not a JPEG"),
        (b"GIF89a", "not a"),
    ):
        with pytest.raises(FetchError, match=cause):
            whole_jpeg(bad)


def test_a_folder_is_a_mirror_too(tmp_path):
    (tmp_path / "m").mkdir()
    (tmp_path / "m/a.jpg").write_bytes(jpeg(0))
    album = Album(str(tmp_path / "m"), tmp_path / "out")
    tally = asyncio.run(fetch_photos(album, ["a", "b"], 4, HASTY))
    assert (tally.got, tally.missing) == (1, 1)


def test_nothing_to_get(server, tmp_path):
    assert get(server, tmp_path, []).got == 0
