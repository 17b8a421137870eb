"""Given detections read part by part give the shards that the whole table gives, byte for byte."""

import re

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kit.base.errors import KitError
from kit.boxes import area
from kit.config import load_config
from kit.pipeline.stages import given_detections
from kit.relation import scoring
from kit.relation.scoring import shards, shards_of
from kit.tables import csvbatches, image_partition, yolo
from kit.tables.detection_formats import load_detections, read_rows, row_parts, save_detections
from kit.tables.detection_rows import DetectionRows
from kit.tables.format_names import FORMATS
from kit.tables.image_index import ImageIndex
from kit.tables.image_partition import ImagePartition
from kit.tables.left_out import notices
from kit.tables.schema import Detections
from kit.tables.shards import SHARDS, shard_paths, write_shard
from kit.tables.side_files import SideFiles

NAMES = {"openimages": "d.csv", "kaggle": "d.csv", "coco": "d.json", "yolo": "labels"}
HEAD = "ImageID,LabelName,Score,XMin,XMax,YMin,YMax\n"
ROW = "{},{},{},0.1,{},0.1,0.9\n"


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    """Parts of a few rows, files of three images, shards of a few."""
    monkeypatch.setattr(csvbatches, "PART", 1_000)
    monkeypatch.setattr(yolo, "PART", 2)
    monkeypatch.setattr(scoring, "PAIRS_PER_SHARD", 9)
    monkeypatch.setattr(image_partition, "IMAGES", 3)


def detections(rng, images, rows):
    low = rng.uniform(0, 0.4, (rows, 2)).astype(np.float32)
    box = np.concatenate([low, low + np.where(rng.random((rows, 1)) < 0.2, 0, 0.5)], axis=1)
    names = tuple(f"{i:04x}" for i in rng.permutation(images))
    image = rng.integers(0, images, rows)
    return Detections(names, image, rng.integers(0, 57, rows), rng.random(rows).astype(np.float32), box)


def shard_bytes(folder):
    return [path.read_bytes() for path in shard_paths(folder)]


@pytest.mark.parametrize("form", FORMATS)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32 - 1), images=st.integers(1, 12), rows=st.integers(1, 40))
def test_the_bytes_of_the_shards_are_those_of_the_whole_table(form, seed, images, rows, tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("given"), np.random.default_rng(seed)
    files = []
    sizes = {f"{i:04x}": (640, 480) for i in range(images)}
    for part in ("a", "b"):
        path = folder / part / NAMES[form]
        described = save_detections(path, detections(rng, images, rows), form, SideFiles(sizes=sizes))
        files.append(path)
    ids = [f"{i:04x}" for i in rng.permutation(images + 3)]
    (folder / "ids.csv").write_text("ImageId\n" + "".join(f"{name}\n" for name in ids))
    words = [f"data.test.ids={folder / 'ids.csv'}", f"data.test.detections=[{','.join(map(str, files))}]"]
    if described:
        words.append(f"data.test.detection_images={described}")
    config = load_config("mini", words)

    table = load_detections(files, SideFiles(images=described))
    for i, part in enumerate(shards(table.take(area(table.box) > 0).of_images(ids))):
        write_shard(folder / "whole" / SHARDS, i, part)
    with given_detections.read_given(config, "test", folder / "rows") as tables:
        for i, part in enumerate(shards_of(tables)):
            write_shard(folder / "parts" / SHARDS, i, part)
    assert shard_bytes(folder / "parts" / SHARDS) == shard_bytes(folder / "whole" / SHARDS)
    assert not (folder / "rows").exists()


def test_a_file_is_read_in_parts_and_these_are_the_whole(tmp_path):
    table = detections(np.random.default_rng(1), 5, 60)
    for form in ("openimages", "kaggle", "yolo"):
        save_detections(tmp_path / form / NAMES[form], table, form)
        parts = list(row_parts(tmp_path / form / NAMES[form]))
        whole = read_rows(tmp_path / form / NAMES[form])
        assert len(parts) > 1
        assert len(whole) == sum(map(len, parts)) == len(table)
        row = len(whole) - 1
        assert whole.source.place(row) == parts[-1].source.place(len(parts[-1]) - 1)
        assert whole.images == DetectionRows.concat(parts).images


def test_what_is_left_out_is_counted_over_all_parts(tmp_path, capsys):
    known, rows = "/m/04yx4", []
    for i in range(50):
        rows.append(ROW.format(f"{i:04x}", known if i % 2 else "/m/0none", 0.5, 0.1 if i % 10 == 5 else 0.5))
    (tmp_path / "d.csv").write_text(HEAD + "".join(rows))
    assert len(load_detections([tmp_path / "d.csv"])) == 25
    assert capsys.readouterr().err.count("\n") == 1
    with notices() as said:
        load_detections([tmp_path / "d.csv"])
    assert said == [
        f"{tmp_path / 'd.csv'}: 25 of 50 rows (50.0%) are left out: label outside the challenge's 57 classes, "
        "first at line 2 (/m/0none); 5 of 25 boxes (20.0%) have no area and count for nothing, "
        "first at line 7"
    ]


FAULTS = [
    ({40: ROW.format("a/b", "/m/04yx4", 0.5, 0.5)}, "line 42, column ImageID: 'a/b' cannot be"),
    ({41: ROW.format("a", "/m/04yx4", 1.5, 0.5)}, "line 43, column Score: score 1.5 is outside"),
    ({42: ROW.format("a", "/m/04yx4", 0.5, 0.05)}, "line 44, column XMin: inverted box: XMin is over XMax"),
    ({2: ROW.format("a/b", "b", 0.5, 0.5), 45: "a,b\n"}, "line 47: 2 fields where the header has 7"),
    ({2: ROW.format("a", "b", 7, 0.5), 45: '"' + ROW.format("a", "b", 0, 1)}, "line 47: a quote is opened"),
]


@pytest.mark.parametrize(("wrong", "message"), FAULTS)
def test_a_fault_in_a_later_part_is_told_with_its_line(tmp_path, wrong, message):
    rows = [wrong.get(i, ROW.format(f"{i:04x}", "/m/04yx4", 0.5, 0.5)) for i in range(50)]
    (tmp_path / "d.csv").write_text(HEAD + "".join(rows))
    with pytest.raises(KitError, match=re.escape(f"d.csv, {message}")):
        load_detections([tmp_path / "d.csv"])


def test_no_row_of_the_classes_in_any_part(tmp_path):
    (tmp_path / "d.csv").write_text(HEAD + ROW.format("a", "b", 0.5, 0.5) * 50)
    with pytest.raises(KitError, match="no row with one of the challenge's 57 classes"):
        load_detections([tmp_path / "d.csv"])


def test_rows_left_by_a_killed_try_are_thrown_away(tmp_path):
    images, table = ImageIndex(["a", "b"]), detections(np.random.default_rng(0), 1, 4)
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "000000.rows").write_bytes(b"old")
    with ImagePartition(tmp_path / "rows", images, Detections) as partition:
        partition.add(np.array([1, 0, 1, 0], np.int32), table)
        (again,) = partition.tables()
    assert again.images == ("a", "b")
    assert again.image.tolist() == [1, 0, 1, 0]
    assert again.score.tolist() == table.score.tolist()
    with ImagePartition(tmp_path / "rows", ImageIndex([]), Detections) as partition:
        partition.add(np.zeros(0, np.int32), Detections.empty())
        assert list(partition.tables()) == []


def test_places_of_ids(tmp_path):
    ids = ["b", "é" * 9, "a", "aa", "\udcff"]
    index = ImageIndex(ids)
    assert index.names() == tuple(ids)
    assert index.names(1, 3) == tuple(ids[1:3])
    assert index.places([*ids, "", "aaa", "é" * 8, "b" * 300, "a\0"]).tolist() == [0, 1, 2, 3, 4, *[-1] * 5]
    assert ImageIndex([]).places(["a"]).tolist() == [-1]
    assert index.places([]).tolist() == []
