"""Made tables: of the real row counts, readable by the project's own readers, without a fault."""

import numpy as np
import pytest

from kit.config import SplitFiles
from kit.data.split_tables import load_split
from kit.rehearsal.made_tables import PREDICATES, SIZES, Size, made_ids, made_tables, write_split
from kit.vocabulary import IS, vocabulary


@pytest.mark.parametrize("count", [0, 1, 1000])
def test_ids_are_different_and_of_the_real_form(count):
    ids = made_ids(count, 3)
    assert len(set(ids)) == len(ids) == count
    assert all(len(name) == 16 and int(name, 16) >= 0 for name in ids)
    assert ids == made_ids(count, 3)


def test_rows_are_as_many_as_asked_for_and_allowed():
    relations, boxes = made_tables(Size(500, 3000, 900), 1)
    assert (len(relations), len(boxes), len(boxes.images)) == (900, 3000, 500)
    assert vocabulary().allowed[relations.predicate, relations.subject, relations.object].all()
    is_ = relations.predicate == IS
    assert is_.any()
    np.testing.assert_array_equal(relations.subject_box[is_], relations.object_box[is_])
    assert (boxes.box[:, 2:] > boxes.box[:, :2]).all()
    assert boxes.box.min() >= 0
    assert boxes.box.max() <= 1


def test_predicates_have_the_training_files_shares():
    relations, _ = made_tables(Size(20_000, 0, 100_000), 0)
    share = np.bincount(relations.predicate, minlength=10) / len(relations)
    total = sum(PREDICATES.values())
    assert total == SIZES["train"].relations
    for i, name in enumerate(vocabulary().predicates):
        assert share[i] == pytest.approx(PREDICATES[name] / total, abs=0.01)


def test_files_are_read_back_whole(tmp_path, caplog):
    relations, boxes = made_tables(Size(50, 300, 90), 1)
    paths = write_split(tmp_path, relations, boxes, None)
    read = load_split(SplitFiles(relations=[paths[0]], boxes=[paths[1]], labels=[paths[2]]), "train")
    assert len(read.relations) == 90
    assert len(read.objects) >= 300
    assert read.labels is not None
    assert not caplog.records
