"""One of two processes in tests: `python -m tests.team_rank FOLDER RANK` does what `work.pt` there holds, in order.

Each piece of work has a name, a function of this module, and its arguments; notes are what it returned.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch

from kit.base.threads import use_threads
from kit.detector.process_group import init_process_group, one_of
from kit.detector.team import Team
from kit.relation.boosting import fit
from kit.relation.collective import growing_together
from kit.relation.visual_training import train_visual


def visual(folder, rows, architecture, detector, settings):
    """Train the visual model; its networks go to the folder."""
    return train_visual(rows, architecture, detector, settings, 0, folder, "cpu")


def boosted(folder, rows, settings, classes):
    """Fit trees; the folder gets their probabilities of all rows, of each process by its rank."""
    team = Team.here()
    rows = type(rows)(**{**vars(rows), "team": team})
    with growing_together(team, settings.device):
        found = fit(rows, settings, 0, classes, folder=folder)
        part = rows.matrix(np.ones(len(rows.label), bool)).num_row()
        first = rows.matrix(np.arange(len(rows.label)) == 0)  # fewer rows than processes
        one = rows.predict(found.model.booster, first).tolist()
    np.save(folder / f"rank{team.rank}.npy", found.model.predict(rows.features, rows.margin))
    return {"rounds": found.model.rounds, "loss": found.loss, "rows": part, "one": one}


def main(folder, rank):
    """Do all the work with the other process."""
    torch.set_num_threads(1)
    use_threads(1)
    notes = {}
    with one_of(2, rank, folder / "meeting"):
        init_process_group("cpu")
        for name, do, arguments in torch.load(folder / "work.pt", weights_only=False):
            notes[name] = globals()[do](folder / name, *arguments)
    (folder / f"notes{rank}.json").write_text(json.dumps(notes))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
