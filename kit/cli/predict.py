"""`kit predict`: scored relations for a split."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from kit.cli.options import ConfigName, Force, Json, Overrides, RunFolder


class Split(StrEnum):
    """Splits that have detections."""

    test = "test"


class ScorerOption(StrEnum):
    """What scores the pairs."""

    prior = "prior"
    spatial = "spatial"


def predict(
    split: Annotated[Split, typer.Option(help="The split to predict.")] = Split.test,
    scorer: Annotated[ScorerOption, typer.Option(help="What scores the pairs.")] = ScorerOption.spatial,
    config: ConfigName = "mini",
    set_: Overrides = None,
    run: RunFolder = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Score the pairs of detected objects (data.test.detections) and keep them in the run."""
    from kit.cli.common import open_run, report_stage
    from kit.stages.relation import predict_stage

    opened = open_run(config, set_, run)
    report_stage(opened, f"predict-{split}", predict_stage(opened, scorer.value, force), json)
