"""Parquet files are read one by one, and checked."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kit.base.parquet import read_parquet


def a_table(rows: int) -> pa.Table:
    names = pa.array([f"n{i % 3}" for i in range(rows)]).dictionary_encode()
    return pa.table({"name": names, "value": pa.array([i / 7 for i in range(rows)])})


def test_a_file_is_read_as_pyarrow_reads_it(tmp_path: Path) -> None:
    for rows in (0, 1, 5000):
        path = tmp_path / "a=b" / f"{rows}.parquet"
        path.parent.mkdir(exist_ok=True)
        pq.write_table(a_table(rows), path, row_group_size=1000, write_page_checksum=True)
        published = pq.read_table(path, partitioning=None)
        assert read_parquet(path).equals(published, check_metadata=True)
        assert read_parquet(path, ["value"]).equals(published.select(["value"]))
        assert read_parquet(path, ("value", "name")).column_names == ["value", "name"]
        with pytest.raises(KeyError, match="score"):
            read_parquet(path, ["name", "score"])
        assert read_parquet(path, memory_map=True).equals(published)
        plain = path.with_name(f"plain-{rows}.parquet")
        pq.write_table(a_table(rows), plain, compression="none", use_dictionary=False)
        mapped = read_parquet(plain, memory_map=True)
        plain.unlink()
        assert mapped.equals(published)


def test_a_changed_page_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(a_table(5000), path, compression="none", use_dictionary=False, write_page_checksum=True)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(OSError, match="CRC"):
        read_parquet(path)


def test_the_reader_of_data_sets_is_not_loaded(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(a_table(3), path)
    code = (
        "import sys; from pathlib import Path; from kit.base.parquet import read_parquet; "
        "read_parquet(Path(sys.argv[1])); print('pyarrow.dataset' in sys.modules, 'pandas' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
