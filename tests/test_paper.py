"""The table of the paper's settings: its keys are kit's, its figures the paper's."""

import re
from types import NoneType
from typing import Any, get_args

import pytest

from kit.config import Config
from kit.config.against import value_text
from kit.config.model import Model
from kit.config.paper import PAPER, above, between, each_like, file, like, several
from tests.paths import OPENIMAGES

PAPER_TEXT = OPENIMAGES.parent / "paper.txt"


def model_in(annotation: Any) -> Any:
    """The model of a field that is one, or null."""
    kinds = [kind for kind in get_args(annotation) or (annotation,) if kind is not NoneType]
    return kinds[-1]  # of a table the values


def exists(key: str) -> bool:
    model: Any = Config
    for part in key.split("."):
        if part == "*":
            continue
        if not (isinstance(model, type) and issubclass(model, Model) and part in model.model_fields):
            return False
        model = model_in(model.model_fields[part].annotation)
    return True


@pytest.mark.parametrize("setting", PAPER, ids=lambda setting: setting.key)
def test_every_key_is_a_setting_and_stands_once(setting):
    assert exists(setting.key)
    assert [other.key for other in PAPER].count(setting.key) == 1
    assert re.fullmatch(r"[23](\.[123])?", setting.section)


def test_a_key_that_is_none_would_be_found():
    assert not exists("relation.spatial.depth")
    assert not exists("relation.visual.model.architecture")
    assert exists("detector.models.*.weights")


@pytest.mark.skipif(not PAPER_TEXT.is_file(), reason="the paper's text is not here")
@pytest.mark.parametrize("number", ["374,768", "12,314", "3,991", "1,743,042", "99,999", "44", "57", "80"])
def test_numbers_in_words_are_the_papers(number):
    assert any(re.search(rf"\b{number}\b", value_text(setting.paper)) for setting in PAPER)
    assert re.search(rf"\b{number}\b", PAPER_TEXT.read_text())


def test_what_is_the_same():
    assert [between(1, 3)(value) for value in (None, 0, 1, 2.5, 3, 4)] == [
        False,
        False,
        True,
        True,
        True,
        False,
    ]
    assert [above(0)(value) for value in (0, 0.05, 1)] == [False, True, True]
    assert [several(values) for values in ([], [1], [1, 1], [1, 2])] == [False, False, False, True]
    assert [file("a.csv")(names) for names in (None, [], "a.csv", ["a.csv"], ["a.csv", "b.csv"])] == [
        False,
        False,
        True,
        True,
        False,
    ]
    assert [like("resnext[0-9]*")(name) for name in (None, "resnext-mini", "ResNeXt101")] == [
        False,
        False,
        True,
    ]


@pytest.mark.parametrize(
    ("values", "same"),
    [
        ([], False),
        (["ab"], False),
        (["ab", "cd"], True),
        (["CD", "ab", "ax"], True),
        (["ab", "cd", "ef"], False),
    ],
)
def test_each_is_like_one_of_the_patterns_and_none_is_missing(values, same):
    assert each_like("a*", "c*")(values) is same
