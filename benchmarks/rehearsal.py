"""How honest a rehearsal is: its estimate of every stage of the mini challenge against what a finished run took."""

from __future__ import annotations

from benchmarks.measure import table
from kit.session import open_run

JOBS = 2  # as `make demo` has them
LEAST = 2.0  # seconds of a stage from which the ratio says something


def main() -> None:
    """Rehearse the mini challenge and compare with the run of `make demo`, where that is there."""
    from kit.rehearsal.conduct import rehearse
    from kit.rehearsal.estimate import timetable
    from kit.rehearsal.plan import whole_run

    session = open_run("mini")
    pipeline = session.pipeline
    records = {name: session.pipeline.run.record(name) for name in whole_run(pipeline)}
    taken = {name: record["seconds"] for name, record in records.items() if record}
    if len(taken) < len(records):
        print("rehearsal: left out, there is no finished run of `make demo` to compare with")
        return
    found = rehearse(session.config, session.path, minutes=10, jobs=JOBS)
    rows = []
    for stage in found.stages:
        real = taken[stage.stage]
        if stage.seconds is None:
            rows.append((stage.stage, "not measured", f"{real:.1f} s", ""))
            continue
        ratio = f"{stage.seconds / real:.2f}" if real >= LEAST else ""
        rows.append((stage.stage, f"{stage.seconds:.1f} s", f"{real:.1f} s", ratio))
    measured = {s.stage: taken[s.stage] for s in found.stages if s.seconds is not None}
    whole = max((end for _, end in timetable(measured, found.needs, JOBS).values()), default=0.0)
    name = f"all but {found.unmeasured} stages" if found.unmeasured else "whole run"
    ratio = f"{found.seconds / whole:.2f}" if whole else ""
    rows.append((name, f"{found.seconds:.0f} s", f"{whole:.0f} s", ratio))
    table(f"Rehearsal of {found.minutes:.0f} minutes, mini", ("stage", "estimate", "taken", "ratio"), rows)
