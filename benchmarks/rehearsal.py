"""How honest a rehearsal is: its estimate of every stage of the mini challenge against what a finished run took."""

from __future__ import annotations

from benchmarks.measure import table
from kit.pipeline.record import read_record
from kit.session import open_run

LEAST = 2.0  # seconds of a stage from which the ratio says something


def main() -> None:
    """Rehearse the mini challenge and compare with the run of `make demo`, which has to be there."""
    from kit.rehearsal.conduct import rehearse, whole_run

    session = open_run("mini")
    pipeline = session.pipeline
    taken = {name: read_record(session.path / name)["seconds"] for name in whole_run(pipeline)}
    found = rehearse(session.config, session.path, minutes=10)
    rows = []
    for stage in found.stages:
        real = taken[stage.stage]
        ratio = f"{stage.seconds / real:.2f}" if stage.seconds is not None and real >= LEAST else ""
        rows.append((stage.stage, f"{stage.seconds or 0:.1f} s", f"{real:.1f} s", ratio))
    whole = sum(taken.values())
    rows.append(("whole run", f"{found.seconds:.0f} s", f"{whole:.0f} s", f"{found.seconds / whole:.2f}"))
    table(f"Rehearsal of {found.minutes:.0f} minutes, mini", ("stage", "estimate", "taken", "ratio"), rows)
