import gzip
import zipfile

import pytest

from kit.kaggle.naming import upload_name

NAMES = [
    ("plain", "s.csv", "s.csv"),
    ("plain", "s.txt", "s.txt.csv"),
    ("plain", "s.csv.gz", "s.csv"),
    ("plain", "s.zip", "s.csv"),
    ("gzip", "s.csv", "s.csv.gz"),
    ("gzip", "s.csv.gz", "s.csv.gz"),
    ("gzip", "S.CSV.GZ", "S.CSV.GZ"),
    ("zip", "s.csv.gz", "s.csv.zip"),
    ("zip", "s.zip", "s.zip"),
    ("zip", "s", "s.csv.zip"),
]


@pytest.mark.parametrize(("kind", "name", "want"), NAMES)
def test_the_ending_says_what_the_file_is(tmp_path, kind, name, want):
    path = tmp_path / name
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("s.csv", "ImageId,PredictionString")
    else:
        path.write_bytes(gzip.compress(b"ImageId") if kind == "gzip" else b"ImageId")
    assert upload_name(path) == want
