"""How the photos of a download are dealt to nodes, and their figures added; tests/test_ray.py has the cluster."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.base.version import __version__
from kit.download.photo_download import MAX_CAUSES, DownloadStats, PhotoRequest, PhotoSource
from kit.pipeline.engine import node_photos
from kit.pipeline.engine.node_photos import PhotoWorker, _pieces
from tests.fakekaggle import HASTY


@given(
    st.lists(st.text("0123456789abcdef", min_size=1, max_size=4), unique=True, min_size=1), st.integers(1, 9)
)
def test_every_photo_is_in_one_piece_and_a_folder_in_one(names: list[str], fewest: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(node_photos, "FEWEST", fewest)
        pieces = _pieces(pa.array(names, pa.string()))
    assert sorted(name for piece in pieces for name in piece) == sorted(names)
    folders = [{name[:2] for name in piece} for piece in pieces]
    assert sum(map(len, folders)) == len(set.union(*folders))
    assert all(len(piece) >= fewest for piece in pieces) or len(pieces) == 1


def test_figures_of_pieces_add_up() -> None:
    total = DownloadStats()
    total.add(
        DownloadStats(
            got=3, there=1, missing=2, bytes=70, causes=Counter({"cut off": 2}), first={"cut off": "a"}
        )
    )
    total.add(
        DownloadStats(
            got=1,
            bytes=5,
            causes=Counter({"cut off": 1, "HTTP 500": 1}),
            first={"cut off": "b", "HTTP 500": "c"},
        )
    )
    total.add(DownloadStats(stopped="no room"))
    total.add(DownloadStats(stopped="later"))
    assert (total.got, total.there, total.missing, total.bytes, total.failures()) == (4, 1, 2, 75, 4)
    assert total.causes == {"cut off": 3, "HTTP 500": 1}
    assert total.first == {"cut off": "a", "HTTP 500": "c"}
    assert total.stopped == "no room"


def test_causes_of_many_pieces_stay_few() -> None:
    total = DownloadStats()
    for i in range(2 * MAX_CAUSES):
        total.add(DownloadStats(causes=Counter({f"cause {i}": 2}), first={f"cause {i}": f"photo {i}"}))
    assert len(total.causes) <= MAX_CAUSES + 1
    assert total.failures() == 4 * MAX_CAUSES
    assert total.first["another cause"] == f"photo {MAX_CAUSES}"


def test_a_node_that_sees_another_world_says_so(tmp_path: Path) -> None:
    request = PhotoRequest(PhotoSource("http://127.0.0.1:9/train", tmp_path / "none"), 2, HASTY)
    error = PhotoWorker(30, request, __version__).make(["a"]).error
    assert str(error) == f"{tmp_path / 'none'} is not there; data and runs must be where all nodes see them"
    error = PhotoWorker(30, request, "0.0").make(["a"]).error
    assert str(error) == f"kit {__version__} is installed here, 0.0 where the run is; install that"
