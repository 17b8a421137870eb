import numpy as np
import pytest

from kit.base.errors import FileFault, KitError
from kit.base.log import warn_once
from kit.config import SplitFiles
from kit.data.split_cache import SplitCache
from kit.data.split_tables import load_boxes, load_labels, load_split
from kit.tables.official_writer import write_boxes, write_image_labels, write_relations
from kit.tables.schema import Boxes, VerifiedLabels
from kit.tables.table_files import images_path, read_note, read_table, write_table
from tests.builders import A, B, C, boxes, relations

TRUTH = relations([("a", 12, 15, 0, A, B), ("b", 11, 15, 0, A, C)], ("a", "b"))  # at
OBJECTS = boxes(("a", "Man", A), ("c", "Guitar", B), ("a", "Table", C), images=("a", "c"))


@pytest.fixture
def split(tmp_path):
    files = SplitFiles(
        relations=[tmp_path / "vrd.csv"], boxes=[tmp_path / "boxes.csv"], labels=[tmp_path / "labels.csv"]
    )
    write_relations(files.relations[0], TRUTH)
    write_boxes(files.boxes[0], OBJECTS)
    write_image_labels(files.labels[0], VerifiedLabels(("b", "d"), [0, 1, 1], [3, 4, 5], [True, False, True]))
    return files


@pytest.fixture
def cache(tmp_path):
    return SplitCache(tmp_path / "tables")


def equal(one, two):
    assert type(one) is type(two)
    assert one.images == two.images
    for name in ("image", *one.COLUMNS):
        left, right = getattr(one, name), getattr(two, name)
        assert left.dtype == right.dtype
        assert np.array_equal(left, right)


def parts(tables):
    return tables.relations, tables.objects, tables.labels


def test_what_is_kept_is_what_was_read_and_the_files_are_not_read_again(split, cache, monkeypatch):
    fresh, first = load_split(split, "train"), load_split(split, "train", cache)
    whole = load_boxes(split, "train"), load_labels(split, "train")
    monkeypatch.setattr("kit.tables.official.CsvFile", None)
    for tables in (first, load_split(split, "train", cache)):
        for one, two in zip(parts(fresh), parts(tables), strict=True):
            equal(one, two)
    equal(whole[0], load_boxes(split, "train", cache))
    equal(whole[1], load_labels(split, "train", cache))


def test_labels_with_their_judgement_are_kept_beside_those_without(split, cache):
    load_labels(split, "train", cache)
    judged = load_labels(split, "train", judged=True)
    for _ in range(2):
        equal(judged, load_labels(split, "train", cache, judged=True))


def test_without_boxes_the_objects_of_the_relations_are_kept(split, cache, monkeypatch):
    split = split.model_copy(update={"boxes": [], "labels": []})
    fresh = load_boxes(split, "val", cache)
    monkeypatch.setattr("kit.tables.official.CsvFile", None)
    equal(fresh, load_boxes(split, "val", cache))
    equal(fresh, load_split(split, "val", cache).objects)
    assert load_labels(split, "val", cache) is None


def test_a_changed_file_is_read_anew(split, cache):
    load_split(split, "train", cache)
    write_boxes(split.boxes[0], OBJECTS.take(slice(0, 1)))
    assert len(load_boxes(split, "train", cache)) == 1
    for one, two in zip(
        parts(load_split(split, "train")), parts(load_split(split, "train", cache)), strict=True
    ):
        equal(one, two)


@pytest.mark.parametrize("where", ["rows", "images"])
@pytest.mark.parametrize("damage", ["cut", "flipped", "gone", "other"])
def test_a_damaged_table_is_told_and_made_again(where, damage, split, cache, capsys):
    fresh = load_boxes(split, "train", cache)
    rows = cache.folder / "train-boxes.parquet"
    path = rows if where == "rows" else images_path(rows)
    data = path.read_bytes()
    if damage == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif damage == "flipped":
        path.write_bytes(data[:40] + bytes(255 - b for b in data[40:60]) + data[60:])
    elif damage == "gone":
        path.unlink()
    else:
        path.write_bytes((images_path(rows) if where == "rows" else rows).read_bytes())
    equal(load_boxes(split, "train", cache), fresh)
    if (where, damage) != ("rows", "gone"):
        assert "the files of the split are read again" in capsys.readouterr().err
    equal(read_table(rows, Boxes), fresh)


def test_what_is_left_out_is_told_again(split, cache, capsys):
    with split.boxes[0].open("a") as file:
        file.write("a,/m/none,0,1,0,1,0\n")
    fresh, first = load_boxes(split, "train", cache), capsys.readouterr().err
    assert "1 of 4 rows (25.0%) are left out" in first
    for _ in range(2):
        load_boxes(split, "train", cache)
    assert capsys.readouterr().err == ""  # this process has said it
    warn_once.cache_clear()
    equal(load_split(split, "train", cache).objects, load_split(split, "train").objects)
    assert capsys.readouterr().err == first
    warn_once.cache_clear()
    load_split(split, "train", cache)
    assert capsys.readouterr().err == first
    assert len(fresh) == 3


def test_a_fault_is_the_same_and_nothing_is_kept(split, cache):
    split.boxes[0].write_text("ImageID,LabelName,XMin,XMax,YMin,YMax\na,/m/04yx4,0,x,0,1\n")
    for _ in range(2):
        with pytest.raises(FileFault, match=r"boxes\.csv") as fault:
            load_split(split, "train", cache)
        assert (fault.value.line, fault.value.column) == (2, "XMax")
    assert not list(cache.folder.glob("*")) if cache.folder.exists() else True
    split.boxes[0].unlink()
    with pytest.raises(KitError, match="no such file"):
        load_split(split, "train", cache)


def test_where_nothing_can_be_written_the_files_are_read(split, tmp_path):
    (tmp_path / "tables").write_text("a file")
    equal(load_boxes(split, "train", SplitCache(tmp_path / "tables")), OBJECTS)


def test_tables_of_no_row_and_of_images_without_one_come_back(tmp_path):
    for table in (Boxes.empty(), Boxes.empty(("a", "b")), OBJECTS):
        write_table(tmp_path / "t.parquet", table, "ä note")
        equal(read_table(tmp_path / "t.parquet", Boxes), table)
        assert read_note(tmp_path / "t.parquet") == "ä note"
