"""`kit config --against paper`: what is the same, what differs, and why."""

import json
from pathlib import Path

import pytest

from kit.base.errors import KitError
from kit.config import load_config
from kit.config.against import compare, reference, value_text
from kit.config.paper import PAPER

DOCS = Path(__file__).parents[1] / "docs"
AS_THE_PAPER = (  # layer6 with these
    "data.train.boxes=train-annotations-bbox.csv",
    "relation.spatial.rate_drop=0.1",
    "relation.spatial.early_stopping_metric=average_precision",
    "relation.stack.early_stopping_metric=average_precision",
    "relation.visual.negatives=all",
    "relation.visual.negatives_from=all",
)
ALWAYS = {  # no setting validates on the validation split, or takes every pair for a negative
    "relation.spatial.folds",
    "relation.stack.folds",
    "data.train.labels",
}
OTHERS = {  # of every setting a value that the paper does not have
    "data.source": "data.source=mini",
    "data.train.relations": "data.train.relations=other.csv",
    "data.stack.relations": "data.stack.relations=[test-annotations-vrd.csv, more.csv]",
    "data.val.relations": "data.val.relations=",
    "data.train.boxes": "data.train.boxes=challenge-2019-train-vrd-bbox.csv",
    "data.test.ids": "data.test.ids=",
    "detector.models.*.architecture": "detector.models.hrnet.architecture=resnext101-64x4d",
    "detector.models.*.weights": "detector.models.hrnet.weights=lvis.pth",
    "detector.initial_weights": "detector.initial_weights=new-heads",
    "detector.class_map": "detector.class_map=map.yaml",
    "detector.sampling_limit": "detector.sampling_limit=",
    "detector.inference.views": "detector.inference.views=[{size: [1333, 800]}]",
    "detector.fusion.method": "detector.fusion.method=nms",
    "detector.fusion.weights": "detector.fusion.weights=[1.0]",
    "detector.fusion.rounds": "detector.fusion.rounds=0",
    "attribute.models": "attribute.models=[resnext, hrnet]",
    "relation.attributes": "relation.attributes=false",
    "relation.train_boxes": "relation.train_boxes=predicted",
    "relation.scorer": "relation.scorer=average",
    "relation.spatial.objective": "relation.spatial.objective=multiclass",
    "relation.spatial.booster": "relation.spatial.rate_drop=0",
    "relation.visual": "relation.visual=",
    "relation.visual.model": "relation.visual.model=hrnet",
    "relation.visual.features": "relation.visual.features=regions",
    "relation.visual.backbone": "relation.visual.backbone=shared",
    "relation.visual.freeze_backbone": "relation.visual.freeze_backbone=true",
    "relation.visual.negatives": "relation.visual.negatives=12",
    "relation.visual.negatives_from": "relation.visual.negatives_from=related",
    "relation.visual.mlp_layers": "relation.visual.mlp_layers=2",
    "relation.visual.dropout": "relation.visual.dropout=0",
    "relation.visual.batch_size": "relation.visual.batch_size=64",
    "relation.visual.epochs": "relation.visual.epochs=10",
    "relation.visual.max_steps": "relation.visual.max_steps=1000",
    "relation.visual.max_lr": "relation.visual.max_lr=0.001",
    "relation.visual.min_lr": "relation.visual.min_lr=0.0001",
    "relation.visual.warmup": "relation.visual.warmup=0",
    "relation.stack.booster": "relation.stack={booster: dart, rate_drop: 0.1}",
    **{
        f"relation.{table}.{key}": f"relation.{table}.{key}={value}"
        for table in ("spatial", "stack")
        for key, value in {
            "max_depth": 9,
            "subsample": 0.3,
            "colsample_bytree": 0.3,
            "gamma": 0,
            "reg_lambda": 1,
            "rounds": 100,
            "early_stopping_interval": 10,
            "early_stopping_metric": "log_loss",
        }.items()
    },
}


def changes(name, overrides=()):
    return {row.key: row for row in compare(load_config(name, overrides), PAPER) if not row.same}


def test_layer6_differs_where_it_says_so_each_with_its_reason():
    rows = changes("layer6")
    assert rows.keys() >= {
        "data.train.boxes",
        "relation.spatial.booster",
        "relation.visual.negatives",
        *ALWAYS,
    }
    assert rows.keys() <= {override.split("=")[0] for override in AS_THE_PAPER} | {
        "relation.spatial.booster",
        *ALWAYS,
    }
    assert all(row.reason for row in rows.values())
    negatives = rows["relation.visual.negatives"]
    assert (negatives.paper, negatives.config, negatives.section) == ("all", 3, "3.1")
    assert "156 million crops" in negatives.reason
    assert rows["relation.spatial.booster"].config == "dart without drops: gbtree"
    assert "drops no tree" in rows["relation.spatial.booster"].reason


@pytest.mark.parametrize(
    ("name", "some"),
    [
        ("layer6", {"data.train.boxes"}),
        ("best", {"data.train.boxes", "relation.visual.features", "relation.visual.backbone"}),
        ("ensemble", {"data.source", "detector.models.*.architecture"}),
        ("mini", {"data.source", "detector.models.*.architecture", "relation.visual.epochs"}),
        ("relations", {"detector.models.*.architecture", "relation.scorer", "relation.visual"}),
    ],
)
def test_a_config_that_comes_with_kit_has_a_reason_for_each_of_its_differences(name, some):
    rows = changes(name)
    assert all(row.reason for row in rows.values())
    assert some < rows.keys()


def test_values_chosen_together_have_their_reason_together():
    """A user's number may be one of configs/relations.yaml and was not chosen for its company."""
    chosen = load_config("relations").relation.spatial
    keys = ("booster", "max_depth", "subsample", "colsample_bytree", "gamma", "reg_lambda", "rounds")
    given = [f"relation.spatial.{key}={getattr(chosen, key)}" for key in keys]
    together = changes("layer6", given)
    assert all("cross-validation" in together[f"relation.spatial.{key}"].reason for key in keys)
    alone = changes("layer6", given[-3:])
    assert [alone[f"relation.spatial.{key}"].reason for key in keys[-3:]] == ["", "", ""]
    assert alone["relation.spatial.gamma"].config == 0


def test_a_config_as_the_paper_is_the_same_but_for_what_no_setting_does():
    assert changes("layer6", AS_THE_PAPER).keys() == ALWAYS


def test_every_setting_of_the_paper_can_be_told_from_another():
    assert OTHERS.keys() == {row.key for row in PAPER} - ALWAYS - {"detector.models.*.unmatched"}


@pytest.mark.parametrize("key", OTHERS)
def test_a_change_is_found(key):
    assert key in changes("layer6", [*AS_THE_PAPER, OTHERS[key]])


def test_a_users_own_change_has_no_reason_even_by_the_mini_challenges_number():
    rows = changes("layer6", ["relation.visual.epochs=10", "relation.stack.max_depth=2"])
    assert (rows["relation.visual.epochs"].config, rows["relation.visual.epochs"].reason) == (10, "")
    assert rows["relation.stack.max_depth"].reason == ""


@pytest.mark.parametrize(
    "override",
    [
        "detector.sampling_limit=1000",
        "detector.fusion.method=nmw",
        "detector.models.resnext={architecture: resnext101-64x4d, weights: own.pth, classes: coco}",
        "detector.models.resnext.unmatched=without.pth",
        "data.train.relations=/elsewhere/challenge-2019-train-vrd.csv",
        "relation.visual.model=",
        "relation.visual.warmup=0.1",
        "relation.stack.booster=dart",
    ],
)
def test_another_value_of_the_same_meaning_is_the_same(override):
    assert changes("layer6", [override]).keys() == changes("layer6").keys()


def test_settings_of_a_table_that_is_null_are_one_difference():
    rows = compare(load_config("layer6", ["relation.visual="]), PAPER)
    assert [row.key for row in rows if "visual" in row.key] == ["relation.visual"]


def test_without_detectors_there_is_nothing_to_say_of_what_they_do():
    rows = {row.key: row for row in compare(load_config("relations"), PAPER)}
    assert rows["detector.models.*.architecture"].config == []
    assert rows["relation.visual"].config is None
    of_detectors = ("detector.", "attribute.", "relation.visual")
    assert [key for key in rows if key.startswith(of_detectors)] == [
        "detector.models.*.architecture",
        "relation.visual",
    ]


def test_a_users_own_values_have_no_reason_without_detectors_either():
    rows = changes("relations", ["data.train.relations=own.csv", "relation.scorer=prior"])
    assert (rows["data.train.relations"].config, rows["data.train.relations"].reason) == (["own.csv"], "")
    assert rows["relation.scorer"].reason == ""


def test_the_separate_networks_of_the_mini_challenge_are_told_as_in_the_documents():
    reason = changes("mini")["relation.visual.backbone"].reason
    page = (DOCS / "pipeline.md").read_text()
    shared, separate = reason.split("mean AP ")[1].split(" against ")
    assert f"was {shared}, against {separate} for the paper's separate" in page


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (None, "none"),
        ([], "none"),
        (["a", 2.0, None], "a, 2, none"),
        (3e-4, "0.0003"),
        (5e-5, "5e-05"),
    ],
)
def test_a_value_in_a_line(value, text):
    assert value_text(value) == text


def test_a_wrong_name():
    assert reference("paper") is PAPER
    with pytest.raises(KitError) as caught:
        reference("papper\n")
    assert str(caught.value) == "--against papper: nothing to compare with; there is: paper"


def test_the_command(kit):
    code, out, err = kit("config", "--config", "layer6", "--against", "paper", "--set", "seed=3")
    same = sum(row.same for row in compare(load_config("layer6"), PAPER))
    assert (code, err) == (0, "")
    assert out.startswith("layer6 against the paper\n")
    assert out.splitlines()[-1] == f"{same} of {len(PAPER)} settings are as in the paper"
    line = next(line for line in out.splitlines() if "relation.visual.negatives" in line)
    number = line.split()[-1]
    assert line.split() == ["relation.visual.negatives", "all", "3", "3.1", number]
    reason = changes("layer6")["relation.visual.negatives"].reason
    assert f"  {number}  {reason}" in out.splitlines()


def test_the_documents_show_what_the_command_prints(kit):
    page = (DOCS / "full-size.md").read_text()
    assert kit("config", "--config", "layer6", "--against", "paper")[1] in page


def test_the_command_names_a_users_choice_as_the_users(kit):
    _, out, _ = kit("config", "-c", "layer6", "--against", "paper", "--set", "relation.visual.epochs=36")
    assert ["relation.visual.epochs", "35", "36", "3.1", "own"] in [line.split() for line in out.splitlines()]


def test_the_command_as_json(kit):
    code, out, _ = kit("config", "--config", "layer6", "--against", "paper", "--json")
    found = json.loads(out)
    rows = {row["key"]: row for row in found["settings"]}
    assert code == 0
    assert found["same"] + found["changed"] == len(rows) == len(PAPER)
    assert found["changed"] == sum(not row["same"] for row in rows.values())
    assert rows["relation.visual.dropout"] == {
        "key": "relation.visual.dropout",
        "paper": 0.2,
        "config": 0.2,
        "section": "3.1",
        "same": True,
        "reason": "",
    }
    assert rows["relation.visual.negatives"]["reason"]


def test_the_command_with_a_wrong_name(kit):
    message = "kit: --against peper: nothing to compare with; there is: paper\n"
    assert kit("config", "--against", "peper") == (2, "", message)
