import hashlib

from kit.download.remote import registry, remotes
from tests.paths import OPENIMAGES, needs_openimages


def test_every_file_has_an_address(tmp_path):
    assert {row["what"] for row in registry()} == {"annotations", "weights", "photos", "sample"}
    assert all(row["url"].startswith(("https://", "kaggle://")) for row in registry())
    weights = remotes("weights", tmp_path)
    assert all(w.path.stem.endswith(w.sha256) and len(w.sha256) == 8 for w in weights)
    mirrored = remotes("annotations", tmp_path, "http://mirror/x/")
    assert mirrored[0].url == "http://mirror/x/challenge-2019-train-vrd.csv"


@needs_openimages
def test_sizes_and_hashes_are_those_of_the_published_files(tmp_path):
    known = [r for r in remotes("annotations", tmp_path) if r.sha256]
    assert len(known) == 4
    for remote in known:
        data = (OPENIMAGES / remote.path.name).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (remote.size, remote.sha256)
