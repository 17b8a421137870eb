"""A download that is stopped, and one that has no space: what came stays, and the next call goes on."""

import re
import signal
import subprocess
import sys
import time

import pytest

from kit.config import load_config
from tests.badserver import serving
from tests.waiting import wait_for

DATA = b"ImageID,some,text\n" * 4000
NAME = "challenge-2019-train-vrd.csv"


@pytest.fixture
def server():
    with serving() as answers:
        answers.files[f"/{NAME}"] = DATA
        yield answers


def words(server, root, *more):
    settings = {"data.root": root, "data.download": f"{{mirror: '{server.url}', attempts: 1, backoff: 0.01}}"}
    options = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    return [sys.executable, "-m", "kit", "download", "annotations", "--config", "layer6", *options, *more]


def test_ctrl_c_ends_it_soon_and_keeps_what_came(server, tmp_path):
    server.tricks[f"/{NAME}"] = ["cut 30000", "trickle"]
    process = subprocess.Popen(
        words(server, tmp_path), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    wait_for(lambda: server.seen[f"/{NAME}"] == 2)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert out == ""
    assert err.count("\n") <= 1
    assert "Traceback" not in err
    part = tmp_path / f".{NAME}.part"
    assert part.stat().st_size >= 30_000
    subprocess.run(words(server, tmp_path), capture_output=True, check=False)
    assert (tmp_path / NAME).read_bytes() == DATA
    (start,) = re.findall(r"bytes=(\d+)-", server.log[[p for p, _ in server.log].index(f"/{NAME}", 2)][1])
    assert int(start) >= 30_000


def test_a_full_disk_is_one_line_a_file(server, tmp_path, kit):
    """What is written to /dev/full finds no space, as on a disk that is full."""
    for ending in ("part", "part.json"):
        (tmp_path / f".{NAME}.{ending}").symlink_to("/dev/full")
    options = words(server, tmp_path)[4:]
    code, out, err = kit("download", *options)
    assert (code, out) == (1, "")
    (line,) = (line for line in err.splitlines() if f"{NAME}:" in line)
    assert line.endswith("it cannot be written (No space left on device)")


def test_a_full_disk_is_one_line_for_photos(server, tmp_path, kit, monkeypatch):
    from kit.download import photo_store
    from tests.jpegs import jpeg

    def full(path, data):
        raise OSError(122, "Disk quota exceeded")

    server.files["/train/aa00.jpg"] = jpeg(0)
    monkeypatch.setattr(photo_store.Path, "write_bytes", full)
    (tmp_path / NAME).write_text(
        "ImageID,LabelName1,LabelName2,XMin1,XMax1,YMin1,YMax1,XMin2,XMax2,YMin2,YMax2,RelationshipLabel\n"
        "aa00,/m/04bcr3,/m/083vt,0.1,0.6,0.2,0.7,0.1,0.6,0.2,0.7,is\n"
    )
    options = words(server, tmp_path)[5:]
    more = [f"data.train={{relations: {tmp_path / NAME}, images: {tmp_path / 'train'}}}"]
    assert load_config("layer6", more).data.train.images == tmp_path / "train"
    code, out, err = kit("download", "photos", "--split", "train", *options, "--set", more[0])
    assert (code, out) == (1, "photos train: 0 got, 0 there, 0 missing, 0 failed\n")
    assert "aa00.jpg: cannot be written (Disk quota exceeded); the next call goes on" in err
