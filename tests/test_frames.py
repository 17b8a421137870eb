"""Tables as DataFrames and back."""

import numpy as np
import pandas as pd
import pytest

from kit.base.errors import KitError
from kit.data.world import draw_world
from kit.tables.frames import from_frame, to_frame
from kit.tables.schema import Boxes, Detections, Predictions, Relations, VerifiedLabels, ViewDetections
from kit.vocabulary import vocabulary
from tests.imperfect import imperfect

WORLD = draw_world("val", 12, seed=4)
FOUND = imperfect(WORLD.boxes, 5)
RELATIONS = WORLD.relations


def predictions():
    columns = {name: getattr(RELATIONS, name) for name in ("image", *Relations.COLUMNS)}
    score = np.linspace(0, 1, len(RELATIONS))
    return Predictions(images=RELATIONS.images, **columns, score=score)


def views():
    columns = {name: getattr(FOUND, name) for name in ("image", *Detections.COLUMNS)}
    source = {"model": np.full(len(FOUND), "a"), "view": np.full(len(FOUND), "96x96")}
    return ViewDetections(images=FOUND.images, **columns, **source)


TABLES = {
    Boxes: WORLD.boxes,
    Detections: FOUND,
    ViewDetections: views(),
    Relations: RELATIONS,
    Predictions: predictions(),
    VerifiedLabels: VerifiedLabels(("a", "b"), [0, 1, 1], [3, 0, 61], [True, False, True]),
}


@pytest.mark.parametrize("kind", TABLES)
def test_there_and_back(kind):
    table = TABLES[kind]
    back = from_frame(kind, to_frame(table))
    assert set(back.images) == {
        table.images[i] for i in table.image
    }  # a row names an image, else it is not told
    same = back.of_images(table.images)
    assert np.array_equal(same.image, table.image)
    for name in kind.COLUMNS:
        one, two = getattr(same, name), getattr(table, name)
        assert one.dtype == two.dtype, name
        assert np.array_equal(one, two), name


def test_what_a_frame_shows():
    frame = to_frame(TABLES[Predictions])
    assert list(frame.columns) == [
        "image_id", "subject", "object", "predicate",
        *(f"subject_{corner}" for corner in ("x1", "y1", "x2", "y2")),
        *(f"object_{corner}" for corner in ("x1", "y1", "x2", "y2")), "score",
    ]  # fmt: skip
    row, first = frame.iloc[0], RELATIONS
    assert row.image_id == first.images[first.image[0]]
    assert row.subject == vocabulary().names[first.subject[0]]
    assert row.predicate == vocabulary().predicates[first.predicate[0]]
    assert tuple(row[[f"object_{c}" for c in ("x1", "y1", "x2", "y2")]]) == tuple(first.object_box[0])


def test_labels_of_a_source_set_stay_numbers():
    table = Detections(("a",), [0], [700], [0.5], np.array([[0, 0, 1, 1]], np.float32))
    frame = to_frame(table)
    assert frame.label.tolist() == [700]
    assert from_frame(Detections, frame).label.tolist() == [700]


def test_empty_tables():
    for kind in (Boxes, Detections, Predictions):
        assert len(from_frame(kind, to_frame(kind.empty(("a",))))) == 0


def test_rows_in_any_order_and_more_columns_are_fine():
    frame = to_frame(FOUND)
    mixed = frame.sample(frac=1, random_state=0).assign(more=1)
    one, two = from_frame(Detections, frame), from_frame(Detections, mixed)
    key = lambda table: sorted(zip(np.asarray(table.images)[table.image], table.score, strict=True))  # noqa: E731
    assert key(one) == key(two)


WRONG = [
    (lambda f: f.drop(columns="image_id"), "DataFrame: no column image_id; it has: label, score, x1, "),
    (lambda f: f.drop(columns="score"), "DataFrame: no column score; it has: "),
    (lambda f: f.drop(columns="y2"), "DataFrame: no column y2; it has: "),
    (lambda f: f.assign(label="Unicorn"), "DataFrame: column label: 'Unicorn' is no name of the challenge"),
    (lambda f: f.assign(label=None), "DataFrame: column label: None is no name of the challenge"),
    (lambda f: f.assign(label=70_000), "DataFrame: Detections.label: "),
    (lambda f: f.assign(label=-1), "DataFrame: Detections.label: "),
    (lambda f: f.assign(score="high"), "DataFrame: "),
    (lambda f: f.assign(x1="left"), "DataFrame: "),
    (lambda f: f.assign(image_id=None), "DataFrame: "),
]


@pytest.mark.parametrize(("change", "message"), WRONG)
def test_a_wrong_frame_is_one_line(change, message):
    with pytest.raises(KitError) as error:
        from_frame(Detections, change(to_frame(FOUND)))
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_a_predicate_that_is_none_is_one_line():
    frame = to_frame(TABLES[Predictions])
    with pytest.raises(KitError, match="column predicate: 'eats' is no name of the challenge"):
        from_frame(Predictions, frame.assign(predicate="eats"))
    assert isinstance(frame, pd.DataFrame)
