import numpy as np

from kit.tables.attribute_classes import (
    attribute_boxes,
    attribute_classes,
    attribute_labels,
    is_predictions,
)
from kit.tables.schema import Detections, Relations
from kit.vocabulary import IS, vocabulary

NAMES = vocabulary().names
LABEL = {name: i for i, name in enumerate(NAMES)}
BOX = np.array([[0.1, 0.2, 0.5, 0.6]], np.float32)


def test_the_42_classes():
    assert attribute_classes().shape == (42, 2)
    assert len(set(vocabulary().attribute_classes)) == 42
    assert "Piano is Wooden" in vocabulary().attribute_classes
    assert all(vocabulary().allowed[IS][o, a] for o, a in attribute_classes())


def relations(rows):
    subject, object_, predicate = (np.array(column) for column in zip(*rows, strict=True))
    box = np.repeat(BOX, len(rows), axis=0)
    return Relations(("a", "b"), np.zeros(len(rows)), subject, object_, predicate, box, box)


def test_a_box_with_two_attributes_is_two_boxes_and_other_relations_are_none():
    piano, man = LABEL["Piano"], LABEL["Man"]
    rows = [(piano, LABEL["Wooden"], IS), (piano, LABEL["Plastic"], IS), (man, piano, 3)]
    boxes = attribute_boxes(relations(rows))
    assert boxes.images == ("a", "b")
    assert [vocabulary().attribute_classes[i] for i in boxes.label] == ["Piano is Wooden", "Piano is Plastic"]
    assert len(attribute_boxes(relations([(man, piano, 3)]))) == 0


def test_a_composite_is_verified_where_both_its_labels_are():
    verified = np.zeros((2, len(NAMES)), bool)
    verified[0, [LABEL["Piano"], LABEL["Wooden"]]] = True
    verified[1, LABEL["Piano"]] = True
    labels = attribute_labels(("a", "b"), verified)
    assert labels.image.tolist() == [0]
    assert [vocabulary().attribute_classes[k] for k in labels.label] == ["Piano is Wooden"]


def test_detections_become_is_predictions_with_equal_boxes():
    kind = vocabulary().attribute_classes.index("Table is Wooden")
    out = is_predictions(Detections(("a",), [0], [kind], [0.25], BOX))
    assert (out.predicate[0], out.score[0]) == (IS, 0.25)
    assert (NAMES[out.subject[0]], NAMES[out.object[0]]) == ("Table", "Wooden")
    assert np.array_equal(out.subject_box, out.object_box)
    assert len(is_predictions(Detections.empty(("a",)))) == 0


def test_a_pair_that_is_no_composite_class_becomes_no_other():
    wrong = (LABEL["Dog"], LABEL["Wooden"], IS)
    assert not vocabulary().allowed[IS][wrong[:2]]
    boxes = attribute_boxes(relations([wrong, (LABEL["Piano"], LABEL["Wooden"], IS), wrong]))
    assert [vocabulary().attribute_classes[i] for i in boxes.label] == ["Piano is Wooden"]
    assert len(attribute_boxes(relations([wrong]))) == 0
