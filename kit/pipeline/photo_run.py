"""Relations in any photos: the stages of the test set, over these photos, by the models of a finished run."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kit.base.errors import KitError
from kit.base.files import writing
from kit.base.progress import track
from kit.config import Config, TestSet, load_config
from kit.data.photos import PhotoFolder, list_photos
from kit.pipeline.detector_task import TASKS
from kit.pipeline.models import check_scorer
from kit.pipeline.pipeline import Pipeline
from kit.pipeline.record import RECORD
from kit.pipeline.remote_run import fetch_config
from kit.pipeline.run import Run
from kit.pipeline.stages.predictions import predict_stage
from kit.pipeline.stages.scored_candidates import candidates_stage

if TYPE_CHECKING:
    from kit.tables.schema import Predictions

RUNS = Path("runs")
PHOTOS, IDS = "photos", "ids.csv"  # in the folder of the work


@dataclass(frozen=True)
class PhotoPredictions:
    """Predictions in photos; their images are those that could be read.

    files: what was read, by id; unread: ids of the others, with the reason; config: by which they were read.
    """

    predictions: Predictions
    files: PhotoFolder
    unread: Mapping[str, str]
    config: Config


def newest_run(runs: Path = RUNS, overrides: Sequence[str] = ()) -> Run:
    """The run, of those in a folder, whose models were finished last. Raises KitError where none has models."""
    found: list[tuple[float, Run]] = []
    for path in sorted(runs.glob("*/config.yaml")):
        with suppress(KitError):  # a run that is damaged, or that is not finished
            run = run_of(path.parent, overrides)
            found.append((finished_at(run, run.config.relation.scorer), run))
    if not found:
        raise KitError(
            f"{runs.absolute()}: no run whose models are trained", "run `kit train all` first, or give --run"
        )
    return max(found, key=lambda each: each[0])[1]


def run_of(folder: Path, overrides: Sequence[str] = ()) -> Run:
    """The run in a folder, by the configuration kept there, with overrides. Raises KitError for no run."""
    fetch_config(folder)
    if not (folder / "config.yaml").is_file():
        raise KitError(f"{folder}: not the folder of a run", "give one that has a config.yaml")
    return Run(load_config(str(folder / "config.yaml"), overrides), folder)


def finished_at(run: Run, scorer: str) -> float:
    """When the last of the models that photos need was finished, as files tell times.

    Raises KitError where one is not, or the run has no detectors.
    """
    if not run.config.detector.models:
        raise KitError(f"{run.path}: a run without detectors", "take one whose detector.models names some")
    _, trained = _stages(Pipeline(Run(_config_of_photos(run.config, run.path), run.path)), scorer)
    return max((run.folder(name, command) / RECORD).stat().st_mtime for name, command in trained.items())


def predict_photos(
    run: Run, photos: Mapping[str, Path], work: Path, scorer: str | None = None
) -> PhotoPredictions:
    """Detect, fuse and score the relations in photos, by their ids. work: a folder; a later call goes on from it.

    EXIF's orientation is applied, whatever the config says: boxes are of the photo as it is seen. Raises KitError
    where a model is not trained, or none of the photos can be read.
    """
    from kit.data.own_photos import stage_photos
    from kit.tables.official_writer import write_sample_submission
    from kit.tables.schema import Predictions
    from kit.tables.shards import SHARDS, read_shards

    scorer = check_scorer(run.config, scorer or run.config.relation.scorer)
    finished_at(run, scorer)  # before any work
    config = _config_of_photos(run.config, work)
    unread = stage_photos(photos, work / PHOTOS, config.data.decoding(), track)
    there = [name for name in photos if name not in unread]
    _refuse_none(there, photos, unread, work)
    write_sample_submission(work / IDS, there)
    pipeline = Pipeline(Run(config, work))
    own, trained = _stages(pipeline, scorer)
    _link(run, work, trained)
    pipeline.do_all(own)
    unread |= _skipped(pipeline, own)
    there = [name for name in there if name not in unread]
    _refuse_none(there, photos, unread, work)
    folder = pipeline.folder(predict_stage(config, "test", scorer)) / SHARDS
    found = Predictions.concat(list(read_shards(folder, Predictions))).of_images(there)
    return PhotoPredictions(found, list_photos(work / PHOTOS), unread, config)


def _config_of_photos(config: Config, work: Path) -> Config:
    test = TestSet(images=work / PHOTOS, ids=work / IDS)
    data = config.data.model_copy(update={"test": test, "exif_orientation": "apply"})
    return config.model_copy(update={"run": work, "data": data})


def _stages(pipeline: Pipeline, scorer: str) -> tuple[list[str], dict[str, str]]:
    """The stages that look at photos, in order; and those of the models that they need, with their commands."""
    config = pipeline.run.config
    last = predict_stage(config, "test", scorer)
    names = {last, candidates_stage(config, "test", scorer), *(task.fuse("test") for task in TASKS)}
    names |= {task.detect("test", model) for task in TASKS for model in task.models(config)}
    own = [name for name in pipeline.closure([last]) if name in names]
    needs = dict.fromkeys(need for name in own for need in pipeline.stage(name).needs if need not in names)
    return own, {need: pipeline.stage(need).command for need in needs}


def _link(run: Run, work: Path, names: Iterable[str]) -> None:
    """Put trained stages into the folder of the work, as links."""
    with writing(work):
        for name in names:
            (work / name).unlink(missing_ok=True)
            (work / name).symlink_to((run.path / name).absolute(), target_is_directory=True)


def _skipped(pipeline: Pipeline, own: Sequence[str]) -> dict[str, str]:
    """The photos whose pixels turned out to be damaged, with the reason."""
    from kit.detector.annotated_images import SKIPPED, read_skipped

    return {
        name: why for stage in own for name, why in read_skipped(pipeline.folder(stage) / SKIPPED).items()
    }


def _refuse_none(
    there: Sequence[str], photos: Mapping[str, Path], unread: Mapping[str, str], work: Path
) -> None:
    """Raise KitError where no photo could be read; there is nothing to go on from then."""
    if not there:
        shutil.rmtree(work, ignore_errors=True)
        name, why = next(iter(unread.items()))
        raise KitError(f"none of {len(photos)} photos can be read, the first {photos[name]} ({why})")
