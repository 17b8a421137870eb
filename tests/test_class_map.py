import csv
import re

import numpy as np
import pytest
import torch

from kit.base.errors import KitError
from kit.detector.trained import source_names
from kit.vocabulary import vocabulary
from kit.vocabulary.class_map import build_class_map, class_indices, read_class_map, write_class_map
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
    torch.save(
        {"meta": {"dataset_meta": {"classes": ["cat", "dog"]}}, "state_dict": {"a": torch.zeros(1)}},
        tmp_path / "a.pth",
    )
    assert source_names(str(tmp_path / "a.pth")) == ("cat", "dog")
    torch.save({"meta": {"CLASSES": ("cat",)}, "state_dict": {"a": torch.zeros(1)}}, tmp_path / "b.pth")
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
    (lambda t: "from: coco", "not a class map: it has no classes; make it with"),
    (lambda t: "[", "line 1: not a class map: not YAML"),
    (lambda t: "", "not a class map: empty"),
    (lambda t: "- a", "line 1: the file is not a table"),
    (lambda t: "classes: 3", "line 1: classes is not a table"),
    (lambda t: "classes: {Cat: cat}", "line 1: Cat is not a table"),
    (lambda t: "classes: {Cat: {basis: x}}", "line 1: Cat has no source"),
    (lambda t: "classes: {Cat: {source: [cat]}}", "line 1: the source of Cat is not a name"),
    (lambda t: t + "  Cat:\n    source: dog\n", r"line \d{3}: not a class map: the key Cat is there twice"),
    (lambda t: t.replace("source: cat\n", "source: catt\n"), r"line \d+: Cat: .* 'catt'; did you mean cat\?"),
    (lambda t: re.sub("source: .*", "source: null", t), "0 of 57 classes have a source"),
    (lambda t: "a: &a [1]\nb: [*a, *a]\n", "it has no classes"),
    (lambda t: "[" * 100_000, "not a class map: more than 32 tables or lists"),
    (lambda t: "x" * 2_000_000, "larger than 1 MB: not a class map"),
    (lambda t: "a: \x07", r"line 1: not a class map: not YAML \(the character"),
    (lambda t: "? [a]\n: b\n", "line 1: not a class map: a key that is a list"),
]


def test_words_of_a_map_stay_words(tmp_path):
    names = ["no", "2024-01-01", "0x1A", "true"]
    path = tmp_path / "map.yaml"
    table = dict(zip(CLASSES, names, strict=False))
    path.write_text("classes:\n" + "".join(f"  {c}: {{source: {table.get(c, 'null')}}}\n" for c in CLASSES))
    assert read_class_map(path, names).tolist() == [0, 1, 2, 3] + [-1] * 53


@pytest.mark.parametrize("kind", ["folder", "binary", "none"])
def test_a_map_that_is_no_text(tmp_path, kind):
    path = tmp_path / "map.yaml"
    if kind == "folder":
        path.mkdir()
    elif kind == "binary":
        path.write_bytes(b"\xff\xfe\0")
    message = {"folder": "a folder, not a class map", "binary": "not UTF-8 text", "none": "no such file"}[
        kind
    ]
    with pytest.raises(KitError, match=message):
        read_class_map(path, source_names("coco"))


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
    torch.save({"state_dict": {"a": torch.zeros(1)}}, tmp_path / "nameless.pth")
    for name, message in [
        ("twice.txt", "cat is there twice"),
        ("empty.txt", "no class name"),
        ("none.txt", "no such file; give coco"),
        ("bad.pth", "not a checkpoint"),
        ("nameless.pth", "does not name its classes; give a names file"),
    ]:
        with pytest.raises(KitError, match=message):
            source_names(str(tmp_path / name))


def test_compound_names_match_by_their_parts():
    source = [
        "Handbag/Satchel",
        "Bottle / cup",
        "desk or Table",
        "Telephone, mobile phone",
        "Person|human",
        "Mug",
    ]
    found = {m.name: (m.source, m.basis) for m in build_class_map(source)}
    assert found["Handbag"] == ("Handbag/Satchel", "name, a part: Handbag")
    assert found["Bottle"] == ("Bottle / cup", "name, a part: Bottle")
    assert found["Coffee cup"] == ("Bottle / cup", "synonym, a part: cup")
    assert found["Desk"] == ("desk or Table", "name, a part: Desk")
    assert found["Table"] == ("desk or Table", "name, a part: Table")
    assert found["Mobile phone"] == ("Telephone, mobile phone", "name, a part: Mobile phone")
    assert found["Girl"] == ("Person|human", "a kind of person, a part: Person")
    assert found["Mug"] == ("Mug", "name")
    assert found["Cat"][0] is None


def test_a_whole_name_is_better_than_a_part():
    found = {m.name: m.source for m in build_class_map(["Cup/Mug", "Mug", "Oven/Piano", "Piano/Guitar"])}
    assert (found["Mug"], found["Piano"], found["Oven"]) == ("Mug", "Oven/Piano", "Oven/Piano")


def test_a_word_with_or_inside_is_no_compound():
    assert all(m.source is None for m in build_class_map(["Corset", "Orange", "floor"]))


def test_ids_of_open_images_are_names_too():
    found = {m.name: (m.source, m.basis) for m in build_class_map(vocabulary().mids[:57])}
    assert found["Cat"] == ("/m/01yrx", "id")
    assert all(source for source, _ in found.values())


def test_no_class_matched_is_an_error():
    with pytest.raises(KitError, match=r"names.txt: 0 of 57 classes matched; its names are zebra, .*look at"):
        class_indices(["zebra"], "names.txt")
    assert class_indices(["zebra", "cat"]).max() == 1
