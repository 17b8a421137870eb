from concurrent.futures import ThreadPoolExecutor

import pytest

from kit.base.errors import KitError
from kit.download.known import Known, known, note


def test_what_was_got_is_remembered_by_its_place_below_the_root(tmp_path):
    root, inside, outside = tmp_path / "data", tmp_path / "data/a.csv", tmp_path / "b.csv"
    assert known(root, inside) is None
    note(root, inside, 3, "ab")
    note(root, outside, 4, "cd")
    assert known(root, inside) == Known(3, "ab")
    assert known(root, outside) == Known(4, "cd")
    note(root, inside, 5, "ef")
    assert known(root, inside) == Known(5, "ef")
    (tmp_path / "moved").mkdir()
    (root / "downloads.json").rename(tmp_path / "moved/downloads.json")
    assert known(tmp_path / "moved", tmp_path / "moved/a.csv").size == 5


def test_many_at_once_lose_nothing(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: note(tmp_path, tmp_path / str(i), i, ""), range(40)))
    assert [known(tmp_path, tmp_path / str(i)).size for i in range(40)] == [*range(40)]


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
    assert known(tmp_path, tmp_path / "a") is None
    note(tmp_path, tmp_path / "a", 3, "ab")
    assert known(tmp_path, tmp_path / "a") == Known(3, "ab")


def test_a_root_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "root").write_text("")
    with pytest.raises(KitError, match=r"root: cannot be written \("):
        note(tmp_path / "root", tmp_path / "root/a", 3, "ab")
    (tmp_path / ".downloads.json.lock").mkdir()
    with pytest.raises(KitError, match=r"cannot be written \("):
        note(tmp_path, tmp_path / "a", 3, "ab")
