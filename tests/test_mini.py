import hashlib

import numpy as np
import pytest

from kit.config import Mini, Split
from kit.data.mini import STEMS, build_mini, is_built
from kit.data.splits import load_split
from kit.data.world import draw_world
from kit.errors import KitError
from kit.tables.official import read_detections, read_image_ids, read_relations
from kit.vocabulary import IS, vocabulary

SMALL = Mini(train=30, stack=10, val=10, test=10, seed=1)


def digest(folder):
    return {
        p.relative_to(folder): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


def test_the_same_seed_the_same_bytes(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        build_mini(tmp_path / name, SMALL.model_copy(update={"seed": seed}))
    a, b, c = (digest(tmp_path / name) for name in "abc")
    assert a == b
    assert a != c


def test_it_is_built_only_when_whole(tmp_path):
    assert not is_built(tmp_path, SMALL)
    build_mini(tmp_path, SMALL)
    assert is_built(tmp_path, SMALL)
    assert not is_built(tmp_path, SMALL.model_copy(update={"val": 11}))


def test_every_split_is_read_by_the_readers_of_the_real_files(tmp_path):
    build_mini(tmp_path, SMALL)
    for stems in STEMS.values():
        relations, boxes, labels = (tmp_path / f"{stem}.csv" for stem in stems)
        tables = load_split(Split(relations=[relations], boxes=[boxes], labels=[labels]), "x")
        allowed = vocabulary().allowed[
            tables.relations.predicate, tables.relations.subject, tables.relations.object
        ]
        assert allowed.all()
    ids = read_image_ids(tmp_path / "VRD_sample_submission.csv")
    assert len(ids) == 10
    assert set(read_detections(tmp_path / "test-detections.csv").images) <= set(ids)
    hidden = set(read_relations(tmp_path / "hidden/test-vrd.csv").images)
    assert hidden <= set(ids)


def test_splits_share_no_image():
    images = [set(draw_world(name, 50, 0).boxes.images) for name in STEMS]
    assert sum(map(len, images)) == len(set.union(*images)) == 200


def test_the_world_leaves_some_relations_unlabelled_and_predicates_are_long_tailed():
    world = draw_world("train", 800, 0)
    pairs = world.relations.take(world.relations.predicate != IS)
    share = len(world.hidden) / (len(world.hidden) + len(pairs))
    assert 0.1 < share < 0.2
    counts = np.bincount(pairs.predicate, minlength=10)
    assert counts[vocabulary().predicate["at"]] > 5 * counts[vocabulary().predicate["hits"]] > 0
    assert ((world.boxes.box >= 0) & (world.boxes.box <= 1)).all()
    assert (world.boxes.box[:, :2] < world.boxes.box[:, 2:]).all()


def test_a_split_without_relations_or_with_files_of_other_images(tmp_path):
    with pytest.raises(KitError, match=r"data.val.relations is not set; give it with --set"):
        load_split(Split(), "val")
    build_mini(tmp_path, SMALL)
    relations = tmp_path / f"{STEMS['train'][0]}.csv"
    for kind, i in (("boxes", 1), ("labels", 2)):
        other = {kind: [tmp_path / f"{STEMS['val'][i]}.csv"]}
        with pytest.raises(KitError, match=f"data.val.{kind}: none of its images is in data.val.relations"):
            load_split(Split(relations=[relations], **other), "val")
