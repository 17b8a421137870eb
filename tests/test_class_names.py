import json
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kit.base.errors import FileFault, KitError
from kit.vocabulary.class_names import background, is_checkpoint, read_names

NAMES = ("person", "traffic light", "Formula 1")
PLAIN = "\n".join(NAMES)
COCO = [{"id": 7, "name": NAMES[2]}, {"id": 1, "name": NAMES[0]}, {"id": 3, "name": NAMES[1]}]
FORMS = [
    PLAIN,
    "\ufeff" + PLAIN.replace("\n", "\r\n") + "\r\n\r\n",
    "0: person\n1: traffic light\n2: Formula 1\n",
    "1: person\n2: traffic light\n3: Formula 1\n",
    "2: Formula 1\n0: person\n1: traffic light\n",
    "0 person\n1 traffic light\n2 Formula 1\n",
    "0\tperson\n1\ttraffic light\n2\tFormula 1\n",
    "0,person\n1,traffic light\n2,Formula 1\n",
    "id,name\n0,person\n1,traffic light\n2,Formula 1\n",
    "person,0\ntraffic light,1\nFormula 1,2\n",
    "name,id\nFormula 1,2\nperson,0\ntraffic light,1\n",
    "person 0\ntraffic light 1\nFormula 1 2\n",
    "person: 10\ntraffic light: 20\nFormula 1: 30\n",
    '0: "person"\n1: "traffic light"\n2: "Formula 1"\n',
    "/m/01g317,person\n/m/015qff,traffic light\n/m/0_x,Formula 1\n",
    "LabelName,DisplayName\n/m/01g317,person\n/m/015qff,traffic light\n/m/0_x,Formula 1\n",
    "6,/m/01g317,person\n9,/m/015qff,traffic light\n12,/j/0_x,Formula 1\n",
    "person,/m/01g317\ntraffic light,/m/015qff\nFormula 1,/m/0_x\n",
    "- person\n- traffic light\n- Formula 1\n",
    "'person',\n'traffic light',\n'Formula 1',\n",
    json.dumps(NAMES),
    json.dumps(NAMES, indent=1),
    "['person', 'traffic light', 'Formula 1']",
    json.dumps({"0": NAMES[0], "1": NAMES[1], "2": NAMES[2]}),
    json.dumps({"2": NAMES[2], "0": NAMES[0], "1": NAMES[1]}),
    json.dumps({"person": 0, "Formula 1": 2, "traffic light": 1}),
    json.dumps({"info": {}, "categories": COCO, "images": []}),
    json.dumps(COCO),
    json.dumps({"classes": NAMES}),
    json.dumps({"names": {"0": NAMES[0], "1": NAMES[1], "2": NAMES[2]}}),
    json.dumps({"id2label": {"0": NAMES[0], "1": NAMES[1], "2": NAMES[2]}}),
    "item {\n id: 1\n name: 'person'\n}\nitem { id: 2 name: 'traffic light' }\nitem { id: 3 name: 'Formula 1' }\n",
    'item { name: "/m/0_x" id: 9 display_name: "Formula 1" }\nitem { id: 1 display_name: "person" }\n'
    'item { id: 2 display_name: "traffic light" }\n',
]


@pytest.mark.parametrize("text", FORMS)
def test_every_form_gives_the_same_names(tmp_path, text):
    path = tmp_path / "names.txt"
    path.write_text(text, encoding="utf-8", newline="")
    assert read_names(path) == NAMES


@pytest.mark.parametrize(
    "text",
    [
        "- person\n- traffic light\n- Formula 1\n",
        "names:\n  0: person\n  1: traffic light\n  2: Formula 1\n",
        "classes: [person, traffic light, Formula 1]\n",
        "person: 0\ntraffic light: 1\nFormula 1: 2\n",
    ],
)
def test_yaml(tmp_path, text):
    (tmp_path / "names.yaml").write_text(text)
    assert read_names(tmp_path / "names.yaml") == NAMES


def test_a_word_of_yaml_stays_a_word(tmp_path):
    (tmp_path / "names.yml").write_text("- no\n- 2024-01-01\n- 1e3\n- true\n")
    assert read_names(tmp_path / "names.yml") == ("no", "2024-01-01", "1e3", "true")


def test_an_alias_of_yaml_stands_for_its_word(tmp_path):
    (tmp_path / "names.yaml").write_text("a: &all [person, traffic light, Formula 1]\nnames: *all\n")
    assert read_names(tmp_path / "names.yaml") == NAMES


def test_numbers_that_are_part_of_names_stay(tmp_path):
    for names in (
        ["Formula 1", "Formula 2"],
        ["7 up", "4 wheeler"],
        ["Formula 3"],
        ["a:b", "c: d"],
        ["x,y", "z"],
    ):
        (tmp_path / "names.txt").write_text("\n".join(names))
        if names == ["Formula 1", "Formula 2"]:  # numbers that count the lines belong to a label map
            continue
        assert read_names(tmp_path / "names.txt") == tuple(names)


FAULTS = [
    ("", "no class name"),
    ("\n \n", "no class name"),
    ("[]", "no class name"),
    ("{}", "no class name"),
    ("cat\ndog\ncat\n", "line 3: cat is there twice"),
    ("0: cat\n1: dog\n1: cow\n", "line 3: number 1 is there twice"),
    ("0: cat\n1: dog\n2: cat\n", "line 3: cat is there twice"),
    ('["cat", "cat"]', "cat is there twice"),
    ('{"0": "cat", "0": "dog"}', "0 is there twice"),
    ('["cat", 3]', "entry 2 has no name"),
    ('["cat", null]', "entry 2 has no name"),
    ('["cat", " "]', "entry 2 has no name"),
    ('[{"id": 1}]', "entry 1 has no name"),
    ('[["cat"]]', "entry 1 has no name"),
    ('{"0": ["n01", "cat"]}', "entry 1 has no name"),
    ('{"a": "cat"}', "a table without class names"),
    ("[" * 100_000, "not a file of class names: "),
    ('{"a":' * 100_000, "not a file of class names: "),
    ("[&a [x], *a]", "entry 1 has no name"),
    ("[" + "9" * 10_000 + "]", "not a file of class names: not readable as JSON"),
    ("cat\n" + "x" * 300, "line 2: not a class name: 'xxx"),
    ("cat\ndo\x1b[1mg\n", r"line 2: not a class name: 'do\\x1b"),
    ("cat\0", "bytes of zero"),
    ("item { id: 3 }", "line 1: an item without a name"),
]


@pytest.mark.parametrize(("text", "message"), FAULTS)
def test_what_is_no_list_of_names_is_one_line(tmp_path, text, message):
    path = tmp_path / "names.txt"
    path.write_text(text, newline="")
    with pytest.raises(FileFault) as caught:
        read_names(path)
    assert message.replace(r"\\", "\\") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bytes_folders_and_files_that_are_too_large(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"cat\nd\xffg\n")
    (tmp_path / "b.json").write_text("cat")
    with (tmp_path / "c.txt").open("wb") as file:
        file.truncate(100 << 20)
    for name, message in [
        ("a.txt", "line 2: not UTF-8 text, so not a file of class names"),
        ("b.json", "line 1: not JSON"),
        ("c.txt", "larger than 64 MB: not a file of class names"),
        ("none.txt", "no such file; give coco"),
        ("", "a folder, not a file of class names"),
    ]:
        with pytest.raises(FileFault, match=message):
            read_names(tmp_path / name)


def test_long_lines_and_many_of_them_take_no_time(tmp_path):
    path = tmp_path / "names.txt"
    for text in (
        "a" + " " * 1_000_000 + "b" * 300,
        ", " * 1_000_000,
        "1" * 1_000_000,
        "item {" * 500_000,
        "item { " + "a" * 1_000_000 + "}",
        "item {" + " " * 1_000_000 + "x",
        '"' * 1_000_000,
        "/m/" + "a" * 1_000_000,
    ):
        path.write_text(text)
        with suppress(FileFault):
            read_names(path)
    path.write_text("\n".join(f"{i}: thing {i}x" for i in range(30_000)))
    assert len(read_names(path)) == 30_000


def test_the_background_is_recognised():
    assert background(["__background__", "person"]) == 0
    assert background(["person", "Background"]) == 1
    assert background(["person", "bg"]) == 1
    assert background(["person", "backpack"]) is None
    assert background([]) is None


def test_a_checkpoint_is_what_its_first_bytes_say(tmp_path):
    for name, content, answer in [
        ("a", b"PK\x03\x04", True),
        ("b.txt", b"\x80\x02", True),
        ("c.pth", b"text", True),
        ("D.PTH", b"", True),
        ("e.txt", b"person", False),
        ("f.txt", b"", False),
    ]:
        (tmp_path / name).write_bytes(content)
        assert is_checkpoint(tmp_path / name) == answer
    assert not is_checkpoint(tmp_path / "none.txt")
    assert not is_checkpoint(tmp_path)


WORDS = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=8).filter(
    lambda word: not any(c in word for c in ":=,;[]{}'\"-/") and not word.isdigit() and word.isprintable()
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.lists(WORDS, min_size=1, max_size=6, unique=True), data=st.data())
def test_names_written_in_any_form_and_order_come_back(tmp_path, names, data):
    first = data.draw(st.integers(0, 1))
    order = data.draw(st.permutations(range(len(names))))
    rows = [(i + first, names[i]) for i in order]
    text = data.draw(
        st.sampled_from(
            [
                json.dumps(names),
                json.dumps({str(i): name for i, name in rows}),
                json.dumps([{"id": i, "name": name} for i, name in rows]),
                "\n".join(f"{i}: {name}" for i, name in rows),
                "\n".join(f"{i} {name}" for i, name in rows),
                "\n".join(f"{name},{i}" for i, name in rows),
                "\n".join(f"/m/0{i},{name}" for i, name in enumerate(names)),
            ]
        )
    )
    path = tmp_path / "names.txt"
    path.write_text(text, encoding="utf-8", newline="")
    assert read_names(path) == tuple(names)


PIECES = [*"[]{}\"',:\n", "0: ", "1,", "cat", "/m/0a,", "- ", "item {", "id: ", "&a", "*a"]


def test_a_line_of_a_list_without_a_name_is_a_fault(tmp_path):
    (tmp_path / "names.txt").write_text("person,\n,\ndog,\n")
    with pytest.raises(KitError, match="not a class name: ''"):
        read_names(tmp_path / "names.txt")


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.binary(max_size=60)
    | st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=20).map(lambda p: "".join(p).encode()),
    ending=st.sampled_from(["txt", "json", "yaml", "csv"]),
)
def test_any_file_gives_names_or_a_fault(tmp_path, content, ending):
    path = tmp_path / f"names.{ending}"
    path.write_bytes(content)
    try:
        names = read_names(path)
    except KitError:
        return
    assert len(set(names)) == len(names) > 0
    assert all(name == name.strip() and name.isprintable() and name for name in names)
