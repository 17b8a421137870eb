import io

import numpy as np
import pytest
from PIL import Image

from kit.data.painter import TEXTURES, paint
from kit.data.source import paint_source
from kit.data.world import Scene, SceneObject, SceneRelation, draw_world
from kit.detector.trained import source_names
from kit.vocabulary import PREDICATES, vocabulary

LABEL = {name: i for i, name in enumerate(vocabulary().names)}


def pixels(scene, side=160):
    return np.asarray(Image.open(io.BytesIO(paint(scene, side, 0))), np.float64)


def thing(name, box, *attributes, **look):
    look.setdefault("turned", False)
    return SceneObject(LABEL[name], np.asarray(box), attributes=tuple(LABEL[a] for a in attributes), **look)


def test_a_image_is_a_jpeg_of_the_scenes_shape():
    for scene in draw_world("train", 6, 0).scenes:
        image = Image.open(io.BytesIO(paint(scene, 120, 0)))
        assert image.format == "JPEG"
        assert image.size == tuple(round(s * 120) for s in scene.shape)
        assert paint(scene, 120, 0) == paint(scene, 120, 0)


def test_things_are_painted_in_their_boxes_and_nowhere_else():
    box = (0.25, 0.25, 0.75, 0.75)
    empty, full = (pixels(Scene("1", (1, 1), objects)) for objects in ([], [thing("Drum", box)]))
    changed = np.abs(empty - full).max(axis=2) > 60
    rows, columns = np.nonzero(changed)
    assert 36 <= rows.min() <= 48
    assert 112 <= rows.max() <= 124
    assert 36 <= columns.min() <= 48
    assert 112 <= columns.max() <= 124


@pytest.mark.parametrize("attribute", sorted(TEXTURES))
def test_an_attribute_is_seen(attribute):
    box = (0.1, 0.1, 0.9, 0.9)
    plain = pixels(Scene("1", (1, 1), [thing("Piano", box)]))
    dressed = pixels(Scene("1", (1, 1), [thing("Piano", box, attribute)]))
    assert (np.abs(plain - dressed).max(axis=2) > 40).mean() > 0.05


@pytest.mark.parametrize(("predicate", "object_"), [("holds", "Camera"), ("plays", "Piano"), ("on", "Horse")])
def test_a_relation_is_seen(predicate, object_):
    """The same objects in the same order: only the hands or the shadow tell."""
    man, other = thing("Man", (0.2, 0.2, 0.4, 0.8)), thing(object_, (0.5, 0.4, 0.8, 0.7))
    number = PREDICATES.index(predicate)
    images = [
        pixels(Scene("1", (1, 1), [man, other], [SceneRelation(number, man, other, related, True)]))
        for related in (False, True)
    ]
    changed = np.abs(images[0] - images[1]).max(axis=2) > 40
    assert 0.002 < changed.mean() < 0.1


def test_the_hands_are_seen_only_inside_the_two_boxes():
    man, camera = thing("Man", (0.0, 0.2, 0.2, 0.8)), thing("Camera", (0.6, 0.4, 0.8, 0.6))
    plain, bound = (
        pixels(Scene("1", (1, 1), [man, camera], relations))
        for relations in ([], [SceneRelation(PREDICATES.index("holds"), man, camera, True, True)])
    )
    between = np.abs(plain - bound)[:, 36:92]
    assert between.max() < 40


def test_source_images_show_the_80_classes_and_people_of_every_kind():
    rng = np.random.default_rng(0)
    images = [paint_source(rng, 64) for _ in range(60)]
    labels = {label for image in images for label in image.labels}
    assert len(labels) > 50
    assert max(labels) < len(source_names("coco"))
    for image in images:
        assert Image.open(io.BytesIO(image.jpeg)).size == image.size
        box = np.asarray(image.boxes)
        assert box.min() >= 0
        assert box.max() <= 1
