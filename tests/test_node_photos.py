"""How the photos of a download are dealt to nodes, and their figures added; tests/test_ray.py has the cluster."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.base.log import logger
from kit.base.version import __version__
from kit.download.photo_download import MAX_CAUSES, DownloadStats, PhotoRequest, PhotoSource
from kit.pipeline.engine import node_photos
from kit.pipeline.engine.cluster import Node, Share
from kit.pipeline.engine.node_photos import PhotoWorker, _pieces
from tests.fakekaggle import HASTY


@given(
    st.lists(st.text("0123456789abcdef", min_size=1, max_size=4), unique=True, min_size=1), st.integers(1, 9)
)
def test_every_photo_is_in_one_piece_and_a_folder_in_one(names: list[str], fewest: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(node_photos, "FEWEST", fewest)
        pieces = [piece.arguments()[0] for piece in _pieces(pa.array(names, pa.string()))]
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


def test_no_photos_are_no_piece() -> None:
    assert list(_pieces(pa.array([], pa.string()))) == []


def test_a_node_has_one_worker_whatever_its_size() -> None:
    share = Share(2, most=1)
    assert [share.room(Node("a", "a", cpus, 0)) for cpus in (0, 1, 2, 64)] == [0, 0, 1, 1]


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """What a worker says that stops it, by the folders of a request."""
    made: list[PhotoWorker] = []

    def stopped(folder: Path, url: str = "http://127.0.0.1:9/train", version: str = __version__) -> str:
        request = PhotoRequest(PhotoSource(url, folder), 2, HASTY)
        made.append(PhotoWorker(30, request, folder / "mark", version))
        outcome = made[-1].make(["a"])
        assert outcome.error is None
        (part,) = outcome.results
        return part.stats.stopped

    yield stopped
    for each in made:
        logger.removeHandler(each)


def test_a_node_that_sees_another_world_says_so(worker: Callable[..., str], tmp_path: Path) -> None:
    seen = "data and runs must be where all nodes see them"
    assert worker(tmp_path / "none") == f"{tmp_path / 'none'} is not there; {seen}"
    assert (
        worker(tmp_path, version="0.0")
        == f"kit {__version__} is installed here, 0.0 where the run is; install that"
    )
    assert worker(tmp_path, url=str(tmp_path / "mirror")) == f"{tmp_path / 'mirror'} is not there; {seen}"
    assert worker(tmp_path) == (
        f"{tmp_path} is another folder here; data must be where all nodes see them, on one disk"
    )
    (tmp_path / "mark").touch()
    assert worker(tmp_path) == ""
