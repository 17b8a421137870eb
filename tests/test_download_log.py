from concurrent.futures import ThreadPoolExecutor

import pytest

from kit.base.errors import KitError
from kit.download.download_log import LogEntry, find_logged, log_download


def test_what_was_got_is_remembered_by_its_place_below_the_root(tmp_path):
    root, inside, outside = tmp_path / "data", tmp_path / "data/a.csv", tmp_path / "b.csv"
    assert find_logged(root, inside) is None
    log_download(root, inside, 3, "ab")
    log_download(root, outside, 4, "cd")
    assert find_logged(root, inside) == LogEntry(3, "ab")
    assert find_logged(root, outside) == LogEntry(4, "cd")
    log_download(root, inside, 5, "ef")
    assert find_logged(root, inside) == LogEntry(5, "ef")
    (tmp_path / "moved").mkdir()
    (root / "downloads.json").rename(tmp_path / "moved/downloads.json")
    assert find_logged(tmp_path / "moved", tmp_path / "moved/a.csv").size == 5


def test_many_at_once_lose_nothing(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: log_download(tmp_path, tmp_path / str(i), i, ""), range(40)))
    assert [find_logged(tmp_path, tmp_path / str(i)).size for i in range(40)] == [*range(40)]


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[1]",
        "null",
        "[" * 100_000,
        '{"a": 5}',
        '{"a": [1]}',
        '{"a": {"size": "5", "sha256": "ab"}}',
        '{"a": {"size": 5, "sha256": 7}}',
    ],
)
def test_a_damaged_record_is_none(tmp_path, text):
    (tmp_path / "downloads.json").write_text(text)
    assert find_logged(tmp_path, tmp_path / "a") is None
    log_download(tmp_path, tmp_path / "a", 3, "ab")
    assert find_logged(tmp_path, tmp_path / "a") == LogEntry(3, "ab")


def test_a_root_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "root").write_text("")
    with pytest.raises(KitError, match=r"root: cannot be written \("):
        log_download(tmp_path / "root", tmp_path / "root/a", 3, "ab")
    (tmp_path / ".downloads.json.lock").mkdir()
    with pytest.raises(KitError, match=r"cannot be written \("):
        log_download(tmp_path, tmp_path / "a", 3, "ab")
