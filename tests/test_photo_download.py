"""Many photos from a server that has not all of them, and sends some of them badly."""

import asyncio

import pytest
from PIL import Image

from kit.base.errors import KitError
from kit.base.retry import RetryPolicy
from kit.data.photos import photo_place
from kit.download.photo_download import MAX_NOT_FOUND, PhotoRequest, PhotoSource, fetch_photos
from kit.download.photo_store import read_missing
from tests.badserver import serving
from tests.jpegs import jpeg

HASTY = RetryPolicy(connect_timeout=1, read_timeout=0.5, attempts=3, backoff=0.01)


NAMES = [f"{i:016x}" for i in range(40)]


@pytest.fixture
def server():
    with serving() as answers:
        answers.files |= {f"/train/{name}.jpg": jpeg(i) for i, name in enumerate(NAMES)}
        yield answers


def get(server, folder, names=NAMES, on_photo=lambda _: None, **options):
    source = PhotoSource(f"{server.url}/train", folder, options.pop("max_side", None))
    return asyncio.run(fetch_photos(PhotoRequest(source, 8, HASTY, **options), names, on_photo))


def test_all_photos_many_at_once(server, tmp_path):
    for name in NAMES[:8]:
        server.tricks[f"/train/{name}.jpg"] = ["slow 0.2"]
    seen = []
    stats = get(server, tmp_path / "p", on_photo=lambda t: seen.append(t.got))
    assert (stats.got, stats.there, stats.missing, stats.failures()) == (40, 0, 0, 0)
    assert 1 < server.most <= 8
    assert max(seen) == 40
    for name in NAMES:
        assert photo_place(tmp_path / "p", name).read_bytes() == server.files[f"/train/{name}.jpg"]
    again = get(server, tmp_path / "p")
    assert (again.got, again.there) == (0, 40)
    assert sum(server.seen.values()) == 40


@pytest.mark.parametrize("status", [403, 404, 410])
@pytest.mark.parametrize("place", [0, 5, 39])
def test_a_passing_refusal_is_asked_again_before_it_counts(server, tmp_path, status, place):
    server.tricks[f"/train/{NAMES[place]}.jpg"] = [f"status {status}"]
    stats = get(server, tmp_path)
    assert (stats.got, stats.missing, stats.failures(), stats.stopped) == (40, 0, 0, "")
    assert not (tmp_path / "missing.csv").exists()
    assert server.seen[f"/train/{NAMES[place]}.jpg"] == 2


def test_what_fails_otherwise_when_asked_again_is_not_taken_for_gone(server, tmp_path):
    server.tricks[f"/train/{NAMES[5]}.jpg"] = ["status 404", *["status 500"] * 3]
    stats = get(server, tmp_path)
    assert (stats.got, stats.missing, stats.causes) == (39, 0, {"HTTP 500": 1})
    assert list(read_missing(tmp_path)) == []


def test_what_is_gone_is_noted_and_not_asked_for_again(server, tmp_path):
    del server.files[f"/train/{NAMES[3]}.jpg"]
    server.tricks[f"/train/{NAMES[5]}.jpg"] = ["status 403"] * 2
    assert get(server, tmp_path).missing == 2
    assert (tmp_path / "missing.csv").read_text().splitlines()[0] == "ImageID,Reason"
    assert set(read_missing(tmp_path)) == {NAMES[3], NAMES[5]}
    assert get(server, tmp_path).missing == 2
    assert server.seen[f"/train/{NAMES[3]}.jpg"] == 2
    stats = get(server, tmp_path, ask_again=True)
    assert (stats.got, stats.missing) == (1, 1)
    assert set(read_missing(tmp_path)) == {NAMES[3]}


@pytest.mark.parametrize(
    "trick", ["cut 500", "reset", "status 503", "status 429 0", "slow 2", "page", "short"]
)
def test_faults_are_outlived(server, tmp_path, trick):
    for name in NAMES[:4]:
        server.tricks[f"/train/{name}.jpg"] = [trick, trick]
    assert get(server, tmp_path, NAMES[:8]).got == 8
    for name in NAMES[:8]:
        assert photo_place(tmp_path, name).read_bytes() == server.files[f"/train/{name}.jpg"]


def test_what_stays_broken_is_told_by_cause_and_tried_again_by_the_next_call(server, tmp_path):
    for name in NAMES[:3]:
        server.tricks[f"/train/{name}.jpg"] = ["status 500"] * 3
    server.tricks[f"/train/{NAMES[9]}.jpg"] = ["short"] * 3
    stats = get(server, tmp_path)
    assert stats.failures() == 4
    assert stats.causes == {"HTTP 500": 3, "a photo was cut off": 1}
    assert stats.first["a photo was cut off"] == NAMES[9]
    assert not photo_place(tmp_path, NAMES[0]).exists()
    assert get(server, tmp_path).got == 4
    assert not list(tmp_path.rglob(".*.part"))


def test_photos_are_made_smaller_on_the_way(server, tmp_path):
    server.files["/train/big.jpg"] = jpeg(1, (300, 200))
    get(server, tmp_path, ["big", NAMES[0]], max_side=100)
    with Image.open(photo_place(tmp_path, "big")) as big:
        assert big.size == (100, 67)
    assert photo_place(tmp_path, NAMES[0]).read_bytes() == server.files[f"/train/{NAMES[0]}.jpg"]


def test_a_folder_is_a_mirror_too(tmp_path):
    (tmp_path / "m").mkdir()
    (tmp_path / "m/a.jpg").write_bytes(jpeg(0))
    source = PhotoSource(str(tmp_path / "m"), tmp_path / "out")
    stats = asyncio.run(fetch_photos(PhotoRequest(source, 4, HASTY), ["a", "b"]))
    assert (stats.got, stats.missing) == (1, 1)


def test_nothing_to_get(server, tmp_path):
    assert get(server, tmp_path, []).got == 0


def far(n, start=1000):
    return [f"{i:016x}" for i in range(start, start + n)]


@pytest.mark.parametrize("status", [403, 404])
@pytest.mark.parametrize("before", [0, 10])
def test_where_nothing_comes_nothing_is_taken_for_gone(server, tmp_path, status, before):
    """A wrong address or a proxy that refuses, from the start or from some photo on, must not fill missing.csv."""
    names = far(2 * MAX_NOT_FOUND)
    get(server, tmp_path, NAMES[:before])
    server.tricks |= {f"/train/{name}.jpg": [f"status {status}"] * 9 for name in [*NAMES, *names]}
    stats = get(server, tmp_path, [*NAMES[:before], *names])
    assert (stats.got, stats.there, stats.missing) == (0, before, 0)
    assert MAX_NOT_FOUND <= stats.failures() < MAX_NOT_FOUND + 8
    (cause,) = stats.causes
    assert cause == f"HTTP {status} again and again: is {server.url}/train right, or a proxy in the way?"
    assert stats.stopped.endswith(f"photos in a row that are not there (HTTP {status})")
    assert list(read_missing(tmp_path)) == []


def test_many_that_are_truly_gone_do_not_hold_up_the_rest(server, tmp_path):
    gone = far(MAX_NOT_FOUND + 10)
    stats = get(server, tmp_path, [*NAMES[:20], *gone, *NAMES[20:]])
    assert (stats.got, stats.missing, stats.failures(), stats.stopped) == (40, len(gone), 0, "")
    assert sorted(read_missing(tmp_path)) == gone


def test_the_causes_that_are_told_have_an_end(server, tmp_path):
    for i, name in enumerate(NAMES):
        server.tricks[f"/train/{name}.jpg"] = [f"status {411 + i}"]
    server.tricks[f"/train/{NAMES[14]}.jpg"] = ["status 460"]
    server.tricks[f"/train/{NAMES[18]}.jpg"] = ["status 461"]
    causes = get(server, tmp_path).causes
    assert sum(causes.values()) == 40
    assert len(causes) == 21
    assert causes["another cause"] == 20


def test_a_photo_without_an_end_is_given_up(server, tmp_path, monkeypatch):
    monkeypatch.setattr("kit.download.photo_download.MAX_BYTES", 1 << 20)
    server.packed = True
    server.files[f"/train/{NAMES[0]}.jpg"] = bytes(5 << 20)  # some kB on the line
    stats = get(server, tmp_path, NAMES[:2])
    assert (stats.got, [*stats.causes]) == (1, ["larger than 1 MB"])
    assert server.seen[f"/train/{NAMES[0]}.jpg"] == 1


def test_a_few_that_are_gone_at_the_end(server, tmp_path):
    stats = get(server, tmp_path, far(3))  # all of them, and none of the photos was ever there
    assert (stats.failures(), stats.stopped) == (3, "")
    get(server, tmp_path, NAMES[:1])
    assert get(server, tmp_path, [NAMES[0], *far(3)]).missing == 3  # the one that is there still comes
    assert sorted(read_missing(tmp_path)) == far(3)
    assert get(server, tmp_path, [NAMES[0], *far(3)], ask_again=True).missing == 3


def test_a_name_and_password_in_the_address_are_not_shown(server, tmp_path):
    source = PhotoSource(server.url.replace("http://", "http://me:hidden@") + "/none", tmp_path)
    (cause,) = asyncio.run(fetch_photos(PhotoRequest(source, 8, HASTY), NAMES[:2])).causes
    assert server.url.replace("http://", "http://***@") in cause
    assert "hidden" not in cause


def test_a_full_disk_ends_it_with_what_was_done(server, tmp_path):
    (tmp_path / "ff").write_text("no folder")
    server.files["/train/ff00.jpg"] = jpeg(0)
    stats = get(server, tmp_path, [*NAMES[:9], "ff00", *NAMES[9:]])
    assert "/ff: cannot be written" in stats.stopped
    assert 1 < stats.got < 40
    with pytest.raises(KitError, match="cannot be written"):
        get(server, tmp_path / "ff/folder")


def test_a_damaged_one_stays_until_the_new_one_is_there(server, tmp_path):
    get(server, tmp_path, NAMES[:2])
    path = photo_place(tmp_path, NAMES[0])
    path.write_bytes(b"damaged")
    server.tricks[f"/train/{NAMES[0]}.jpg"] = ["status 500"] * 3
    stats = get(server, tmp_path, NAMES[:2], overwrite=frozenset(NAMES[:1]))
    assert (stats.failures(), stats.there, path.read_bytes()) == (1, 1, b"damaged")
    server.tricks[f"/train/{NAMES[0]}.jpg"] = ["status 404"] * 2
    stats = get(server, tmp_path, NAMES[:2], overwrite=frozenset(NAMES[:1]))
    assert [*stats.causes] == ["damaged, and the server has it no more (HTTP 404)"]
    assert list(read_missing(tmp_path)) == []
    assert get(server, tmp_path, NAMES[:2], overwrite=frozenset(NAMES[:1])).got == 1
    assert path.read_bytes() == server.files[f"/train/{NAMES[0]}.jpg"]


def test_a_photo_that_trickles_is_given_up(server, tmp_path):
    server.tricks[f"/train/{NAMES[0]}.jpg"] = ["trickle"] * 2
    source = PhotoSource(f"{server.url}/train", tmp_path)
    request = PhotoRequest(source, 2, RetryPolicy(1, 0.1, 2, 0.01))
    stats = asyncio.run(fetch_photos(request, NAMES[:2]))
    assert (stats.got, stats.failures()) == (1, 1)
    assert next(iter(stats.causes)).startswith("too slow: ")


def test_long_waits_are_told_once_for_all(server, tmp_path, monkeypatch, capsys):
    async def sleep(_):
        pass

    monkeypatch.setattr(asyncio, "sleep", sleep)
    server.tricks |= {f"/train/{name}.jpg": ["status 503 60"] for name in NAMES}
    assert get(server, tmp_path).got == 40
    assert capsys.readouterr().err == "photos: HTTP 503; trying again in 60 s\n"


def test_two_at_once_do_not_hurt_each_other(server, tmp_path):
    del server.files[f"/train/{NAMES[3]}.jpg"]

    async def both():
        source = PhotoSource(f"{server.url}/train", tmp_path)
        return await asyncio.gather(*(fetch_photos(PhotoRequest(source, 8, HASTY), NAMES) for _ in range(2)))

    for stats in asyncio.run(both()):
        assert stats.got + stats.there == 39
    for name in NAMES[:3] + NAMES[4:]:
        assert photo_place(tmp_path, name).read_bytes() == server.files[f"/train/{name}.jpg"]
    assert set(read_missing(tmp_path)) == {NAMES[3]}


def test_a_name_that_no_photo_can_have_is_not_asked_for(server, tmp_path):
    stats = get(server, tmp_path / "photos", ["../x", "x" * 300, NAMES[0]])
    assert stats.got == 1
    assert stats.causes == {"no photo can have this name": 2}
    assert stats.first == {"no photo can have this name": "../x"}
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_a_photo_that_lies_in_another_layout_is_not_got_again(server, tmp_path):
    (tmp_path / "train_0").mkdir()
    (tmp_path / f"train_0/{NAMES[0]}.JPG").write_bytes(jpeg(0))
    stats = get(server, tmp_path, NAMES[:2])
    assert (stats.got, stats.there) == (1, 1)
