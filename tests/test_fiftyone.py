"""The layout is that which FiftyOne 1.22 writes and reads; every value is compared with the tables."""

import json
import os
import shutil

import numpy as np
import pytest

from kit.pipeline.run import Run
from kit.tables.fiftyone import Layer, write_fiftyone
from kit.tables.official import read_boxes, read_relations
from kit.vocabulary import PREDICATES, vocabulary
from tests.builders import A, B, boxes, predictions

FIELD = {"name", "ftype", "embedded_doc_type", "subfield", "fields", "db_field", "description", "info"}


def written(folder, *layers, files=None):
    write_fiftyone(folder, "x", files or {"a": "data/a.jpg"}, layers, ["val"])
    return tuple(json.loads((folder / f"{name}.json").read_text()) for name in ("metadata", "samples"))


def test_an_object_and_a_relation_by_hand(tmp_path):
    true = Layer("objects", boxes(("a", "Man", A), ("a", "Guitar", B)))
    found = Layer("relations", predictions([("a", 0, 1, 2, A, B)], [0.25]), ["right"])
    metadata, samples = written(tmp_path, true, found)
    (sample,) = samples["samples"]
    assert (sample["filepath"], sample["tags"], sample["_media_type"]) == ("data/a.jpg", ["val"], "image")
    first = sample["objects"]["detections"][0]
    assert (first["label"], first["bounding_box"], first["is_group_of"]) == ("Man", [0, 0, 0.4, 0.4], False)
    (relation,) = sample["relations"]["detections"]
    assert (relation["label"], relation["verdict"]) == (PREDICATES[2], "right")
    assert [relation[side] for side in ("subject", "object")] == list(vocabulary().names[:2])
    assert relation["bounding_box"] == [0, 0, 1, 1]
    assert relation["object_box"] == [0.5, 0.5, 0.5, 0.5]
    assert relation["confidence"] == 0.25
    fields = {field["name"]: field for field in metadata["sample_fields"]}
    assert metadata["media_type"] == "image"
    assert fields["id"]["db_field"] == "_id"
    assert fields["relations"]["embedded_doc_type"] == "fiftyone.core.labels.Detections"
    (rows,) = fields["relations"]["fields"]
    assert (rows["name"], rows["embedded_doc_type"]) == ("detections", "fiftyone.core.labels.Detection")
    assert {field["name"] for field in rows["fields"]} - {"id"} == relation.keys() - {"_id", "_cls"}
    assert all(set(field) == FIELD for field in (*fields.values(), *rows["fields"]))


def test_ids_are_24_hexadecimal_digits_each_once_and_the_same_again(tmp_path):
    layer = Layer("objects", boxes(("a", "Man", A), ("b", "Man", A)))
    files = {"a": "data/a.jpg", "b": "data/b.jpg"}
    _, samples = written(tmp_path, layer, files=files)
    ids = [s["_id"]["$oid"] for s in samples["samples"]]
    ids += [d["_id"]["$oid"] for s in samples["samples"] for d in s["objects"]["detections"]]
    assert len(set(ids)) == 4
    assert all(len(bytes.fromhex(i)) == 12 for i in ids)
    assert written(tmp_path, layer, files=files)[1] == samples


def test_a_dataset_without_rows(tmp_path):
    _, samples = written(tmp_path, Layer("objects", boxes()))
    assert samples["samples"][0]["objects"] == {"_cls": "Detections", "detections": []}


@pytest.fixture
def exported(predicted, tiny, tmp_path, kit):
    """Words of an export of the tiny run, after which what it says."""
    shutil.copytree(predicted.path, tmp_path / "run")
    (tmp_path / "config.yaml").write_text((tmp_path / "run/config.yaml").read_text())
    words = ["--config", tmp_path / "config.yaml", "--run", tmp_path / "run", "--split", "test"]
    return lambda *more: kit("export", "fiftyone", *words, "--out", tmp_path / "fo", *more)


def test_a_split_of_a_run(exported, tmp_path, predicted):
    code, out, err = exported("--top", "20", "--json")
    counts = json.loads(out)
    true = read_relations(predicted.config.data.test.relations)
    assert code == 0
    assert (counts["images"], counts["true_relations"]) == (30, len(true))
    assert counts["objects"] == len(read_boxes(predicted.config.data.test.boxes))
    assert "are left out: not among the best 20 of their image" in err
    samples = json.loads((tmp_path / "fo/samples.json").read_text())["samples"]
    for sample in samples:
        name = os.path.basename(sample["filepath"])
        photo = predicted.config.data.test.images / name
        assert (tmp_path / "fo" / sample["filepath"]).read_bytes() == photo.read_bytes()
        assert all(len(sample[field]["detections"]) <= 20 for field in ("detections", "relations"))
    right = [d for s in samples for d in s["relations"]["detections"] if d["verdict"] == "right"]
    table = true.of_images([os.path.basename(s["filepath"])[:-4] for s in samples])
    triplets = {
        (vocabulary().names[s], PREDICATES[p], vocabulary().names[o])
        for s, p, o in zip(table.subject, table.predicate, table.object, strict=True)
    }
    assert right
    assert {(d["subject"], d["label"], d["object"]) for d in right} <= triplets
    assert np.mean([d["verdict"] == "not judged" for s in samples for d in s["relations"]["detections"]]) < 1


def test_what_is_there_is_kept_unless_it_is_forced(exported, tmp_path):
    assert exported("--link")[0] == 0
    assert all(path.is_symlink() and path.exists() for path in (tmp_path / "fo/data").iterdir())
    code, _, err = exported()
    assert (code, "is there already" in err) == (2, True)
    assert exported("--force")[0] == 0
    assert not any(path.is_symlink() for path in (tmp_path / "fo/data").iterdir())
    assert not list(tmp_path.glob(".fo*"))


@pytest.mark.parametrize("name", ["thesis.txt", "metadata.json"])
def test_a_folder_of_something_else_is_kept_even_where_it_is_forced(exported, tmp_path, name):
    (tmp_path / "fo").mkdir()
    (tmp_path / "fo" / name).write_text("mine")
    code, _, err = exported("--force")
    assert (code, "no FiftyOne dataset" in err) == (2, True)
    assert (tmp_path / "fo" / name).read_text() == "mine"


def test_a_stage_that_is_not_finished_is_left_out_and_told(exported, tmp_path, predicted):
    shutil.rmtree(tmp_path / "run/predict-test")
    code, out, err = exported("--json")
    assert code == 0
    assert "relations" not in json.loads(out)
    assert "stage predict-test is not there" in err
    assert Run(predicted.config, tmp_path / "run").record("predict-test") is None
