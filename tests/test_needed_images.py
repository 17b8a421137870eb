"""Which images the stages look at, and that no other image changes what they make."""

import shutil
from pathlib import Path

import numpy as np
import torch

from kit.config import load_config
from kit.data.split_tables import load_split
from kit.detector.checkpoint import read_state
from kit.pipeline.needed_images import needed_images
from kit.pipeline.pipeline import Pipeline
from kit.pipeline.run import Run
from kit.relation.prior_model import pair_examples
from kit.tables.attribute_classes import attribute_boxes
from tests.conftest import ALONE, FAST, config


def test_every_stage_adds_what_it_looks_at(tiny):
    few = config("relation.visual=null", "attribute.models=[]")
    drawn = needed_images(few, "train")
    split = load_split(few.data.train, "train")
    assert 0 < len(drawn) <= 24  # the draws of 6 batches of 4, which both detectors share or not
    attributes = needed_images(config("relation.visual=null", "detector.training.iterations=1"), "train")
    shown = attribute_boxes(split.relations)
    with_attributes = {shown.images[i] for i in shown.image}
    assert attributes & with_attributes
    candidates = pair_examples(split).candidates
    paired = {candidates.images[i] for i in np.unique(candidates.image)}
    assert paired | drawn <= needed_images(config(), "train")


def test_negatives_of_related_images_need_no_other_photo(tiny):
    related = "relation.visual.negatives_from=related"
    alone = ("attribute.models=[]", "detector.training.iterations=1", related)
    split = load_split(config().data.train, "train")
    several = {split.relations.images[i] for i in split.relations.image}
    examples = pair_examples(split)
    shown = examples.positive.any(axis=1)
    images = {examples.candidates.images[i] for i in examples.candidates.image[shown]}
    drawn = needed_images(config(*alone, "relation.visual=null"), "train")
    assert needed_images(config(*alone), "train") == images | drawn
    assert images <= several
    part = examples.of_related_images()
    assert {part.candidates.images[i] for i in part.candidates.image} == images
    assert part.positive.sum() == examples.positive.sum()
    assert len(part.subject) == len(part.object) == len(part.candidates) < len(examples.candidates)


def test_the_other_splits_are_read_whole_where_something_detects_on_them(tiny):
    whole = config()
    val, stack = (load_split(getattr(whole.data, name), name) for name in ("val", "stack"))
    assert needed_images(whole, "val") == set(val.objects.images)
    candidates = pair_examples(stack).candidates
    assert needed_images(whole, "stack") == {candidates.images[i] for i in candidates.image}
    predicted = config("relation.train_boxes=predicted")
    assert needed_images(predicted, "stack") == set(stack.objects.images)


def test_without_detectors_nothing_is_looked_at(tiny):
    alone = load_config("mini", FAST)
    assert needed_images(alone, "train") == needed_images(alone, "val") == set()


def test_a_training_is_the_same_with_and_without_the_images_that_it_does_not_draw(trained, tiny, tmp_path):
    """Some that it draws are gone in both; the one of all images is `trained` but for these."""
    drawn = needed_images(config(*ALONE), "train")
    gone = sorted(drawn)[:2]
    results = []
    for name, kept in (("whole", None), ("few", drawn)):
        photos = tmp_path / name
        photos.mkdir()
        for path in Path("data/mini/train").glob("*.jpg"):
            if path.stem not in gone and (kept is None or path.stem in kept):
                shutil.copy(path, photos)
        run = Run(config(*ALONE, f"data.train.images={photos}"), tmp_path / f"run-{name}")
        shutil.copytree(trained.path / "source-resnext", run.path / "source-resnext")
        record = Pipeline(run).do("detector-resnext")
        results.append((record["fingerprint"], record["metrics"], run.folder("detector-resnext")))
    (first, metrics, one), (second, others, other) = results
    assert first == second
    assert metrics == others
    assert metrics["left_out"] == 2
    assert (one / "skipped.csv").read_text().count("not there") == 2
    a, b = (read_state(folder / "weights.pth") for folder in (one, other))
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_the_processes_of_the_config_draw_as_many_more(tiny):
    alone = config(*ALONE)
    two = needed_images(alone, "train", processes=2)
    assert needed_images(alone, "train") < two
    assert needed_images(config(*ALONE, "detector.processes=2"), "train") == two
    assert needed_images(config(*ALONE, "detector.processes=2"), "train", processes=1) < two


def test_the_number_of_processes_is_in_a_fingerprint_where_they_are_several(tiny, tmp_path):
    def made_from(*changes):
        pipeline = Pipeline(Run(config("relation.visual=null", *changes), tmp_path / "run"))
        names = ("source-resnext", "detector-resnext", "attribute-detector-resnext")
        return {name: pipeline.fingerprint(pipeline.stages[name]) for name in names}

    def processes(found):
        return [settings["settings"].get("processes") for settings in found.values()]

    before, both = made_from(), made_from("detector.processes=2", "attribute.processes=null")
    assert processes(before) == [None] * 3
    assert processes(both) == [2] * 3
    inputs = [("source-resnext", "detector.source.images"), ("detector-resnext", "data.train.images")]
    for name, images in inputs:  # they draw more of them
        assert before[name]["inputs"][images]["wanted"] < both[name]["inputs"][images]["wanted"]
    apart = made_from("detector.processes=2", "attribute.processes=1")
    assert processes(apart) == [2, 2, None]
    assert apart["attribute-detector-resnext"] == before["attribute-detector-resnext"]
