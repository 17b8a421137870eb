"""The sample submission: from a Kaggle on this machine that sends it whole, packed, cut, or something else."""

import io
import zipfile

import pytest

from kit.download.remote import registry
from tests.conftest import SAMPLE


def broken_zip(data):
    with zipfile.ZipFile(archive := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.csv", data)
    bad = bytearray(archive.getvalue())
    bad[60:90] = bytes(30)
    return bytes(bad)


@pytest.mark.parametrize("packed", [False, True])
def test_the_sample_submission_comes_from_kaggle(kit, kaggle, published, options, tmp_path, packed):
    data = published.files.pop(SAMPLE)
    with zipfile.ZipFile(archive := io.BytesIO(), "w") as file:
        file.writestr("VRD_sample_submission.csv", data)
    kaggle.files[SAMPLE[1:]] = archive.getvalue() if packed else data
    code, out, err = kit("download", "test", *options)
    assert code == 0, err
    assert "photos test: 30 got" in out
    assert (tmp_path / "data" / SAMPLE[1:]).read_bytes() == data
    left = {p.name for p in (tmp_path / "data").iterdir() if not p.name.endswith(".lock")}
    assert left == {"challenge2018", "downloads.json", SAMPLE[1:]}
    kit("download", "test", *options)
    assert kaggle.seen["DownloadDataFile"] == 1


def test_what_kaggle_refuses_does_not_hold_up_the_rest(
    kit, kaggle, published, options, tmp_path, monkeypatch
):
    data = published.files.pop(SAMPLE)
    kaggle.rules = False
    code, out, err = kit("download", *options)
    assert code == 1
    assert "got, 0 there" in out
    assert "not got: kaggle://open-images-2019-visual-relationship/VRD_sample_submission.csv: " in err
    assert "accept the rules" in err
    kaggle.rules = True
    monkeypatch.setattr("time.sleep", lambda _: None)
    for bad, cause in (
        (b"<html>log in</html>", "a web page came"),
        (b"ImageId\n", "no row"),
        (b"x,y\n1,2\n", "the header lacks this column"),
    ):
        kaggle.files[SAMPLE[1:]] = bad
        code, _, err = kit("download", "test", *options)
        assert (code, cause in err) == (1, True), err
        assert not (tmp_path / "data" / SAMPLE[1:]).exists()
    kaggle.files[SAMPLE[1:]] = data
    kaggle.tricks["GET"] = ["cut 100", "reset"]
    code, out, _ = kit("download", "test", *options)
    assert "photos test: 30 got" in out
    monkeypatch.setenv("KAGGLE_KEY", "")
    (tmp_path / "data" / SAMPLE[1:]).unlink()
    code, _, err = kit("download", "test", *options)
    assert "no Kaggle credentials; make a token" in err


def test_a_sample_submission_with_rows_missing_is_not_taken(
    kit, kaggle, published, options, tmp_path, monkeypatch
):
    rows = [row | {"rows": "30"} if row["what"] == "sample" else row for row in registry()]
    monkeypatch.setattr("kit.download.remote.registry", lambda: rows)
    data = published.files.pop(SAMPLE)
    kaggle.files[SAMPLE[1:]] = data[: data.index(b"\n", 200) + 1]
    code, _, err = kit("download", "test", *options)
    assert code == 1
    assert "rows came instead of 30" in err
    kaggle.files[SAMPLE[1:]] = data
    assert kit("download", "test", *options)[0] == 0
