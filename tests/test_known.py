from concurrent.futures import ThreadPoolExecutor

from kit.download.known import known, note


def test_what_was_got_is_remembered_by_its_place_below_the_root(tmp_path):
    root, inside, outside = tmp_path / "data", tmp_path / "data/a.csv", tmp_path / "b.csv"
    assert known(root, inside) == {}
    note(root, inside, 3, "ab")
    note(root, outside, 4, "cd")
    assert known(root, inside) == {"size": 3, "sha256": "ab"}
    assert known(root, outside) == {"size": 4, "sha256": "cd"}
    note(root, inside, 5, "ef")
    assert known(root, inside) == {"size": 5, "sha256": "ef"}
    (tmp_path / "moved").mkdir()
    (root / "downloads.json").rename(tmp_path / "moved/downloads.json")
    assert known(tmp_path / "moved", tmp_path / "moved/a.csv")["size"] == 5


def test_many_at_once_lose_nothing(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: note(tmp_path, tmp_path / str(i), i, ""), range(40)))
    assert [known(tmp_path, tmp_path / str(i))["size"] for i in range(40)] == [*range(40)]


def test_a_damaged_record_is_none(tmp_path):
    for text in ("{", "[1]", "null"):
        (tmp_path / "downloads.json").write_text(text)
        assert known(tmp_path, tmp_path / "a") == {}
