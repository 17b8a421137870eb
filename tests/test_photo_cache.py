"""Photos kept of folders elsewhere: never more bytes than allowed, and those used last stay."""

import itertools
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.base.errors import KitError
from kit.data import photo_cache
from kit.data.photo_cache import KEPT, PhotoCache


def bytes_below(folder):
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file() and not p.name.startswith(".used"))


class Watched(PhotoCache):
    """A cache that is looked at whenever a photo is about to take its place."""

    def _count(self, used):
        super()._count(used)
        assert bytes_below(self.folder) <= self.limit


@settings(max_examples=60)
@given(
    limit=st.integers(0, 60),
    sizes=st.lists(st.integers(0, 30), min_size=1, max_size=12),
    reads=st.lists(st.integers(0, 11), max_size=40),
)
def test_the_limit_holds_and_the_least_recently_used_go(limit, sizes, reads):
    """Against a plain model: what is kept is a set of those used last."""
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        clock = itertools.count(1)
        real = os.utime
        patch.setattr(os, "utime", lambda path: real(path, ns=(0, next(clock))))
        cache = Watched(Path(name), limit)
        used, fetched = [], []
        for number in reads:
            number %= len(sizes)
            path, data = cache.folder / str(number % 3) / f"{number}.jpg", bytes([number]) * sizes[number]
            kept = path.exists()
            count = len(fetched)

            def fetch(data=data):
                fetched.append(1)
                return data

            assert cache.read(path, fetch, len(data)) == data
            assert (len(fetched) == count) == kept
            if path.exists():
                os.utime(path)  # also a new one is used now
                used = [n for n in used if n != number] + [number]
            there = {n for n in used if (cache.folder / str(n % 3) / f"{n}.jpg").exists()}
            assert bytes_below(cache.folder) <= limit
            assert sizes[number] > limit or number in there
            assert there == set(used[len(used) - len(there) :])  # the newest ones, without a gap
            used = used[len(used) - len(there) :]


def test_what_a_killed_process_counted_is_counted_anew(tmp_path):
    cache = PhotoCache(tmp_path, 100)
    cache.read(tmp_path / "a.jpg", lambda: b"a" * 40)
    (tmp_path / ".used").write_text("100")  # counted, then killed
    cache.read(tmp_path / "b.jpg", lambda: b"b" * 40)
    assert (tmp_path / "a.jpg").exists()
    assert (tmp_path / ".used").read_text() == "80"
    (tmp_path / ".used").write_text("?")
    cache.read(tmp_path / "c.jpg", lambda: b"c" * 10)
    assert (tmp_path / ".used").read_text() == "90"
    cache.read(tmp_path / "d.jpg", lambda: b"d" * 20)
    assert bytes_below(tmp_path) <= 100 * KEPT


@pytest.mark.parametrize(("left", "size"), [(b"", None), (b"", 4), (b"pho", 4), (b"photos", 4)])
def test_a_kept_photo_of_another_length_is_fetched_again(tmp_path, left, size):
    """What a machine leaves that lost its power."""
    cache, path = PhotoCache(tmp_path, 100), tmp_path / "a" / "a.jpg"
    cache.read(path, lambda: b"phot")
    path.write_bytes(left)
    assert cache.read(path, lambda: b"phot", size) == b"phot"
    assert path.read_bytes() == b"phot"
    assert cache.read(path, lambda: None, size) == b"phot"
    assert int((tmp_path / ".used").read_text()) >= 4


def test_an_empty_file_is_kept_where_it_is_one_elsewhere(tmp_path):
    cache, path = PhotoCache(tmp_path, 100), tmp_path / "a.jpg"
    assert cache.read(path, lambda: b"", 0) == b""
    assert cache.read(path, lambda: None, 0) == b""


def test_what_is_not_there_is_not_kept(tmp_path):
    assert PhotoCache(tmp_path, 100).read(tmp_path / "a.jpg", lambda: None) is None
    assert not (tmp_path / "a.jpg").exists()


def test_a_folder_that_cannot_be_written_keeps_nothing(tmp_path, caplog):
    (tmp_path / "file").touch()
    cache = PhotoCache(tmp_path / "file", 100)
    assert cache.read(tmp_path / "file" / "a.jpg", lambda: b"a") == b"a"
    assert "photos are not kept" in caplog.text


@pytest.mark.parametrize("text", ["much", "-1", "nan", "inf"])
def test_a_limit_that_is_none_is_one_line(monkeypatch, text):
    monkeypatch.setenv("KIT_PHOTO_CACHE", text)
    with pytest.raises(KitError, match=f"KIT_PHOTO_CACHE={text}: not a number of GiB"):
        photo_cache.photo_cache()
