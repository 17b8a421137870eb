"""Detections that are given to a run, against the list of test images."""

import pytest

from kit.base.errors import KitError
from kit.config import load_config
from kit.pipeline.stages.given_detections import read_given
from kit.tables.schema import Detections

HEAD = "ImageID,LabelName,Score,XMin,XMax,YMin,YMax"
ROW = "{},/m/04yx4,0.9,0.1,{},0.1,0.9"


@pytest.fixture
def objects(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ids.csv").write_text("ImageId,PredictionString\n0000000000000012,\n0a1b2c3d4e5f6071,\n")
    settings = ["data.test.ids=ids.csv", f"data.test.detections={tmp_path / 'd.csv'}"]

    def read(*rows):
        (tmp_path / "d.csv").write_text("\n".join([HEAD, *rows]) + "\n")
        with read_given(load_config("mini", settings), "test", tmp_path / "rows") as tables:
            return Detections.concat(list(tables))

    return read


def test_strange_images_and_boxes_without_area_are_left_out_and_told(objects, capsys):
    known = "0a1b2c3d4e5f6071"
    table = objects(ROW.format(known, 0.5), ROW.format("12", 0.5), ROW.format(known, 0.1))
    assert len(table) == 1
    assert table.images == ("0000000000000012", known)
    said = capsys.readouterr().err
    assert (
        "1 of 2 images with detections (50.0%) are not in ids.csv, the first 12: it would be 00000000" in said
    )
    assert said.count("area") == 1
    assert "d.csv: 1 of 3 boxes (33.3%) have no area and count for nothing, first at line 4\n" in said


def test_no_test_image_at_all_is_an_error(objects):
    with pytest.raises(
        KitError, match=r"are not in ids\.csv, the first 0A1B2C3D4E5F6071: it would be 0a1b"
    ) as e:
        objects(ROW.format("0A1B2C3D4E5F6071", 0.5))
    assert "upper and lower case" in str(e.value)


def test_nothing_is_said_of_what_fits(objects, capsys):
    objects(ROW.format("0a1b2c3d4e5f6071", 0.5))
    assert capsys.readouterr().err == ""
