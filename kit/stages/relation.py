"""The training stages of the second and third stage: prior, spatial, visual, stack."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from kit.config import Config
from kit.data.photos import list_photos
from kit.data.splits import SplitTables, load_split, split_files
from kit.errors import KitError
from kit.files import write_json
from kit.progress import notice, track
from kit.relation.prior import pair_examples, train_prior
from kit.relation.statistics import Statistics, folds
from kit.run import Run
from kit.stages.fusion import fused_detections
from kit.stages.images import digest, files_hash, images_key
from kit.stages.splits import SplitName, picture_folder, split_ids
from kit.tables.schema import Detections

STACK_VAL: tuple[SplitName, ...] = ("stack", "val")


def prior_stage(run: Run, force: bool = False) -> dict[str, Any]:
    """Count the training split: stage `prior`."""
    made_from = run.key(
        settings_of(run.config, "prior"), split_files(run.config.data.train), _boxes(run.config)
    )
    with run.stage("prior", made_from, force=force) as stage:
        if stage:
            split = training_tables(run, "train")
            statistics = train_prior(split, run.config.relation.prior)
            statistics.save(stage.path / "statistics.npz")
            examples = pair_examples(split)
            stage.metrics = {
                "images": len(split.objects.images),
                "relations": len(split.relations),
                "pairs": len(examples.candidates),
                "related_pairs": int(examples.hit.any(axis=1).sum()),
            }
    return run.finished("prior") or {}


def spatial_stage(run: Run, force: bool = False) -> dict[str, Any]:
    """Train the spatio-semantic model: stage `spatial`, after `prior`."""
    from kit.relation.spatial import train_spatial

    prior_stage(run)
    config = run.config
    made_from = run.key(settings_of(config, "spatial"), split_files(config.data.train), after=["prior"])
    with run.stage("spatial", made_from, force=force) as stage:
        if stage:
            split = training_tables(run, "train")
            statistics = Statistics.load(run.folder("prior") / "statistics.npz")
            scorer = train_spatial(split, statistics, config.relation.spatial, config.seed, stage.path, track)
            scorer.save(stage.path)
            stage.metrics = {
                "trees": sum(scorer.rounds.values()),
                "rounds": scorer.rounds,
                "prior_stands": scorer.standing,
            }
            _told("spatial: the prior stands for", scorer.standing)
    return run.finished("spatial") or {}


def visual_stage(run: Run, force: bool = False) -> dict[str, Any]:
    """Train the visual model on the training pictures: stage `visual`, after the detector it starts from."""
    config, name = run.config, visual_model(run.config)
    settings = config.relation.visual
    if settings is None:
        raise KitError("relation.visual is null", "give it settings to train a visual model")
    detector, folder = run.folder(f"detector-{name}"), picture_folder(config, "train")
    files = split_files(config.data.train)
    after = [f"detector-{name}", *_boxes(config)]
    images = seen_images(run, "train")
    made_from = run.key({**settings_of(config, "visual"), "images": images}, files, after=after)
    with run.stage("visual", made_from, force=force) as stage:
        if stage:
            from kit.detector.checkpoint import read_state
            from kit.detector.pictures import SKIPPED, left_out, tidy_skipped
            from kit.relation.visual_data import pair_rows
            from kit.relation.visual_training import train_visual

            split = training_tables(run, "train")
            examples, photos = pair_examples(split), list_photos(folder)
            shown = [split.objects.images[i] for i in np.unique(examples.candidates.image)]
            rows = pair_rows(examples, split.objects, folder)
            networks = train_visual(
                rows,
                config.detector.models[name].architecture,
                read_state(detector / "weights.pth"),
                settings,
                config.seed,
                stage.path,
                config.detector.device,
                config.data.decoding(),
            )
            skipped = tidy_skipped(stage.path / SKIPPED, [name for name in shown if name not in photos])
            if skipped:
                notice(f"visual: {left_out(skipped, len(shown))}; see {SKIPPED}")
            losses = [figures["loss"] for figures in networks.values()]
            mean = round(sum(losses) / len(losses), 4) if losses else None
            stage.metrics = {"loss": mean, "networks": networks, "left_out": len(skipped)}
    return run.finished("visual") or {}


def stack_stage(run: Run, force: bool = False) -> dict[str, Any]:
    """Train the third stage on the stack split (paper 2.3): stage `stack`, after `spatial` and `visual`.

    Without a visual model in the config it combines the spatial score with the features alone.
    """
    from kit.relation.stack import train_stack
    from kit.stages.models import average_weights, note_unseen, say_unseen, spatial_scorer, visual_scorer

    config = run.config
    run.folder("spatial")
    visual = config.relation.visual is not None and bool(config.detector.models)
    if visual:
        run.folder("visual")
    after = ["spatial", *(["visual"] if visual else []), *_boxes(config, "stack")]
    files = [*split_files(config.data.stack), *split_files(config.data.val)]
    settings = settings_of(config, "stack")
    if visual:
        with_val = bool(config.data.val.relations and config.data.val.images)
        settings["images"] = {s: seen_images(run, s) for s in (STACK_VAL if with_val else STACK_VAL[:1])}
    made_from = run.key(settings, files, after=after)
    with run.stage("stack", made_from, force=force) as stage:
        if stage:
            split = training_tables(run, "stack")
            examples = pair_examples(split)
            spatial = spatial_scorer(run)
            parts = {"spatial": spatial.pairs(split.objects, examples.candidates)}
            weights, table = average_weights(run, spatial, visual)
            write_json(stage.path / "average.json", table)
            if visual:
                scorer = visual_scorer(run, spatial, "stack")
                parts["visual"] = scorer.pairs(split.objects, examples.candidates)
                note_unseen(scorer, stage.path)
                say_unseen("stack", stage.path, len(split.objects.images))
            stacker = train_stack(
                examples,
                split.objects,
                folds(split.objects.images)[examples.candidates.image],
                parts,
                weights,
                spatial.statistics,
                config.relation.stack,
                config.seed,
            )
            stacker.save(stage.path)
            fallbacks = {name: model.fallback for name, model in stacker.models.items() if model.fallback}
            stage.metrics = {"fallbacks": len(fallbacks), "models": stacker.figures()}
            _told("stack: the average stands for", fallbacks)
    return run.finished("stack") or {}


def seen_images(run: Run, split: SplitName) -> dict[str, Any]:
    """The images of a split that the visual model sees, for a stage's key."""
    own = getattr(run.config.data, split)
    folder, files = picture_folder(run.config, split), split_files(own)
    if split == "test" and not own.relations:
        ids = split_ids(run.config, split)
        return images_key(run, folder, digest(ids), lambda: ids)
    return images_key(run, folder, files_hash(run, files), lambda: load_split(own, split).objects.images)


def training_tables(run: Run, split: SplitName) -> SplitTables:
    """A split as the relation models learn from it: its ground-truth boxes, or detections matched to them."""
    tables = load_split(getattr(run.config.data, split), split)
    if run.config.relation.train_boxes == "truth":
        return tables
    from kit.relation.predicted import on_detections

    found = Detections.concat(list(fused_detections(run, split)))
    return on_detections(tables, found, run.config.relation.budget.boxes)


def settings_of(config: Config, name: str) -> dict[str, Any]:
    """The settings that a training stage depends on."""
    relation = config.relation
    boxes: dict[str, Any] = {}
    if relation.train_boxes == "predicted":
        boxes = {"train_boxes": relation.train_boxes, "boxes": relation.budget.boxes}
    if name == "prior":
        return {**relation.prior.model_dump(), **boxes}
    settings = getattr(relation, name)
    own = settings and settings.model_dump(exclude={"threads", "workers"})
    return {name: own, "seed": config.seed, **boxes}


def check_settings(run: Run, name: str) -> Path:
    """The folder of a training stage; a notice where it was trained with other settings."""
    folder = run.folder(name)
    trained = (run.finished(name) or {})["made_from"]["settings"]
    wanted = json.loads(json.dumps(settings_of(run.config, name), default=str))
    if {key: trained.get(key) for key in wanted} != wanted:
        notice(f"note: {folder} was trained with other settings; `kit train {name}` would train it again")
    return folder


def visual_model(config: Config) -> str:
    """The detector that the visual model starts from. Raises KitError where there is none."""
    settings = config.relation.visual
    name = (settings.model if settings else None) or next(iter(config.detector.models), None)
    if name is None or name not in config.detector.models:
        raise KitError(
            f"relation.visual.model: there is no detector {name or ''}".rstrip(), "set detector.models"
        )
    return name


def _told(what: str, reasons: dict[str, str]) -> None:
    """One notice of the predicates that stay with what they start from, and why."""
    if reasons:
        notice(f"{what} {', '.join(f'{name} ({why})' for name, why in reasons.items())}")


def _boxes(config: Config, split: SplitName = "train") -> list[str]:
    """The stage that the training boxes come from, where they are predicted ones."""
    return [f"fuse-{split}"] if config.relation.train_boxes == "predicted" else []
