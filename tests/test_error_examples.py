"""Kinds of errors on a split of a few hand-made images, each kind once."""

import numpy as np
import pytest

from kit.base.errors import KitError
from kit.data.split_tables import SplitTables
from kit.relation.scored import scored_candidates_table
from kit.report.error_examples import KINDS, NUMBER, errors_of
from kit.report.error_panels import error_panel, sentence
from kit.tables.schema import Detections, VerifiedLabels
from kit.vocabulary import PREDICATES
from tests.builders import NAME, A, B, C, boxes, predictions, relations

MAN, GUITAR, TABLE, WOMAN = (NAME[name] for name in ("Man", "Guitar", "Table", "Woman"))
PLAYS, HOLDS, AT = (PREDICATES.index(name) for name in ("plays", "holds", "at"))
FAR = (0.9, 0.0, 1.0, 0.1)
IMAGES = ("a", "b", "c", "d", "e", "f")
TRUTH = [
    ("a", MAN, GUITAR, PLAYS, A, B),  # found
    ("b", MAN, GUITAR, PLAYS, A, B),  # the guitar is not detected
    ("c", MAN, GUITAR, PLAYS, A, B),  # detected as a table
    ("d", MAN, GUITAR, PLAYS, A, B),  # both detected, no candidate
    ("e", MAN, GUITAR, PLAYS, A, B),  # another predicate is surer, and many rows are
    ("f", MAN, GUITAR, PLAYS, A, B),
]
PREDICTED = [
    (("a", MAN, GUITAR, PLAYS, A, B), 0.9, "right"),
    (("a", MAN, GUITAR, PLAYS, A, (0.5, 0.5, 1.0, 0.95)), 0.8, "duplicate"),
    (("a", MAN, GUITAR, HOLDS, A, B), 0.7, "predicate wrong"),
    (("a", WOMAN, GUITAR, PLAYS, A, B), 0.6, "label wrong"),
    (("a", MAN, GUITAR, PLAYS, A, FAR), 0.5, "box missed"),
    (("a", MAN, GUITAR, PLAYS, FAR, B), 0.4, "box missed"),
    (("a", MAN, GUITAR, PLAYS, A, C), 0.95, "unlabelled but plausible"),  # C is a true guitar, not annotated
    (("a", MAN, GUITAR, PLAYS, FAR, FAR), 0.99, "not in the truth"),
    (
        ("a", MAN, GUITAR, HOLDS, A, C),
        0.99,
        "not in the truth",
    ),  # no "holds" is right: nothing to be as sure as
]


def detected(rows):
    image, label, box = zip(*rows, strict=True)
    images = tuple(IMAGES)
    return Detections(
        images, [images.index(i) for i in image], label, np.ones(len(rows)), np.array(box, np.float32)
    )


@pytest.fixture(scope="module")
def errors():
    found = [row for row, _, _ in PREDICTED]
    scores = [score for _, score, _ in PREDICTED]
    many = [("e", MAN, GUITAR, HOLDS, A, FAR)] * 60 + [("e", MAN, GUITAR, HOLDS, A, B), TRUTH[4], TRUTH[5]]
    found, scores = found + many, [*scores, *np.linspace(0.9, 0.5, 60), 0.4, 0.3, 0.3]
    found += [("f", MAN, GUITAR, HOLDS, A, FAR)] * 60
    scores += [0.5] * 60
    table = predictions(found, scores, IMAGES)
    objects = [(i, "Man", A) for i in IMAGES] + [(i, "Guitar", B) for i in IMAGES] + [("a", "Guitar", C)]
    truth = relations(TRUTH, IMAGES)
    seen = [(i, MAN, A) for i in IMAGES] + [(i, GUITAR, B) for i in "adef"] + [("c", TABLE, B)]
    columns = {name: getattr(table, name) for name in ("image", *type(truth).COLUMNS)}
    ones = np.ones(len(table), np.float32)
    candidates = scored_candidates_table(["prior"])(
        images=IMAGES, **columns, subject_score=ones, object_score=ones, prior=ones
    )
    labels = VerifiedLabels(IMAGES, [0], [WOMAN], [True])
    tables = SplitTables(truth, boxes(*objects, images=IMAGES), labels)
    return errors_of(tables, detected(seen), candidates, table)


def test_predictions_have_the_kinds_written_beside_them(errors):
    rows = errors.matches.rows
    kinds = {int(row): list(KINDS)[kind] for row, kind in zip(rows, errors.prediction_kind, strict=True)}
    assert [kinds[i] for i in range(len(PREDICTED))] == [kind for _, _, kind in PREDICTED]
    assert errors.correct.sum() == errors.matches.true_positive["relationships"].sum()


def test_true_relations_have_the_first_kind_that_fits(errors):
    found = [list(KINDS)[kind] for kind in errors.truth_kind]
    assert found == ["right", "box missed", "label wrong", "pair pruned", "predicate wrong", "ranked low"]


def test_the_table_counts_every_row_once(errors):
    table = errors.table()
    assert [row["kind"] for row in table] == list(KINDS)
    assert sum(row["relations"] for row in table) == len(TRUTH)
    assert sum(row["share"] for row in table) == pytest.approx(1)
    assert sum(row["predictions"] for row in table) == len(errors.predictions)
    for row in table:
        assert sum(row["predictions_per_predicate"].values()) == row["predictions"]
        assert sum(row["relations_per_predicate"].values()) == row["relations"]


def test_without_the_surest_wrong_rows_the_score_is_higher(errors):
    gain = {row["kind"]: row["score_gain_without"] for row in errors.table()}
    assert gain["not in the truth"] > 0
    assert gain["right"] == gain["pair pruned"] == 0


@pytest.mark.parametrize("kind", KINDS)
def test_examples_are_of_their_kind_and_can_be_drawn(errors, kind):
    examples = errors.examples(kind, 3)
    assert len({example.image_id for example in examples}) == len(examples) <= 3
    for example in examples:
        kinds = errors.truth_kind if example.side == "truth" else errors.prediction_kind
        assert kinds[example.row] == NUMBER[kind]
        panel = error_panel(np.zeros((60, 80, 3), np.uint8), example, errors)
        assert panel.shape[1] > 2 * 720


def test_examples_are_the_surest_of_an_image(errors):
    (example,) = errors.examples("not in the truth", 1)
    assert errors.predictions.score[example.row] == 0.99


def test_no_such_kind(errors):
    with pytest.raises(KitError, match="no kind of error 'odd'"):
        errors.examples("odd", 1)


def test_sentences():
    assert sentence(relations([TRUTH[0]], IMAGES)) == "Man plays Guitar"
    assert sentence(predictions([TRUTH[0]], [0.5], IMAGES)) == "Man plays Guitar, 0.50"
