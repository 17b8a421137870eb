"""How honest a rehearsal is: its estimate of every stage of the mini challenge against what a run then took."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.measure import table
from kit.session import open_run

JOBS = 2  # as `make demo` has them
BOUND = 1.5  # times too long or too short


def main() -> None:
    """Compare the run of `make demo`, where that is there, with the rehearsal before it, or else one made now."""
    from kit.rehearsal.conduct import rehearse
    from kit.rehearsal.plan import commands, whole_run
    from kit.rehearsal.schedule import Work, timetable

    session = open_run("mini")
    pipeline = session.pipeline
    records = {name: session.pipeline.run.record(name) for name in whole_run(pipeline)}
    taken = {name: float(record["seconds"]) for name, record in records.items() if record}
    if len(taken) < len(records):
        print("rehearsal: left out, there is no finished run of `make demo` to compare with")
        return
    kept = _rehearsed(session.path, [record["started"] for record in records.values() if record])
    found = kept or rehearse(session.config, session.path, minutes=10, jobs=JOBS).as_dict()
    estimated = {stage["stage"]: stage["seconds"] for stage in found["stages"]}
    rows = [_row(name, estimated[name], real) for name, real in taken.items()]
    works = {
        name: Work(real, processes=pipeline.stages[name].processes)
        for name, real in taken.items()
        if estimated[name] is not None
    }
    needs = {name: pipeline.stages[name].needs for name in works}
    spans = timetable(commands(pipeline, list(taken), JOBS), needs, works, {})
    unmeasured = found["unmeasured"]
    name = f"all but {unmeasured} stages" if unmeasured else "whole run"
    rows.append(_row(name, found["seconds"], max((end for _, end in spans.values()), default=0.0)))
    when = "before the run" if kept else "after the run"
    columns = ("stage", "estimate", "taken", "estimate / taken", "")
    table(f"Rehearsal of {found['minutes']:.0f} minutes {when}, mini", columns, rows)


def _rehearsed(run: Path, started: list[str]) -> Mapping[str, Any] | None:
    """The rehearsal that is kept in a run's folder, where it was made before the first of the stages began."""
    from kit.base.files import read_json
    from kit.pipeline.record import REHEARSAL

    path = run / REHEARSAL
    if not path.is_file() or path.stat().st_mtime > datetime.fromisoformat(min(started)).timestamp() + 1:
        return None
    kept: dict[str, Any] = read_json(path, dict)
    return kept if kept["jobs"] == JOBS else None


def _row(name: str, estimate: float | None, real: float) -> tuple[str, ...]:
    if estimate is None:
        return (name, "not measured", f"{real:.2f} s", "", "")
    ratio = estimate / max(real, 0.01)
    beyond = "" if 1 / BOUND <= ratio <= BOUND else f"beyond {BOUND}"
    return (name, f"{estimate:.2f} s", f"{real:.2f} s", f"{ratio:.2f}", beyond)
