"""What is told of predictions that have passed."""

from kit.tables.schema import Predictions
from kit.tables.watched import Watched
from tests.builders import predictions
from tests.test_relations import ONE

PIXELS = (10.0, 20.0, 300.0, 400.0)


def test_tables_pass_unchanged_and_their_images_are_known_in_order():
    tables = [
        predictions([("b", *ONE[1:]), ONE], [0.1, 0.2], ("b", "z", "a")),
        predictions([ONE, ("c", *ONE[1:])], [0.3, 0.4], ("a", "c")),
    ]
    passed = Watched(iter(tables))
    assert list(passed) == tables
    assert list(passed.images) == ["b", "a", "c"]
    assert (passed.rows, passed.beyond, passed.first) == (4, 0, None)


def test_an_image_without_rows_is_none_of_theirs():
    passed = Watched([Predictions.empty(("z",)), predictions([ONE], [0.5])])
    assert len(list(passed)) == 2
    assert list(passed.images) == ["a"]


def test_the_first_box_beyond_is_told_with_its_row_among_all_and_its_side():
    table = predictions([ONE, (*ONE[:4], ONE[4], PIXELS), (*ONE[:4], PIXELS, PIXELS)], [0.3, 0.2, 0.1])
    passed = Watched([predictions([ONE], [0.5]), table])
    list(passed)
    assert (passed.rows, passed.beyond, passed.first) == (4, 2, (2, "object"))
