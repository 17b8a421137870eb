import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kit.base.errors import KitError
from kit.tables.schema import Boxes, Predictions
from kit.tables.shards import count_rows, read_shard, read_shards, write_shard
from tests.builders import random_predictions


def test_tables_come_back_in_order(tmp_path):
    tables = [random_predictions(30, np.random.default_rng(i), images=(f"{i}a", f"{i}b")) for i in range(3)]
    assert [write_shard(tmp_path, i, table) for i, table in enumerate(tables)] == [30, 30, 30]
    assert count_rows(tmp_path) == 90
    for table, back in zip(tables, read_shards(tmp_path, Predictions), strict=True):
        assert np.array_equal(back.score, table.score)
        assert [back.images[i] for i in back.image] == [table.images[i] for i in table.image]


def test_what_is_no_shard(tmp_path):
    with pytest.raises(KitError, match="no shards"):
        list(read_shards(tmp_path, Predictions))
    write_shard(tmp_path, 0, Boxes.empty(("a",)))
    with pytest.raises(KitError, match="not a shard of Predictions"):
        list(read_shards(tmp_path, Predictions))
    (tmp_path / "00000.parquet").write_text("x")
    with pytest.raises(KitError, match="not a shard"):
        list(read_shards(tmp_path, Predictions))


@pytest.mark.parametrize("cut", [0, 4, 100, -1, -8])
def test_a_shard_that_is_cut_is_named(tmp_path, cut):
    write_shard(tmp_path, 0, random_predictions(30, np.random.default_rng(0)))
    path = tmp_path / "00000.parquet"
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(KitError, match=r"00000.parquet: not a shard of Predictions.*--force"):
        read_shard(path, Predictions)
    with pytest.raises(KitError, match=r"00000.parquet: not a shard of rows"):
        count_rows(tmp_path)


def test_a_flipped_bit_never_becomes_another_value(tmp_path):
    """Seven in ten of them did before pages had checksums."""
    table = random_predictions(300, np.random.default_rng(0))
    write_shard(tmp_path, 0, table)
    path, rng = tmp_path / "00000.parquet", np.random.default_rng(1)
    whole, refused = path.read_bytes(), 0
    for place in rng.integers(0, len(whole), 200):
        data = bytearray(whole)
        data[place] ^= 1 << rng.integers(8)
        path.write_bytes(data)
        try:
            back = read_shard(path, Predictions)
        except KitError:
            refused += 1
        else:
            assert back.to_arrow().to_pydict() == table.to_arrow().to_pydict()
    assert refused > 150


@pytest.mark.parametrize("seed", range(40))
def test_whatever_the_bytes_a_table_or_a_fault(tmp_path, seed):
    table = random_predictions(30, np.random.default_rng(0))
    write_shard(tmp_path, 0, table)
    path, rng = tmp_path / "00000.parquet", np.random.default_rng(seed)
    data = bytearray(path.read_bytes())
    for place in rng.integers(0, len(data), 4):
        data[place] = rng.integers(256)
    path.write_bytes(data)
    back, said = table, "00000.parquet"
    try:
        back = read_shard(path, Predictions)
    except KitError as error:
        said = str(error)
    assert "00000.parquet" in said
    assert back.to_arrow().to_pydict() == table.to_arrow().to_pydict()


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.set_column(1, "subject", pa.array([None] * len(t), pa.uint8())),
        lambda t: t.set_column(1, "subject", pa.array(["x"] * len(t))),
        lambda t: t.set_column(1, "subject", pa.array([300] * len(t))),
        lambda t: t.set_column(0, "image_id", pa.array([3] * len(t))),
        lambda t: t.set_column(0, "image_id", pa.array([None] * len(t), pa.string())),
        lambda t: t.set_column(1, "subject", pa.array([[1]] * len(t))),
        lambda t: t.drop_columns(["image_id"]),
    ],
)
def test_columns_of_another_kind_are_no_shard(tmp_path, change):
    table = random_predictions(30, np.random.default_rng(0)).to_arrow()
    pq.write_table(change(table), tmp_path / "00000.parquet")
    with pytest.raises(KitError, match="not a shard of Predictions"):
        read_shard(tmp_path / "00000.parquet", Predictions)
