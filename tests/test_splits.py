"""What is read of a split: beside which reports of the validation split the hidden test's figures stand."""

import pytest

from kit.pipeline.pipeline import Pipeline
from kit.pipeline.run import Run
from tests.conftest import config

ON_TRUTH = {"evaluate-val-gt-spatial"}
DETECTORS = {"evaluate-val-detections"}
ALL = {"evaluate-val", "evaluate-val-attributes", "evaluate-choices", "evaluate-val-gt-stack"}
ALL |= ON_TRUTH | DETECTORS


@pytest.mark.parametrize(
    ("lacks", "shown"),
    [
        ([], ALL),
        (["ids=null"], ON_TRUTH | {"evaluate-val-gt-stack"}),
        (["ids=nowhere.csv"], ON_TRUTH | {"evaluate-val-gt-stack"}),
        (["images=null"], ON_TRUTH),
        (["images=nowhere"], ON_TRUTH),
        (["relations=[]"], DETECTORS),
        (["boxes=[]"], ALL),
        (["relations=[]", "boxes=[]"], set()),
        (["detections=data/mini/test-detections.csv"], set()),
    ],
)
def test_the_hidden_test_stands_beside_what_it_has_all_for(tiny, tmp_path, lacks, shown):
    run = Run(config(*(f"data.test.{setting}" for setting in lacks)), tmp_path / "run")
    stages = Pipeline(run).stages
    assert {name for name in ALL if any("-test" in need for need in stages[name].needs)} == shown
