import json
from pathlib import Path

import pytest
import torch

from kit.base.errors import KitError
from kit.detector.architecture import fresh_weights
from kit.detector.checkpoint import write_state
from kit.detector.inference import load_detector
from kit.detector.trained import source_names
from kit.pipeline.pipeline import Pipeline
from kit.pipeline.run import Run
from kit.pipeline.stages.detector import starting_weights
from kit.vocabulary import vocabulary
from tests.conftest import config

pytestmark = pytest.mark.filterwarnings("ignore")
COCO = source_names("coco")
MAN = vocabulary().names.index("Man")
ROW = "roi_head.bbox_head.0.fc_cls.weight"
MODEL = "detector.models.resnext."


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Weights of 80 classes that nobody named."""
    path = tmp_path_factory.mktemp("weights") / "w.pth"
    state = fresh_weights("resnext-mini", 80, 1)
    write_state(path, state, ())
    return path, state


def start_of(tmp_path, path, *more):
    """The weights that a training would start from; the report lies in `tmp_path`."""
    return starting_weights(config(f"{MODEL}weights={path}", *more), "resnext", path, tmp_path)


def test_a_config_names_the_classes_of_weights_that_do_not(weights, tmp_path):
    path, source = weights
    names = tmp_path / "names.json"
    names.write_text(json.dumps({str(i): name for i, name in enumerate(COCO)}))
    for classes in ("coco", names):
        state = start_of(tmp_path, path, f"{MODEL}classes={classes}")
        assert torch.equal(state[ROW][MAN], source[ROW][COCO.index("person")])
        report = json.loads((tmp_path / "transfer.json").read_text())
        assert report["matched"] == len(report["source"]) == 44
        assert (report["source"]["Man"], report["source"]["Table"]) == ("person", "dining table")


def test_new_heads_need_no_names(weights, tmp_path):
    path, source = weights
    state = start_of(tmp_path, path, "detector.initial_weights=new-heads")
    assert torch.equal(state["backbone.conv1.weight"], source["backbone.conv1.weight"])
    assert state[ROW].shape[0] == 58


def test_names_that_do_not_fit_stop_a_training_before_it_starts(weights, tmp_path):
    path, _ = weights
    (tmp_path / "81.txt").write_text("__background__\n" + "\n".join(COCO))
    (tmp_path / "odd.txt").write_text("\n".join(f"Ding {name}" for name in COCO))
    for more, message in [
        (
            [f"{MODEL}classes={tmp_path / '81.txt'}"],
            r"81 names, the checkpoint has 80 classes .* take it out",
        ),
        ([f"{MODEL}classes={tmp_path / 'odd.txt'}"], r"odd.txt: 0 of 57 classes matched"),
        ([f"{MODEL}classes={tmp_path / 'none.txt'}"], r"none.txt: no such file"),
        ([], r"w.pth: the checkpoint does not name its classes"),
        (
            [f"{MODEL}architecture=hrnet-mini", f"{MODEL}classes=coco"],
            r"w.pth: .*another architecture",
        ),
    ]:
        with pytest.raises(KitError, match=message):
            start_of(tmp_path, path, *more)


def test_names_without_weights_are_refused():
    with pytest.raises(KitError, match=r"classes are the names of weights, but weights is not set"):
        config(f"{MODEL}classes=coco")


def test_the_names_are_part_of_what_a_training_is_made_from(weights, tmp_path, tiny):
    made_from = []
    names = tmp_path / "names.txt"
    for text, more in [(None, []), ("coco", ["coco"]), ("a", [names]), ("b", [names])]:
        names.write_text(text or "")
        settings = [f"{MODEL}weights={weights[0]}", *(f"{MODEL}classes={classes}" for classes in more)]
        pipeline = Pipeline(Run(config(*settings), tmp_path / "run"))
        made_from.append(json.dumps(pipeline.fingerprint(pipeline.stage("detector-resnext")), sort_keys=True))
    assert len(set(made_from)) == len(made_from) == 4
    assert "classes" not in made_from[0]


def test_a_training_counts_by_the_content_of_the_detector_for_classes_without_a_match(
    weights, tmp_path, tiny
):
    donor, made_from = tmp_path / "donor.pth", []
    for content, value in [
        (b"one", donor),
        (b"two", donor),
        (b"one", tmp_path / "copy.pth"),
        (b"", "random"),
    ]:
        if isinstance(value, Path):
            value.write_bytes(content)
        settings = config(f"{MODEL}weights={weights[0]}", f"{MODEL}unmatched={value}")
        pipeline = Pipeline(Run(settings, tmp_path / "run"))
        made_from.append(json.dumps(pipeline.fingerprint(pipeline.stage("detector-resnext")), sort_keys=True))
    one, two, copy, random = made_from
    assert one == copy
    assert len({one, two, random}) == 3


def test_a_detector_of_other_weights_is_one_line(weights, tmp_path):
    path, state = weights
    settings = config().detector
    load_detector(settings, "resnext", path, 80)
    write_state(tmp_path / "more.pth", {**state, "mask.weight": torch.zeros(1)}, ())
    write_state(tmp_path / "less.pth", {n: t for n, t in state.items() if n != "backbone.conv1.weight"}, ())
    write_state(tmp_path / "old.pth", {n: t for n, t in state.items() if "num_batches" not in n}, ())
    load_detector(settings, "resnext", tmp_path / "old.pth", 80)
    for name, file, classes, message in [
        ("resnext", path, 57, r"w.pth: weights of 80 classes, but 57 are wanted$"),
        ("hrnet", path, 80, r"w.pth: not weights of hrnet-mini: \S+ (is missing|is \(.*)$"),
        (
            "resnext",
            tmp_path / "more.pth",
            80,
            "more.pth: not weights of resnext-mini: mask.weight is none of",
        ),
        ("resnext", tmp_path / "less.pth", 80, "less.pth: .*: backbone.conv1.weight is missing"),
    ]:
        with pytest.raises(KitError, match=message):
            load_detector(settings, name, file, classes)


def test_classes_without_a_match_take_rows_of_another_detector(weights, tmp_path):
    path, _ = weights
    donor = fresh_weights("resnext-mini", 57, 5)
    write_state(tmp_path / "donor.pth", donor, ())
    classes = f"{MODEL}classes=coco"
    plain = start_of(tmp_path, path, classes)
    state = start_of(tmp_path, path, classes, f"{MODEL}unmatched={tmp_path / 'donor.pth'}")
    heads = [name for name in state if name.split(".")[-2:-1] in (["fc_cls"], ["fc_reg"])]
    assert all(torch.equal(state[name], plain[name]) for name in state if name not in heads)
    same = [torch.equal(state[ROW][k], plain[ROW][k]) for k in range(58)]
    other = [torch.equal(state[ROW][k], donor[ROW][k]) for k in range(58)]
    assert sum(same) == 44 + 1  # and the background
    assert other == [not s for s in same]
    taken = torch.tensor(other)[:57].repeat_interleave(4)
    regression = ROW.replace("fc_cls", "fc_reg")
    if state[regression].shape[0] == 4 * 57:
        assert torch.equal(state[regression][taken], donor[regression][taken])
        assert torch.equal(state[regression][~taken], plain[regression][~taken])
    for file, message in [
        (path, r"w.pth: a detector of 80 classes, but 57 are wanted"),
        (tmp_path / "none.pth", r"none.pth: no such file"),
    ]:
        with pytest.raises(KitError, match=message):
            start_of(tmp_path, path, classes, f"{MODEL}unmatched={file}")
