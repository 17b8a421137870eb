import numpy as np
import pytest

from kit.errors import KitError
from kit.tables.schema import Boxes, Predictions
from kit.tables.shards import count_rows, read_shards, write_shard
from tests.test_submission import predictions


def test_tables_come_back_in_order(tmp_path):
    tables = [predictions(30, np.random.default_rng(i), images=(f"{i}a", f"{i}b")) for i in range(3)]
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
