"""`kit predict`: scored relations for a split."""

from __future__ import annotations

from kit.cli.options import RunOptions, Scorer, Split, run_command


@run_command
def predict(options: RunOptions, *, split: Split = "test", scorer: Scorer = None) -> None:
    """Detect, fuse and score a split's relations, as far as that is not done, and keep them in the run."""
    from kit.cli.common import report_stage
    from kit.pipeline.images import say_left_out
    from kit.pipeline.stages.predictions import predict_stage

    session, chosen = options.session.for_scorer(scorer)
    stage = predict_stage(session.config, split, chosen)
    record = session.make(stage, force=options.force)[stage]
    say_left_out(session.pipeline, stage)
    report_stage(session.path, stage, record, options.json)
