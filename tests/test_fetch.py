"""One file from a server that cuts, lies and blocks."""

import asyncio
import hashlib
import io
import os
import threading
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from kit.base.errors import KitError
from kit.base.retry import RetryPolicy
from kit.download.fetch import is_whole
from kit.download.remote import FetchError, RemoteFile
from tests.badserver import serving
from tests.fetching import DATA, ONCE, get, left


@pytest.fixture
def server():
    with serving() as answers:
        answers.files["/f.bin"] = DATA
        yield answers


def test_it_comes_once(server, tmp_path):
    assert get(server, tmp_path / "f.bin") is True
    assert (tmp_path / "f.bin").read_bytes() == DATA
    assert get(server, tmp_path / "f.bin") is False
    assert server.seen["/f.bin"] == 1
    assert left(tmp_path) == ["f.bin"]


@pytest.mark.parametrize("trick", ["cut 100000", "reset", "status 503", "status 429 0", "slow 2", "page"])
def test_a_fault_is_outlived(server, tmp_path, trick):
    server.tricks["/f.bin"] = [trick, trick]
    assert get(server, tmp_path / "f.bin")
    assert (tmp_path / "f.bin").read_bytes() == DATA
    assert server.seen["/f.bin"] == 3
    assert left(tmp_path) == ["f.bin"]


def test_a_file_that_trickles_is_given_up(server, tmp_path):
    server.tricks["/f.bin"] = ["trickle"] * 2
    with pytest.raises(FetchError, match=r"too slow: \d+ bytes in 0.1 s"):
        get(server, tmp_path / "f.bin", RetryPolicy(1, 0.1, attempts=2, backoff=0.01))
    assert server.seen["/f.bin"] == 2


PAGES = (
    b"<!DOCTYPE html>",
    b"\n <script>",
    b"\xef\xbb\xbf<!doctype html>",
    b"<!-- hello -->",
    b"<?xml version='1.0'?><Error>",
)


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("kind", ["", "text/plain", "application/xhtml+xml", "application/xml"])
def test_a_web_page_is_no_file(server, tmp_path, page, kind):
    server.page, server.kind = page, kind
    server.tricks["/f.bin"] = ["page"]
    with pytest.raises(FetchError, match="a web page came instead"):
        get(server, tmp_path / "f.bin", ONCE)
    assert not (tmp_path / "f.bin").exists()


def test_what_the_server_asks_for_is_waited(server, tmp_path, capsys, monkeypatch):
    slept = []

    async def sleep(seconds):
        slept.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=40), usegmt=True)
    server.tricks["/f.bin"] = ["status 503 7", f"status 429 {date}", "status 503 9000", "status 503"]
    get(server, tmp_path / "f.bin", RetryPolicy(1, 0.5, 5, 0.5))
    assert 7 <= slept[0] < 8
    assert 38 <= slept[1] < 41
    assert 120 <= slept[2] < 121
    assert 0.5 * 8 / 2 <= slept[3] < 0.5 * 8 * 1.5
    err = capsys.readouterr().err
    assert "f.bin: HTTP 503; trying again in 7 s" in err


def test_what_is_there_stays_until_the_new_one_is_whole(server, tmp_path):
    (tmp_path / "f.bin").write_bytes(b"old")
    server.tricks["/f.bin"] = ["status 500"]
    with pytest.raises(FetchError):
        get(server, tmp_path / "f.bin", ONCE, options={"overwrite": True})
    assert (tmp_path / "f.bin").read_bytes() == b"old"
    assert get(server, tmp_path / "f.bin") is False
    assert get(server, tmp_path / "f.bin", options={"overwrite": True}) is True
    assert (tmp_path / "f.bin").read_bytes() == DATA


def test_progress_is_told_with_the_total(server, tmp_path):
    told = []
    server.tricks["/f.bin"] = ["cut 100000"]
    get(server, tmp_path / "f.bin", options={"on_bytes": lambda *figures: told.append(figures)})
    assert told[-1] == (300_000, 300_000)
    assert [have for have, _ in told] == sorted(have for have, _ in told)


def test_what_cannot_be_written_is_told(server, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(KitError, match=r"file: cannot be written \("):
        get(server, tmp_path / "file/f.bin")
    (tmp_path / ".f.bin.part").mkdir()
    with pytest.raises(FetchError, match=r"it cannot be written \(Is a directory\)"):
        get(server, tmp_path / "f.bin")


def test_through_the_proxy_of_the_environment(server, tmp_path, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", server.url)
    monkeypatch.setenv("NO_PROXY", "")
    server.files["http://nowhere.invalid/f.bin"] = DATA

    class Nowhere:
        url = "http://nowhere.invalid"

    assert get(Nowhere, tmp_path / "f.bin")
    assert (tmp_path / "f.bin").read_bytes() == DATA


def test_sizes_and_hashes_are_checked(server, tmp_path):
    digest = hashlib.sha256(DATA).hexdigest()
    assert get(server, tmp_path / "a", size=len(DATA), sha256=digest)
    assert get(server, tmp_path / "b", sha256=digest[:8])
    with pytest.raises(FetchError, match="another sha256"):
        get(server, tmp_path / "c", sha256="00000000")
    with pytest.raises(FetchError, match="300,000 bytes came instead of 5"):
        get(server, tmp_path / "d", size=5)
    assert not (tmp_path / "c").exists()
    assert not (tmp_path / "d").exists()
    (tmp_path / "a").write_bytes(DATA[:-1])
    assert not is_whole(RemoteFile("", tmp_path / "a", len(DATA)))
    assert get(server, tmp_path / "a", size=len(DATA), sha256=digest)


@pytest.mark.parametrize("size", [None, len(DATA)])
def test_a_truncated_file_without_a_length_is_caught_by_the_size(server, tmp_path, size):
    """Known from the registry, or asked for."""
    server.tricks["/f.bin"] = ["short", *([] if size else [""]), "status 500"]
    with pytest.raises(FetchError, match="HTTP 500"):
        get(server, tmp_path / "f.bin", ONCE, size=size)
    assert not (tmp_path / "f.bin").exists()
    server.tricks["/f.bin"] = []
    assert get(server, tmp_path / "f.bin", size=size)
    assert (tmp_path / "f.bin").read_bytes() == DATA


def test_a_file_whose_size_nobody_tells_is_not_taken(server, tmp_path):
    server.tricks["/f.bin"] = ["short", "status 405"]
    with pytest.raises(FetchError, match="the server does not say how large it is"):
        get(server, tmp_path / "f.bin")


def test_a_full_disk_is_told_as_such(server, tmp_path, monkeypatch):
    class Full(io.BytesIO):
        def write(self, _):
            raise OSError(28, "No space left on device")

    real = Path.open

    def opened(path, mode="r", **more):
        return Full() if mode == "ab" else real(path, mode, **more)

    monkeypatch.setattr(Path, "open", opened)
    with pytest.raises(FetchError, match=r"it cannot be written \(No space left on device\)"):
        get(server, tmp_path / "f.bin")
    assert server.seen["/f.bin"] == 1


@pytest.mark.parametrize(
    ("trick", "cause", "tries"),
    [
        ("status 404", "HTTP 404", 1),
        ("status 403", "HTTP 403", 1),
        ("status 400", "HTTP 400", 1),
        ("status 500", "HTTP 500", 4),
        ("page", "web page came", 4),
        ("slow 2", "no answer in 0.5 s", 4),
    ],
)
def test_what_does_not_get_better_is_told(server, tmp_path, trick, cause, tries):
    server.tricks["/f.bin"] = [trick] * 9
    with pytest.raises(FetchError) as error:
        get(server, tmp_path / "f.bin")
    assert cause in error.value.message
    assert error.value.not_found == (cause in ("HTTP 404", "HTTP 403"))
    assert server.seen["/f.bin"] == tries
    assert not (tmp_path / "f.bin").exists()


def test_no_server(tmp_path):
    class Nowhere:
        url = "http://127.0.0.1:9"

    with pytest.raises(FetchError, match="no connection to the server"):
        get(Nowhere, tmp_path / "f.bin")


def test_two_downloads_of_one_file_do_not_hurt_each_other(server, tmp_path):
    server.tricks["/f.bin"] = ["slow 0.2"]
    results = []

    def one():
        results.append(get(server, tmp_path / "f.bin", RetryPolicy()))

    threads = [threading.Thread(target=one) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [False, False, True]
    assert (tmp_path / "f.bin").read_bytes() == DATA
    assert server.seen["/f.bin"] == 1


def test_a_folder_is_a_mirror_too(tmp_path):
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror/f.bin").write_bytes(DATA)

    class Folder:
        url = str(tmp_path / "mirror")

    assert get(Folder, tmp_path / "out/f.bin") is True
    assert (tmp_path / "out/f.bin").read_bytes() == DATA
    assert get(Folder, tmp_path / "out/f.bin") is False
    assert get(Folder, tmp_path / "out/f.bin", options={"overwrite": True}) is True
    os.unlink(tmp_path / "mirror/f.bin")
    os.unlink(tmp_path / "out/f.bin")
    with pytest.raises(FetchError, match="No such file"):
        get(Folder, tmp_path / "out/f.bin")
