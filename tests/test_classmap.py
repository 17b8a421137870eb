import csv

import numpy as np
import pytest
import torch

from kit.detector.classmap import build_class_map, read_class_map, source_names, write_class_map
from kit.errors import KitError
from kit.vocabulary import vocabulary
from tests.paths import OPENIMAGES, needs_openimages

CLASSES = vocabulary().names[:57]


@needs_openimages
def test_coco_matches_44_classes_as_published():
    with (OPENIMAGES / "coco-to-challenge-57.csv").open() as file:
        published = {r["name"]: r["coco_name"] or None for r in csv.DictReader(file)}
    matches = build_class_map(source_names("coco"))
    assert {m.name: m.source for m in matches} == published
    assert sum(m.source is not None for m in matches) == 44


def test_the_basis_of_every_match():
    basis = {m.name: m.basis for m in build_class_map(source_names("coco"))}
    assert basis["Cat"] == "name"
    assert basis["Mobile phone"] == "synonym"
    assert basis["Girl"] == "a kind of person"
    assert basis["Tennis ball"] == "a kind of sports ball"
    assert basis["Guitar"] == "no counterpart"


def test_other_sources():
    assert all(m.basis == "name" for m in build_class_map(CLASSES))
    broad = {m.name: m.source for m in build_class_map(["Person", "Musical instrument", "ANIMAL", "ball"])}
    assert (broad["Boy"], broad["Violin"], broad["Snake"], broad["Football"]) == (
        "Person",
        "Musical instrument",
        "ANIMAL",
        "ball",
    )
    assert broad["Camera"] is None
    assert all(m.source is None for m in build_class_map(["zebra"]))


def test_a_nearer_kind_wins():
    found = {m.name: m.source for m in build_class_map(["Furniture", "Table"])}
    assert found["Coffee table"] == "Table"
    assert found["Desk"] == "Furniture"


def test_names_from_a_file_and_from_a_checkpoint(tmp_path):
    (tmp_path / "names.txt").write_text("person\n\ndog\n")
    assert source_names(str(tmp_path / "names.txt")) == ("person", "dog")
    torch.save({"meta": {"dataset_meta": {"classes": ["cat", "dog"]}}, "state_dict": {}}, tmp_path / "a.pth")
    assert source_names(str(tmp_path / "a.pth")) == ("cat", "dog")
    torch.save({"meta": {"CLASSES": ("cat",)}, "state_dict": {}}, tmp_path / "b.pth")
    assert source_names(str(tmp_path / "b.pth")) == ("cat",)


def test_a_map_is_written_edited_and_read(tmp_path):
    coco = source_names("coco")
    path = tmp_path / "map.yaml"
    write_class_map(path, "coco", build_class_map(coco))
    indices = read_class_map(path, coco)
    assert indices.shape == (57,)
    assert coco[indices[CLASSES.index("Man")]] == "person"
    assert indices[CLASSES.index("Guitar")] == -1
    text = path.read_text().replace("  Guitar:\n    source: null", "  Guitar:\n    source: tie")
    path.write_text(text)
    assert coco[read_class_map(path, coco)[CLASSES.index("Guitar")]] == "tie"
    assert np.issubdtype(indices.dtype, np.integer)


FAULTS = [
    (lambda t: t.replace("source: person", "source: robot", 1), "the source has no class 'robot'"),
    (lambda t: t.replace("  Cat:", "  Lion:"), "Lion is not one of the 57 classes"),
    (lambda t: t.replace("  Cat:\n    source: cat\n    basis: name\n", ""), "class Cat is missing"),
    (lambda t: "from: coco", "not a class map"),
    (lambda t: "[", "not a class map"),
]


@pytest.mark.parametrize(("change", "message"), FAULTS)
def test_a_faulty_map(tmp_path, change, message):
    path = tmp_path / "map.yaml"
    write_class_map(path, "coco", build_class_map(source_names("coco")))
    path.write_text(change(path.read_text()))
    with pytest.raises(KitError, match=message):
        read_class_map(path, source_names("coco"))


def test_faulty_sources(tmp_path):
    (tmp_path / "twice.txt").write_text("cat\ncat\n")
    (tmp_path / "empty.txt").write_text("\n")
    (tmp_path / "bad.pth").write_text("x")
    torch.save({"state_dict": {}}, tmp_path / "nameless.pth")
    for name, message in [
        ("twice.txt", "cat is there twice"),
        ("empty.txt", "no class name"),
        ("none.txt", "no such file; give coco"),
        ("bad.pth", "not a checkpoint"),
        ("nameless.pth", "does not name its classes; give a names file"),
    ]:
        with pytest.raises(KitError, match=message):
            source_names(str(tmp_path / name))
