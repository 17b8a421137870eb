"""A file that goes on where it stopped, and starts over where that would mix two versions."""

import hashlib

import pytest

from kit.download.remote import FetchError
from tests.badserver import serving
from tests.fetching import DATA, ONCE, STOP, get, left


@pytest.fixture
def server():
    with serving() as answers:
        answers.files["/f.bin"] = DATA
        yield answers


def test_it_goes_on_where_it_stopped_in_this_run_and_the_next(server, tmp_path):
    server.tricks["/f.bin"] = ["cut 100000", "cut 50000", "status 500"]
    with pytest.raises(FetchError, match="HTTP 500"):
        get(server, tmp_path / "f.bin", ONCE)
    assert left(tmp_path) == [".f.bin.part", ".f.bin.part.json"]
    get(server, tmp_path / "f.bin")
    assert [r for _, r in server.log] == ["", "bytes=100000-", *["bytes=150000-"] * 2]
    assert (tmp_path / "f.bin").read_bytes() == DATA


def test_a_file_that_changed_meanwhile_starts_over(server, tmp_path):
    for honest, length in ((True, 300_000), (False, 300_000), (False, 200_000)):
        server.files["/f.bin"], server.honest = DATA, honest
        server.tricks["/f.bin"] = list(STOP)
        with pytest.raises(FetchError):
            get(server, tmp_path / "f.bin", ONCE)
        server.files["/f.bin"] = DATA[::-1][:length]
        get(server, tmp_path / "f.bin")
        assert (tmp_path / "f.bin").read_bytes() == DATA[::-1][:length]
        (tmp_path / "f.bin").unlink()


def test_every_try_that_brings_more_is_no_try(server, tmp_path):
    server.tricks["/f.bin"] = ["cut 30000"] * 9
    assert get(server, tmp_path / "f.bin", ONCE)
    assert (tmp_path / "f.bin").read_bytes() == DATA


def test_a_part_that_was_whole_is_not_got_again(server, tmp_path):
    server.tricks["/f.bin"] = list(STOP)
    with pytest.raises(FetchError):
        get(server, tmp_path / "f.bin", ONCE)
    (tmp_path / ".f.bin.part").write_bytes(DATA)  # killed before it was put in place
    told = []
    assert get(server, tmp_path / "f.bin", options={"on_done": lambda *known: told.append(known)})
    assert server.log[-1] == ("/f.bin", "bytes=300000-")
    assert (tmp_path / "f.bin").read_bytes() == DATA
    assert told == [(300_000, hashlib.sha256(DATA).hexdigest())]


def test_a_shorter_version_is_not_the_start_of_the_old_one(server, tmp_path):
    server.tricks["/f.bin"] = list(STOP)
    with pytest.raises(FetchError):
        get(server, tmp_path / "f.bin", ONCE)
    server.files["/f.bin"], server.honest = DATA[:99:-1][:100_000], False  # as long as the part, and another
    assert get(server, tmp_path / "f.bin")
    assert (tmp_path / "f.bin").read_bytes() == server.files["/f.bin"]


def test_a_weak_etag_tells_nothing(server, tmp_path):
    server.weak, server.honest = "W/", False
    server.tricks["/f.bin"] = ["cut 100000"]
    get(server, tmp_path / "f.bin")
    assert [r for _, r in server.log] == ["", ""]


def test_what_comes_packed_is_unpacked_and_never_resumed(server, tmp_path):
    server.packed = True
    text = server.files["/f.bin"] = b"some,text\n" * 50_000
    server.tricks["/f.bin"] = ["cut 500"]
    assert get(server, tmp_path / "f.bin")
    assert (tmp_path / "f.bin").read_bytes() == text
    assert [r for _, r in server.log] == ["", ""]


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
    server.tricks["/f.bin"] = list(STOP)
    with pytest.raises(FetchError):
        get(server, tmp_path / "f.bin", ONCE)
    with (tmp_path / ".f.bin.part").open("ab") as file:
        file.write(bytes(400_000))
    get(server, tmp_path / "f.bin")
    assert (tmp_path / "f.bin").read_bytes() == DATA


@pytest.mark.parametrize("note", ["", "[]", "{}", '"x"', '{"validator": null, "total": null}'])
def test_a_damaged_note_beside_a_part_starts_over(server, tmp_path, note):
    (tmp_path / ".f.bin.part").write_bytes(b"something")
    (tmp_path / ".f.bin.part.json").write_text(note)
    assert get(server, tmp_path / "f.bin")
    assert (tmp_path / "f.bin").read_bytes() == DATA
    assert server.log == [("/f.bin", "")]


def test_a_note_that_a_kill_left_behind_goes(server, tmp_path):
    """Killed once the file was in its place: the note of its part is all that is left over."""
    (tmp_path / "f.bin").write_bytes(DATA)
    (tmp_path / ".f.bin.part.json").write_text("{}")
    assert not get(server, tmp_path / "f.bin")
    assert [path.name for path in tmp_path.iterdir()] == ["f.bin"]
