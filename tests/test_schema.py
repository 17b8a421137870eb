import numpy as np
import pytest

from kit.tables.schema import Boxes, Detections, ImageLabels, Predictions, Relations


def boxes(images=("a", "b"), image=(0, 1, 1)):
    n = len(image)
    return Boxes(images, list(image), range(n), np.linspace(0, 1, 4 * n).reshape(n, 4), [True] * n)


def test_columns_get_their_types():
    table = boxes()
    assert (table.image.dtype, table.label.dtype, table.box.dtype) == (np.int32, np.uint16, np.float32)


def test_a_wrong_shape_is_told():
    with pytest.raises(ValueError, match=r"Boxes.box: expected shape \(1, 4\), given \(4,\)"):
        Boxes(("a",), [0], [1], np.zeros(4), [False])


@pytest.mark.parametrize("kind", [Boxes, Detections, Relations, Predictions, ImageLabels])
def test_empty_tables_go_to_arrow_and_back(kind):
    table = kind.from_arrow(kind.empty(("a",)).to_arrow())
    assert len(table) == 0
    assert len(kind.concat([])) == 0


def test_arrow_and_back_keeps_everything():
    table = boxes()
    back = Boxes.from_arrow(table.to_arrow())
    assert [back.images[i] for i in back.image] == ["a", "b", "b"]
    for name in Boxes.COLUMNS:
        assert np.array_equal(getattr(back, name), getattr(table, name))


def test_arrow_names_are_those_of_the_design():
    assert boxes().to_arrow().column_names == ["image_id", "label", "x1", "y1", "x2", "y2", "is_group_of"]
    assert Relations.empty().to_arrow().column_names[4:8] == [
        f"subject_{c}" for c in ("x1", "y1", "x2", "y2")
    ]


def test_concat_joins_equal_images():
    table = Boxes.concat([boxes(("a", "b")), boxes(("b", "c"))])
    assert [table.images[i] for i in table.image] == ["a", "b", "b", "b", "c", "c"]
    assert table.images == ("a", "b", "c")


def test_of_images_takes_and_renumbers():
    table = boxes().of_images(("z", "b"))
    assert table.images == ("z", "b")
    assert table.image.tolist() == [1, 1]
    assert table.label.tolist() == [1, 2]
