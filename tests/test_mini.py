import hashlib

import pytest

from kit.base.errors import KitError
from kit.config import Mini, SplitFiles
from kit.data.mini import STEMS, build_mini, is_built
from kit.data.split_tables import load_split
from kit.data.world import draw_world
from kit.detector.trained import source_names
from kit.tables.coco import read_instances
from kit.tables.image_lists import read_image_ids
from kit.tables.official import read_relations
from kit.vocabulary import vocabulary

SMALL = Mini(train=30, stack=10, val=10, test=10, source=20, side=64, seed=1)


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
        tables = load_split(SplitFiles(relations=[relations], boxes=[boxes], labels=[labels]), "x")
        allowed = vocabulary().allowed[
            tables.relations.predicate, tables.relations.subject, tables.relations.object
        ]
        assert allowed.all()
    ids = read_image_ids(tmp_path / "VRD_sample_submission.csv")
    assert len(ids) == 10
    photos = {path.stem for path in (tmp_path / "challenge2018").glob("*.jpg")}
    assert photos == set(ids)
    hidden = set(read_relations(tmp_path / "hidden/test-vrd.csv").images)
    assert hidden <= set(ids)


def test_splits_share_no_image():
    images = [set(draw_world(name, 50, 0).boxes.images) for name in STEMS]
    assert sum(map(len, images)) == len(set.union(*images)) == 200


def test_the_source_set_is_read_as_coco(tmp_path):
    build_mini(tmp_path, SMALL)
    for name, images in (("train2017", 20), ("val2017", 2)):
        boxes, classes = read_instances(tmp_path / f"source/annotations/instances_{name}.json")
        assert classes == source_names("coco")
        assert len(boxes.images) == images
        assert {path.stem for path in (tmp_path / "source" / name).iterdir()} == set(boxes.images)


def test_the_vocabulary_files_are_the_published_ones_in_content(tmp_path):
    words = vocabulary()
    build_mini(tmp_path, SMALL)
    classes = (tmp_path / "challenge-2019-classes-vrd.csv").read_text().splitlines()
    assert dict(line.split(",") for line in classes) == dict(
        zip(words.mids[:57], words.names[:57], strict=True)
    )
    triplets = (tmp_path / "challenge-2019-relationship-triplets.csv").read_text().splitlines()
    assert triplets[0] == "LabelName1,LabelName2,RelationshipLabel"
    assert len(triplets) == 330
    assert len((tmp_path / "challenge-2019-attributes-description.csv").read_text().splitlines()) == 5
    assert len((tmp_path / "challenge-2019-relationships-description.csv").read_text().splitlines()) == 10


def test_a_split_without_relations_or_with_files_of_other_images(tmp_path):
    with pytest.raises(KitError, match=r"data.val.relations is not set; give it with --set"):
        load_split(SplitFiles(), "val")
    build_mini(tmp_path, SMALL)
    relations = tmp_path / f"{STEMS['train'][0]}.csv"
    for kind, i in (("boxes", 1), ("labels", 2)):
        other = {kind: [tmp_path / f"{STEMS['val'][i]}.csv"]}
        with pytest.raises(KitError, match=f"data.val.{kind}: none of its images is in data.val.relations"):
            load_split(SplitFiles(relations=[relations], **other), "val")
