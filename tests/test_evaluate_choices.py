"""What was chosen on the validation split, as a table; the whole report is made in `test_stages_pipeline`."""

import math

import pytest

from kit.pipeline.stages.evaluate_choices import Choice, text

OPTIONS = ["a", "b", "c"]


def test_a_choice_stands_beside_what_the_hidden_test_would_have_chosen():
    choice = Choice("fusion", "mAP", OPTIONS, 1, [0.1, 0.3, 0.2], [0.4, 0.3, 0.5])
    assert choice.row() == ["fusion", "mAP", "b", 0.3, 0.3, "c", 0.5]


def test_of_equals_the_chosen_one_is_the_best_there():
    assert Choice("fusion", "mAP", OPTIONS, 1, [0.1, 0.3, 0.2], [0.5, 0.5, 0.5]).row()[-2:] == ["b", 0.5]


def test_where_an_option_is_unknown_none_is_the_best():
    row = Choice("calibration", "Recall@50", ["no", "yes"], 0, [0.3, 0.2], [0.4, math.nan]).row()
    assert row[-3:] == [0.4, "", ""]


def test_an_unknown_figure_is_an_empty_cell():
    unknown = Choice("weight of visual, hits", "AP", OPTIONS, 1, [0.1, 0.3, 0.2], [math.nan] * 3)
    assert unknown.row()[3:] == [0.3, "", "", ""]
    unknown = Choice('exponent of "is"', "mAP", OPTIONS, 1, [None] * 3)
    assert unknown.row()[3:] == [""]
    assert "nan" not in text([unknown])
    assert "None" not in text([unknown])


@pytest.mark.parametrize("hidden", [None, [0.4, 0.3, 0.5]])
def test_the_table_says_whether_there_is_a_hidden_test(hidden):
    shown = text([Choice("fusion", "mAP", OPTIONS, 1, [0.1, 0.3, 0.2], hidden)])
    assert ("no figures of a hidden test" in shown) == (hidden is None)
    assert ("best there" in shown) == bool(hidden)
    assert "0.3000" in shown
