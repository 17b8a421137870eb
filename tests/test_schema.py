import numpy as np
import pytest

from kit.tables.schema import Boxes, Detections, ImageLabels, Predictions, Relations, VerifiedLabels


def boxes(images=("a", "b"), image=(0, 1, 1)):
    n = len(image)
    return Boxes(images, list(image), range(n), np.linspace(0, 1, 4 * n).reshape(n, 4), [True] * n)


def test_columns_get_their_types():
    table = boxes()
    assert (table.image.dtype, table.label.dtype, table.box.dtype) == (np.int32, np.uint16, np.float32)


def test_a_wrong_shape_is_told():
    with pytest.raises(ValueError, match=r"Boxes.box: expected shape \(1, 4\), given \(4,\)"):
        Boxes(("a",), [0], [1], np.zeros(4), [False])


@pytest.mark.parametrize("kind", [Boxes, Detections, Relations, Predictions, ImageLabels, VerifiedLabels])
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


@pytest.mark.parametrize("label", [300, 365, 1203, 65_535])
def test_labels_of_a_source_set_stay(label):
    box = np.zeros((1, 4))
    for table in (
        Boxes(("a",), [0], [label], box, [False]),
        Detections(("a",), [0], np.asarray([label]), [0.5], box),
        ImageLabels(("a",), [0], [label]),
    ):
        assert table.label.tolist() == [label]
        assert type(table).from_arrow(table.to_arrow()).label.tolist() == [label]
        assert type(table).concat([table, table]).of_images(["a"]).label.tolist() == [label] * 2


@pytest.mark.parametrize("value", [-1, 65_536, 1.5, float("nan"), float("inf"), 2**63])
def test_a_label_that_its_type_cannot_hold_is_an_error(value):
    with pytest.raises(ValueError, match=r"ImageLabels.label: .* in row 1 is no uint16 number"):
        ImageLabels(("a",), [0, 0], np.asarray([3, value]))
    with pytest.raises(ValueError, match=r"ImageLabels.image: .* in row 0 is no int32 number"):
        ImageLabels(("a",), np.asarray([1.5 if value in (-1, 65_536) else value]), [3])


def test_every_column_of_numbers_is_checked():
    box = np.zeros((1, 4))
    with pytest.raises(ValueError, match=r"Relations.predicate: 256 in row 0 is no uint8 number"):
        Relations(("a",), [0], [1], [2], [256], box, box)
    with pytest.raises(ValueError, match=r"Boxes.is_group_of: 2 in row 0 is no bool number"):
        Boxes(("a",), [0], [1], box, [2])
    with pytest.raises(ValueError, match="expected numbers"):
        ImageLabels(("a",), [0], ["3"])


def test_tables_of_earlier_runs_are_read():
    """Labels were one byte then."""
    table = boxes()
    narrow = table.to_arrow().set_column(1, "label", [table.label.astype(np.uint8)])
    assert Boxes.from_arrow(narrow).label.tolist() == table.label.tolist()
