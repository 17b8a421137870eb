"""Columns of the challenge's files, in parts; the files themselves: test_official."""

import numpy as np
import pytest

from kit.base.errors import FileFault
from kit.tables import csvbatches
from kit.tables.csvfile import Column, CsvFile
from kit.tables.official_columns import IMAGE, LABEL, OTHER, SCORE, box_columns, column_parts, read_columns
from kit.vocabulary import vocabulary

MAN = "/m/04yx4"
COLUMNS = [IMAGE, LABEL, *box_columns(), SCORE]
GOOD = "a,/m/04yx4,0.1,0.2,0.3,0.4,0.123456789"


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Write a file of these rows, which is read in several parts."""
    monkeypatch.setattr(csvbatches, "PART", 400)

    def write(*rows):
        path = tmp_path / "t.csv"
        path.write_text("\n".join(["ImageID,LabelName,XMin,YMin,XMax,YMax,Score", *rows]) + "\n")
        return CsvFile(path)

    return write


def test_parts_have_their_own_images_and_together_they_are_the_columns(written):
    rows = [GOOD.replace("a,", f"{'bca'[i // 12]},", 1).replace("0.4", f"0.{40 + i}") for i in range(36)]
    parts, whole = list(column_parts(written(*rows), COLUMNS)), read_columns(written(*rows), COLUMNS)
    assert len(parts) > 2
    assert parts[0]["images"] == ("b",)
    assert whole["images"] == ("b", "c", "a")
    assert np.array_equal(whole["image"], np.repeat([0, 1, 2], 12))
    assert np.array_equal(whole["box"], np.concatenate([part["box"] for part in parts]))
    assert whole["box"].dtype == np.float32
    assert np.allclose(whole["box"][:, 3], 0.4 + np.arange(36) / 100)
    assert whole["Score"].dtype == np.float64
    assert set(whole["LabelName"]) == {vocabulary().label[MAN]}


FAULTS = [
    (GOOD.replace(MAN, "/m/none"), "column LabelName: unknown label '/m/none'"),
    (GOOD.replace("a,", ",", 1), "column ImageID: empty where an image id belongs"),
    (GOOD.replace("0.3", "1e39"), "column XMax: 1e.39 where a coordinate belongs"),
    (GOOD.replace("0.3", "nan"), "column XMax: nan where a finite number belongs"),
]


@pytest.mark.parametrize(("row", "message"), FAULTS)
@pytest.mark.parametrize("before", [0, 30])
def test_a_fault_is_told_with_its_line_in_whichever_part_it_is(written, row, message, before):
    file = written(*[GOOD] * before, row, *[GOOD] * 30)
    for read in (read_columns, lambda *given: list(column_parts(*given))):
        with pytest.raises(FileFault, match=f"line {before + 2}, {message}"):
            read(file, COLUMNS)


def test_what_is_not_the_challenges_can_be_marked(written):
    labels = read_columns(written(GOOD, GOOD.replace(MAN, "/m/none")), COLUMNS, skip_unknown=True)[
        "LabelName"
    ]
    assert labels.tolist() == [vocabulary().label[MAN], OTHER]


def test_a_column_that_is_not_there(written):
    with pytest.raises(FileFault, match="column Depth: the header lacks this column"):
        next(column_parts(written(GOOD), [IMAGE, Column("Depth", "number")]))
