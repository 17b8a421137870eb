"""A disk that takes no more: every library's writer ends in one line, and nothing is left of the file."""

import errno
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from kit.base.errors import KitError
from kit.base.files import filling

LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
from pathlib import Path
import numpy as np
from kit.base.errors import KitError
from kit.base.files import open_compressed, atomic_write, write_json
noise = np.random.default_rng(0).integers(0, 255, 300_000).astype(np.uint8)

def text(part): part.write_bytes(bytes(noise))
def npz(part): np.savez(part.open("wb"), noise=noise)
def zipped(part):
    with open_compressed(part, "a.zip") as file: file.write(bytes(noise))
def gz(part):
    with open_compressed(part, "a.gz") as file: file.write(bytes(noise))
def parquet(part):
    import pyarrow as pa, pyarrow.parquet as pq
    pq.write_table(pa.table({"a": noise}), part)
def torch_file(part):
    import torch
    torch.save({"a": torch.from_numpy(noise)}, part)
def figure(part):
    from matplotlib.figure import Figure
    figure = Figure(); figure.subplots().plot(noise[:1000]); figure.savefig(part, format="png")

with_library = [globals()[name] for name in sys.argv[2:]]
for write in with_library:
    path = Path(sys.argv[1]) / write.__name__
    try:
        with atomic_write(path) as part:
            write(part)
        print("written")
    except KitError as error:
        print(error)
"""
WRITERS = ("text", "npz", "zipped", "gz", "parquet", "torch_file", "figure")
HEADER = "ImageID,LabelName1,LabelName2,XMin1,XMax1,YMin1,YMax1,XMin2,XMax2,YMin2,YMax2,RelationshipLabel"
ROW = "a,/m/04yx4,/m/0342h,0.1,0.5,0.2,0.9,0.3,0.4,0.5,0.6,plays"


def python(*words, **options):
    return subprocess.run(
        [sys.executable, *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        **options,
    )


@pytest.mark.parametrize("writer", WRITERS)
def test_every_writer(tmp_path, writer):
    for name, library in (("torch_file", "torch"), ("figure", "matplotlib")):
        if writer == name:
            pytest.importorskip(library)
    done = python("-c", LIMITED, tmp_path, writer)
    assert done.stdout.startswith(f"{tmp_path / writer}: cannot be written ("), done.stderr
    if writer == "parquet":  # Arrow has words of its own
        assert done.stdout == f"{tmp_path / writer}: cannot be written (File too large)\n"
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def files(tmp_path):
    (tmp_path / "t.csv").write_text(f"{HEADER}\n{ROW}\n")
    (tmp_path / "p.csv").write_text(f"{HEADER},Score\n{ROW},0.5\n")
    return [
        "-m",
        "kit",
        "score",
        "relations",
        "--truth",
        tmp_path / "t.csv",
        "--predictions",
        tmp_path / "p.csv",
    ]


def test_a_stdout_that_is_full_closed_or_narrow(files):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, *map(str, files)], stdout=full, stderr=-1, text=True, check=False
        )
    assert (done.returncode, done.stderr) == (2, "kit: stdout: No space left on device\n")
    narrow = python(*files, env={**os.environ, "PYTHONIOENCODING": "ascii", "LANG": "C"})
    assert (narrow.returncode, narrow.stderr) == (0, "")
    assert "final score" in narrow.stdout
    shell = f'"{sys.executable}" {" ".join(map(str, files))}'
    for closing in (">&-", "2>&-", "<&-"):
        done = subprocess.run(f"{shell} {closing}", shell=True, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, *map(str, files)], stdout=writer, stderr=-1, text=True, check=False
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")


def test_a_device_is_written_and_not_replaced(tmp_path):
    from kit.base.errors import KitError
    from kit.base.files import atomic_write, write_json

    with atomic_write("/dev/null") as part:
        assert part == Path("/dev/null")
    with pytest.raises(KitError, match=r"^/dev/full: cannot be written \(No space left on device\)$"):
        write_json("/dev/full", {"a": 1})
    assert Path("/dev/full").is_char_device()


def test_a_library_for_whose_file_there_is_no_room(tmp_path):
    said = rf"^{tmp_path}: cannot be written \(No space left on device\)$"
    with (
        pytest.raises(KitError, match=said),
        open("/dev/full", "wb", buffering=0) as file,
        filling(tmp_path),
    ):
        file.write(b"a")
    with pytest.raises(FileNotFoundError), filling(tmp_path):
        (tmp_path / "gone").read_bytes()
    named = OSError(errno.ENOSPC, "full", "elsewhere")
    with pytest.raises(OSError, match="elsewhere"), filling(tmp_path):
        raise named


def test_a_run_on_a_full_disk(tmp_path):
    """`kit train prior` with hardly any room: one line that names the file."""
    (tmp_path / "t.csv").write_text(f"{HEADER}\n{ROW}\n")
    words = ["-m", "kit", "train", "prior", "--config", "relations", "--run", tmp_path / "run"]
    words += ["--set", f"data.train.relations={tmp_path / 't.csv'}"]

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    done = python(*words, preexec_fn=limit)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1
    assert "cannot be written (File too large)" in done.stderr
    assert python(*words).returncode == 0


def test_images_of_the_mini_challenge(tmp_path):
    """The library's error names no file; it was told as one of stdout."""
    limited = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
from pathlib import Path
from kit.config import Mini
from kit.data.mini import paint_source
from kit.base.errors import KitError
try:
    paint_source(Path(sys.argv[1]), Mini(), "val2017", [1])
except KitError as error:
    print(error)
"""
    done = python("-c", limited, tmp_path)
    assert done.stdout == f"{tmp_path / '000000000001.jpg'}: cannot be written (File too large)\n", (
        done.stderr
    )
