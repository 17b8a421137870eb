"""`kit predict`: scored relations for a split."""

from __future__ import annotations

from typing import Annotated

import typer

from kit.cli.options import ConfigName, Force, Json, Overrides, RunFolder, Scorer, Split


def predict(
    split: Annotated[Split, typer.Option(help="The split to predict.")] = Split.test,
    scorer: Scorer = None,
    config: ConfigName = "mini",
    set_: Overrides = None,
    run: RunFolder = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Detect, fuse and score a split's relations, as far as that is not done, and keep them in the run."""
    from kit.cli.common import open_run, report_stage, use_threads
    from kit.stages.plan import detections_of
    from kit.stages.predict import predict_stage

    opened = open_run(config, set_, run)
    use_threads(opened)
    detections_of(opened, split.value)
    chosen = scorer.value if scorer else opened.config.relation.combine
    record = predict_stage(opened, split.value, chosen, force)
    report_stage(opened, f"predict-{split.value}", record, json)
