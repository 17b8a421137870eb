"""Run by torchrun in tests, with a folder for notes, two runs and settings: `kit train detector resnext` of each.

The first run is one that is refused, or - for none: every process notes its exit code. In the second they grow the
trees of `kit train spatial` before; the rest is the whole of the process, and every process keeps the weights that
it ends with.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import torch

from kit import cli
from kit.detector import training
from kit.detector.team import Team

WHOLE = training.TrainingReport.step


def keeping(folder, report, runner, done):
    WHOLE(report, runner, done)
    if done == report.task.training.iterations:
        rank = os.environ["RANK"]
        torch.save(runner.model.module.state_dict(), folder / f"rank{rank}.pth")
        team = Team.here()
        told = [team.first_decides(rank == by) for by in ("0", "1")]
        (folder / f"told{rank}.json").write_text(json.dumps(told))


def exit_code(words):
    """Of a command that may end its process."""
    try:
        return cli.run(words)
    except SystemExit as end:
        return end.code


if __name__ == "__main__":
    place, refused, new, *settings = sys.argv[1:]
    words = ["train", "detector", "resnext", *settings, "--run"]
    code = exit_code([*words, refused]) if refused != "-" else None
    Path(place, f"code{os.environ['RANK']}.json").write_text(json.dumps(code))
    if refused != "-":
        few = ("--set", "relation.spatial={rounds: 2, folds: 1}")
        for stage in ("prior", "spatial"):
            assert exit_code(["train", stage, *settings, *few, "--run", new]) == 0
    training.TrainingReport.step = lambda *arguments: keeping(Path(place), *arguments)
    sys.argv = ["kit", *words, new]
    cli.main()
