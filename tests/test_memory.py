import pytest

from kit.base.memory import total_memory, usable_memory

FREE = "MemTotal: 9000 kB\nMemAvailable: 4000 kB\n"


def system(folder, line, files):
    """The files of a system that tell of its memory: the groups of this process in one line, and their limits."""
    (folder / "groups").write_text(f"{line}\n")
    (folder / "meminfo").write_text(FREE)
    for name, text in files.items():
        path = folder / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    return folder / "meminfo", folder / "groups", folder / "root"


@pytest.mark.parametrize(
    ("line", "files", "expected"),
    [
        ("0::/", {}, 4000 * 1024),
        ("0::/", {"memory.max": "max", "memory.current": "5"}, 4000 * 1024),
        ("0::/a", {"a/memory.max": "1000", "a/memory.current": "300"}, 700),
        (
            "0::/a",
            {"a/memory.max": "1000", "a/memory.current": "900", "a/memory.stat": "anon 5\ninactive_file 400"},
            500,
        ),
        ("0::/a", {"memory.max": "100", "memory.current": "300", "a/memory.max": "max"}, 0),
        (
            "4:memory:/x",
            {"memory/x/memory.limit_in_bytes": "2000", "memory/x/memory.usage_in_bytes": "500"},
            1500,
        ),
        ("4:cpu:/", {"memory.max": "10", "memory.current": "0"}, 4000 * 1024),
        ("0::/", {"memory.max": "nonsense", "memory.current": "0"}, 4000 * 1024),
    ],
)
def test_what_is_free_is_cut_by_the_limits_of_the_groups(line, files, expected, tmp_path):
    assert usable_memory(*system(tmp_path, line, files)) == expected


def test_a_system_that_does_not_tell(tmp_path):
    assert usable_memory(tmp_path / "none", tmp_path / "none", tmp_path) is None
    assert total_memory(tmp_path / "none", tmp_path / "none", tmp_path) is None


@pytest.mark.parametrize(
    ("line", "files", "expected"),
    [
        ("0::/a", {"a/memory.max": "max", "a/memory.current": "5"}, 9000 * 1024),
        ("0::/a", {"memory.max": "2000", "a/memory.max": "1000", "a/memory.current": "900"}, 1000),
        ("4:memory:/x", {"memory/x/memory.limit_in_bytes": "2000"}, 2000),
        ("0::/", {"memory.max": "nonsense"}, 9000 * 1024),
    ],
)
def test_what_there_is_in_all_hangs_on_no_load(line, files, expected, tmp_path):
    assert total_memory(*system(tmp_path, line, files)) == expected
