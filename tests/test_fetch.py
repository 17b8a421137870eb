"""One file from a server that cuts, lies, blocks and changes."""

import asyncio
import hashlib
import os
import threading

import aiohttp
import numpy as np
import pytest

from kit.download.fetch import FetchError, fetch, is_whole, limits
from kit.download.registry import Remote
from kit.patience import Patience
from tests.badserver import serving

DATA = np.random.default_rng(0).bytes(300_000)
HASTY = Patience(connect=1, read=0.5, tries=4, wait=0.01)


@pytest.fixture
def server():
    with serving() as answers:
        answers.files["/f.bin"] = DATA
        yield answers


def get(server, path, patience=HASTY, **known):
    async def run():
        async with aiohttp.ClientSession(timeout=limits(patience)) as session:
            return await fetch(session, Remote(f"{server.url}/f.bin", path, **known), patience)

    return asyncio.run(run())


def left(folder):
    return sorted(p.name for p in folder.iterdir() if not p.name.endswith(".lock"))


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


def test_it_goes_on_where_it_stopped_in_this_run_and_the_next(server, tmp_path):
    server.tricks["/f.bin"] = ["cut 100000", "cut 50000"]
    with pytest.raises(FetchError):
        get(server, tmp_path / "f.bin", Patience(1, 0.5, tries=2, wait=0.01))
    assert left(tmp_path) == [".f.bin.part", ".f.bin.part.json"]
    get(server, tmp_path / "f.bin")
    assert [r for _, r in server.log] == ["", "bytes=100000-", "bytes=150000-"]
    assert (tmp_path / "f.bin").read_bytes() == DATA


def test_a_file_that_changed_meanwhile_starts_over(server, tmp_path):
    server.tricks["/f.bin"] = ["cut 100000"]
    with pytest.raises(FetchError):
        get(server, tmp_path / "f.bin", Patience(1, 0.5, tries=1))
    server.files["/f.bin"] = DATA[::-1]
    get(server, tmp_path / "f.bin")
    assert (tmp_path / "f.bin").read_bytes() == DATA[::-1]


@pytest.mark.parametrize(("ranges", "etag"), [(False, True), (True, False)])
def test_a_server_without_ranges_or_validators_starts_over(server, tmp_path, ranges, etag):
    server.ranges, server.etag = ranges, etag
    server.tricks["/f.bin"] = ["cut 100000"]
    get(server, tmp_path / "f.bin")
    assert (tmp_path / "f.bin").read_bytes() == DATA


def test_a_wrong_part_and_a_part_that_is_too_long_start_over(server, tmp_path):
    server.tricks["/f.bin"] = ["cut 100000", "wrong range"]
    get(server, tmp_path / "f.bin")
    assert (tmp_path / "f.bin").read_bytes() == DATA
    (tmp_path / "f.bin").unlink()
    server.tricks["/f.bin"] = ["cut 100000"]
    with pytest.raises(FetchError):
        get(server, tmp_path / "f.bin", Patience(1, 0.5, tries=1))
    with (tmp_path / ".f.bin.part").open("ab") as file:
        file.write(bytes(400_000))
    get(server, tmp_path / "f.bin")
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
    assert not is_whole(Remote("", tmp_path / "a", len(DATA)))
    assert get(server, tmp_path / "a", size=len(DATA), sha256=digest)


def test_a_truncated_file_without_a_length_is_caught_by_the_known_size(server, tmp_path):
    server.tricks["/f.bin"] = ["short"] * 4
    with pytest.raises(FetchError, match="cut off after 150,000 of 300,000"):
        get(server, tmp_path / "f.bin", Patience(1, 0.5, tries=1), size=len(DATA))
    assert not (tmp_path / "f.bin").exists()


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
    assert cause in error.value.cause
    assert error.value.gone == (cause in ("HTTP 404", "HTTP 403"))
    assert server.seen["/f.bin"] == tries
    assert not (tmp_path / "f.bin").exists()


def test_no_server(tmp_path):
    class Nowhere:
        url = "http://127.0.0.1:9"

    with pytest.raises(FetchError, match="ClientConnectorError"):
        get(Nowhere, tmp_path / "f.bin")


def test_two_downloads_of_one_file_do_not_hurt_each_other(server, tmp_path):
    server.tricks["/f.bin"] = ["slow 0.3"]
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(get(server, tmp_path / "f.bin"))) for _ in range(3)
    ]
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
    os.unlink(tmp_path / "mirror/f.bin")
    os.unlink(tmp_path / "out/f.bin")
    with pytest.raises(FetchError, match="No such file"):
        get(Folder, tmp_path / "out/f.bin")
