import numpy as np

from kit.data.world import ALIKE, RELATION_STYLES, draw_world
from kit.vocabulary import IS, PREDICATES, vocabulary


def test_the_same_seed_the_same_world():
    one, two, other = (draw_world("train", 20, seed) for seed in (1, 1, 2))
    assert one.boxes.images == two.boxes.images
    assert np.array_equal(one.boxes.box, two.boxes.box)
    assert one.boxes.images != other.boxes.images


def test_relations_are_allowed_long_tailed_and_some_have_no_row():
    world = draw_world("train", 800, 0)
    for table in (world.relations, world.hidden):
        assert vocabulary().allowed[table.predicate, table.subject, table.object].all()
    share = len(world.hidden) / (len(world.hidden) + len(world.relations))
    assert 0.1 < share < 0.2
    pairs = world.relations.take(world.relations.predicate != IS)
    counts = np.bincount(pairs.predicate, minlength=len(PREDICATES))
    assert counts[PREDICATES.index("at")] > 4 * counts[PREDICATES.index("hits")] > 0
    attributes = world.relations.take(world.relations.predicate == IS)
    assert np.array_equal(attributes.subject_box, attributes.object_box)
    classes = np.bincount(world.boxes.label, minlength=57)
    assert classes.min() > 0
    assert np.sort(classes)[-5:].sum() > classes.sum() / 3


def test_boxes_are_inside_the_image():
    box = draw_world("val", 300, 0).boxes.box
    assert box.min() >= 0
    assert box.max() <= 1
    assert (box[:, :2] < box[:, 2:]).all()


def test_pairs_stand_alike_with_and_without_the_relation_and_look_different():
    relations = [b for s in draw_world("train", 1500, 0).scenes for b in s.relations if b.predicate != IS]
    related = np.asarray([b.related for b in relations])
    assert abs((~related).mean() - ALIKE) < 0.05
    for p in (PREDICATES.index("on"), PREDICATES.index("holds")):
        offsets = {True: [], False: []}
        for relation in relations:
            if relation.predicate == p:
                subject, object_ = relation.subject.box, relation.object.box
                offsets[relation.related].append((object_[1] + object_[3] - subject[1] - subject[3]) / 2)
        assert abs(np.mean(offsets[True]) - np.mean(offsets[False])) < 0.03
    inside = PREDICATES.index("inside_of")
    for relation in relations:
        subject, object_ = relation.subject.box, relation.object.box
        facing = (subject[0] + subject[2] > object_[0] + object_[2]) == relation.subject.turned
        if abs(RELATION_STYLES[PREDICATES[relation.predicate]].place[0]) > 0.8:
            assert facing == relation.related
        if relation.predicate == inside:
            assert relation.object.glass == relation.related


def test_some_boxes_are_groups():
    groups = draw_world("train", 500, 0).boxes.is_group_of
    assert 0.003 < groups.mean() < 0.02
