"""`kit fuse` of files, as typed: what cannot be right and what costs."""

import json

import pytest

from kit.tables.official import read_detections

HEAD = "ImageID,LabelName,Score,XMin,XMax,YMin,YMax"
A, B, C = (f"000000000000000{x},/m/04yx4,0.9,0.1,0.5,0.1,0.9" for x in "abc")


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(name, *rows):
        (tmp_path / name).write_text("\n".join([HEAD, *rows]) + "\n")

    write("ab.csv", A, B)
    write("abc.csv", A, B, C)
    write("c.csv", C)
    write("upper.csv", A.replace("a,", "A,", 1), B.replace("b,", "B,", 1))
    return tmp_path


def test_images_that_are_not_in_every_file(kit, files):
    code, out, err = kit("fuse", "ab.csv", "abc.csv", "--out", "new/o.csv", "--json")
    assert code == 0
    assert json.loads(out) == {"files": ["ab.csv", "abc.csv"], "boxes": 5, "fused": 3, "out": "new/o.csv"}
    assert err == (
        "1 of 3 images (33.3%) are not in every file, the first 000000000000000c (not in ab.csv): "
        "their boxes count as seen by fewer sources\n"
    )
    assert len(read_detections("new/o.csv")) == 3
    assert kit("fuse", "ab.csv", "--out", "o.csv")[2] == ""


def test_the_cause_is_named_where_some_images_match(kit, files):
    mixed = (files / "abc.csv").read_text().replace("\n000000000000000a,", "\n000000000000000A,")
    (files / "mixed.csv").write_text(mixed)
    code, _, err = kit("fuse", "abc.csv", "mixed.csv", "--out", "o.csv")
    assert (code, err.count("\n")) == (0, 1)
    assert err.endswith(
        "seen by fewer sources; 000000000000000a would be 000000000000000A but for upper and lower case\n"
    )


def test_files_of_different_images_are_refused(kit, files):
    code, _, err = kit("fuse", "ab.csv", "upper.csv", "--out", "o.csv")
    assert (code, err.count("\n")) == (2, 1)
    assert "ab.csv: 2 of 2 images (100.0%) are in no other file, the first 000000000000000a" in err
    assert "it would be 000000000000000A but for upper and lower case" in err
    assert kit("fuse", "ab.csv", "c.csv", "--out", "o.csv")[0] == 2
    assert not (files / "o.csv").exists()
    code, _, err = kit("fuse", "ab.csv", "abc.csv", "upper.csv", "--out", "o.csv")
    assert "kit: upper.csv: 2 of 2 images" in err


def test_paths_that_cannot_be_right(kit, files):
    before = (files / "ab.csv").read_bytes()
    (files / "link.csv").symlink_to("ab.csv")
    for out in ("ab.csv", "link.csv"):
        code, _, err = kit("fuse", "ab.csv", "abc.csv", "--out", out)
        assert (code, err) == (2, f"kit: --out: {out} is one of the files to fuse; give another name\n")
    assert (files / "ab.csv").read_bytes() == before
    code, _, err = kit("fuse", "ab.csv", "link.csv", "--out", "o.csv")
    assert code == 0
    assert err == "link.csv is given more than once: each time it counts as a source of its own\n"
    assert kit("fuse", "ab.csv", "none.csv", "--out", "o.csv")[0] == 2


WRONG = [
    (["--weight", "1"], "weights: expected 2, one a source, given 1"),
    (["--weight", "1", "--weight", "nan"], "weights: expected positive numbers"),
    (["--weight", "0", "--weight", "1"], "weights: expected positive numbers"),
    (["--weight", "-1", "--weight", "1"], "weights: expected positive numbers"),
    (["--weight", "1e300", "--weight", "1"], "weights: expected positive numbers"),
    (["--skip-box-threshold", "5"], "skip_box_threshold: expected a number in [0, 1], given 5"),
    (
        ["--out", "o.parquet"],
        "--out: o.parquet: the fused detections are a CSV; end it in .csv, .csv.gz, .zip",
    ),
    (
        ["--out", "o.csv", "--skip-box-threshold", "1"],
        "none of the 5 boxes is left; lower --skip-box-threshold 1",
    ),
    (["--lowest", "0.95"], "none of the 5 boxes is left; lower --skip-box-threshold 0.95"),
    (["--force"], "--force does not go with detection files"),
    (["--attributes"], "--attributes does not go with detection files"),
]


@pytest.mark.parametrize(("words", "message"), WRONG)
def test_wrong_options(kit, files, words, message):
    code, _, err = kit("fuse", "ab.csv", "abc.csv", "--out", "o.csv", *words)
    assert code == 2
    assert message in err
    assert not (files / "o.csv").exists()


def test_options_of_files_with_a_split(kit, files):
    code, _, err = kit("fuse", "--split", "val", "--weight", "2")
    assert code == 2
    assert err.startswith("kit: --weight does not go with --split; detector.fusion in the config")
