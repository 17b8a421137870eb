"""What tests of runs share: stages made in a run, stages of a test's own, the words of a command."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from kit.pipeline.pipeline import Pipeline
from kit.pipeline.run import Run
from kit.pipeline.stage import FileInput, Stage, StageContext

Record = dict[str, Any]


def made(run: Run, name: str, *, force: bool = False) -> Record:
    """Make a stage and what it implies; its record."""
    return Pipeline(run).make([name], force=[name] if force else ())[name]


def alone(run: Run, *names: str) -> Record:
    """Do stages, in this order, and nothing that they need; the record of the last."""
    pipeline = Pipeline(run)
    for name in names:
        pipeline.do(name)
    record = run.record(names[-1])
    assert record is not None
    return record


def state(run: Run, name: str) -> str:
    """The state of a stage: finished, started, stale or to do."""
    return Pipeline(run).status([name])[-1].state


def writing(text: str = "x", done: list[str] | None = None) -> Callable[[StageContext], Record]:
    """The work of a stage that writes one file; done: where its name is noted."""

    def work(context: StageContext) -> Record:
        (context.path / "result").write_text(text)
        if done is not None:
            done.append(context.stage.name)
        return {"figure": 7}

    return work


def small_stage(
    name: str,
    *needs: str,
    settings: Any = 1,
    inputs: Sequence[Path] = (),
    work: Callable[[StageContext], Record] | None = None,
    **more: Any,
) -> Stage:
    """A stage that writes a small file, declared as those of kit are."""
    files = tuple(FileInput(f"data.file{i}", path) for i, path in enumerate(inputs))
    options = {"headline": "figure", "settings": {"value": settings}, **more}
    return Stage(name, work or writing(), needs=needs, inputs=files, **options)


def set_words(*settings: str) -> list[str]:
    """Settings as words of a command."""
    return [word for setting in settings for word in ("--set", setting)]


MODEL_LIBRARIES = ("torch", "xgboost", "mmdet", "pandas", "numba", "kaggle", "scipy", "cv2")
GONE = """
import sys
gone = {gone}
class Gone:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in gone:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Gone())
from kit.cli import main
main()
"""


def without_model_libraries(
    folder: Path, *words: object, also: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    """What a command does where the libraries of models, pandas and others cannot be imported."""
    command = [sys.executable, "-c", GONE.format(gone={*MODEL_LIBRARIES, *also}), *map(str, words)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def in_a_process(*words: object, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """What a command does in a process of its own."""
    command = [sys.executable, "-m", "kit", *map(str, words)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def changed(path: Path, before: dict[str, int]) -> set[str]:
    """The stages of a run that were made anew since `before`, which `written` gave."""
    now = written(path)
    return {name for name in now if now[name] != before.get(name)}


def written(path: Path) -> dict[str, int]:
    """When every stage of a run was written."""
    return {record.parent.name: record.stat().st_mtime_ns for record in path.glob("*/stage.json")}
