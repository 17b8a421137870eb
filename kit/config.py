"""The configuration of a run: a YAML file, then `--set a.b=c`; unknown keys and wrong types are errors."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from kit.errors import FileFault, KitError


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list) else [] if value is None else [value]


Files = Annotated[list[Path], BeforeValidator(_as_list)]
Share = Annotated[float, Field(gt=0, le=1)]


class Model(BaseModel):
    """A part of the configuration: closed and unchangeable."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Split(Model):
    """Files of one split. Without boxes those of the relations serve, without labels the relations' classes."""

    relations: Files = []
    boxes: Files = []
    labels: Files = []
    images: Path | None = None


class TestSet(Split):
    """Files of the test set: the sample submission (ids and order), and detections of any detector.

    Its truth is known for the mini challenge alone.
    """

    ids: Path | None = None
    detections: Files = []


class Mini(Model):
    """The generated challenge: pictures per split and of the source set, their longer side, and the seed."""

    train: int = Field(1500, ge=1)
    stack: int = Field(400, ge=1)
    val: int = Field(400, ge=1)
    test: int = Field(300, ge=1)
    source: int = Field(1500, ge=0)
    side: int = Field(160, ge=32, le=2000)
    seed: int = 0


class Download(Model):
    """How the real data comes. mirror: an address or folder that holds it instead of the published places.

    at_once: photos at a time; longest: stored with this longest side at most, null as they come; connect,
    read: seconds to wait for a connection and between two reads; tries, and the first wait between them.
    """

    mirror: str | None = None
    at_once: int = Field(64, ge=1, le=512)
    longest: int | None = Field(None, ge=64)
    connect: float = Field(20.0, gt=0)
    read: float = Field(60.0, gt=0)
    tries: int = Field(6, ge=1)
    wait: float = Field(1.0, ge=0)


class Data(Model):
    """Where the data is; `source: mini` generates it into `root`."""

    source: Literal["mini", "openimages"] = "openimages"
    root: Path = Path("data")
    mini: Mini = Mini()
    download: Download = Download()
    train: Split = Split()
    stack: Split = Split()
    val: Split = Split()
    test: TestSet = TestSet()


class Prior(Model):
    """P(predicate | subject, object): pseudo-counts of the back-off to the classes and to the predicate."""

    smooth_class: float = Field(2.0, gt=0)
    smooth_pair: float = Field(50.0, gt=0)


class Boosting(Model):
    """XGBoost's own parameters under its own names, and early stopping in blocks of rounds.

    folds: how many held-out parts of the images the number of rounds is chosen on; the model is then trained
    again on all rows. With 1, a tenth of the images is held out and the best block's model is kept.
    """

    booster: Literal["gbtree", "dart"] = "gbtree"
    eta: float = Field(0.1, gt=0, le=1)
    max_depth: int = Field(5, ge=1, le=30)
    min_child_weight: float = Field(0.1, ge=0)
    subsample: Share = 0.7
    colsample_bytree: Share = 0.5
    gamma: float = Field(0.0, ge=0)
    reg_lambda: float = Field(30.0, ge=0)
    rate_drop: float = Field(0.0, ge=0, lt=1)
    rounds: int = Field(300, ge=0)
    block: int = Field(50, ge=1)
    patience: int = Field(1, ge=1)
    folds: int = Field(3, ge=1, le=10)
    device: str = Field("cpu", pattern=r"^(cpu|cuda(:\d+)?)$")
    threads: int = Field(0, ge=0)


class Spatial(Boosting):
    """The spatio-semantic model: a binary model a predicate, or one multiclass model with a "none" class.

    start: what boosting starts from, the prior's log-odds or the mean of the labels.
    """

    objective: Literal["binary", "multiclass"] = "binary"
    start: Literal["prior", "mean"] = "mean"


Precision = Literal["float32", "bfloat16", "float16"]


class Visual(Model):
    """The visual model on the union crop (paper 2.2, 3.1): an MLP on a detector's backbone.

    model: whose backbone it starts from, null for the first of `detector.models`; backbone: a network a
    predicate, or one shared trunk with a head a predicate; trunk: fine-tuned or frozen; size: side of a
    crop in pixels; negatives: at most so many times the positives, drawn anew in every epoch; warmup: share
    of the steps in which the rate rises to the highest, from where a cosine takes it to the lowest.
    """

    model: str | None = None
    backbone: Literal["separate", "shared"] = "separate"
    trunk: Literal["tuned", "frozen"] = "tuned"
    size: int = Field(224, ge=32)
    hidden: int = Field(512, ge=1)
    mlp_layers: int = Field(3, ge=1)
    dropout: float = Field(0.2, ge=0, lt=1)
    batch: int = Field(32, ge=1)
    epochs: int = Field(35, ge=1)
    negatives: float = Field(3.0, gt=0)
    highest_rate: float = Field(3e-4, gt=0)
    lowest_rate: float = Field(5e-5, gt=0)
    warmup: float = Field(0.05, ge=0, lt=1)
    precision: Literal["float32", "bfloat16"] = "float32"
    workers: int = Field(0, ge=0)


class Stack(Boosting):
    """The third stage (paper 2.3): XGBoost over both scores and the features, a model a predicate.

    start: what boosting starts from, a logistic regression of the two scores or the mean of the labels;
    least: with fewer positive rows a predicate keeps the average of its scores.
    """

    max_depth: int = Field(8, ge=1, le=30)
    start: Literal["logistic", "mean"] = "logistic"
    least: int = Field(10, ge=1)


class Budget(Model):
    """How many candidates of an image are scored, the likeliest by prior and detection scores.

    boxes: an image's objects; per_image: its pairs; per_pair: those of one subject and object class.
    """

    boxes: int = Field(60, ge=1)
    per_image: int = Field(200, ge=1)
    per_pair: int = Field(30, ge=1)


class Final(Model):
    """The final confidence. exponents: what is tried for the detection scores; calibrate: one scale for all."""

    exponents: list[Annotated[float, Field(ge=0)]] = Field([0.25, 0.5, 0.75, 1.0, 1.5], min_length=1)
    calibrate: bool = True


class Relation(Model):
    """The relation models of the second and third stage.

    train_boxes: ground truth (paper 3.1), or the fused detections of the training pictures, which the paper
    tried; combine: whose score of a pair counts; attributes: predict "is"; visual: null for none.
    """

    train_boxes: Literal["truth", "predicted"] = "truth"
    combine: Literal["prior", "spatial", "visual", "average", "stack"] = "stack"
    attributes: bool = True
    budget: Budget = Budget()
    prior: Prior = Prior()
    spatial: Spatial = Spatial()
    visual: Visual | None = Visual()
    stack: Stack = Stack()
    final: Final = Final()


Architecture = Literal["resnext101-64x4d", "hrnet-w32", "resnext-mini", "hrnet-mini"]
Start = Literal["pwt", "new-heads", "scratch"]
Size = tuple[Annotated[int, Field(ge=32)], Annotated[int, Field(ge=32)]]  # longer and shorter side, pixels


class Training(Model):
    """How a detector is trained: iterations of `batch` pictures a process.

    milestones: shares of the iterations after which the rate falls to a tenth; clip: norm of the gradient;
    validate_every, checkpoint_every: iterations; validate_pictures: of the validation split, 0 for all.
    """

    iterations: int = Field(100, ge=1)
    batch: int = Field(8, ge=1)
    optimizer: Literal["sgd", "adamw"] = "adamw"
    rate: float = Field(3e-3, gt=0)
    weight_decay: float = Field(0.01, ge=0)
    warmup: int = Field(20, ge=0)
    milestones: list[Annotated[float, Field(gt=0, lt=1)]] = [0.8]
    clip: float = Field(10.0, gt=0)
    precision: Precision = "float32"
    size: Size = (160, 160)
    channels_last: bool = False
    workers: int = Field(0, ge=0)
    checkpoint_every: int = Field(100, ge=1)
    validate_every: int = Field(100, ge=1)
    validate_pictures: int = Field(0, ge=0)

    def weights_key(self) -> dict[str, Any]:
        """The settings that the trained weights depend on."""
        return self.model_dump(exclude={"workers", "checkpoint_every", "validate_every", "validate_pictures"})


class DetectorModel(Model):
    """One detector: its architecture, and trained weights (.pth); without, the source set trains them."""

    architecture: Architecture
    weights: Path | None = None


class Source(Model):
    """The set that weights come from where none are given: COCO instances files and their pictures."""

    annotations: Path | None = None
    images: Path | None = None
    val_annotations: Path | None = None
    val_images: Path | None = None
    training: Training = Training()


class View(Model):
    """How a picture is shown to a detector: sides at most `size`, mirrored or not."""

    size: Size
    flip: bool = False

    @property
    def name(self) -> str:
        """The view's name in tables."""
        return f"{self.size[0]}x{self.size[1]}{'-flip' if self.flip else ''}"


class Inference(Model):
    """Detection: views, pictures a batch, what is kept; shard: pictures a file."""

    views: list[View] = Field([View(size=(160, 160))], min_length=1)
    batch: int = Field(8, ge=1)
    workers: int = Field(0, ge=0)
    score: float = Field(1e-4, ge=0, lt=1)
    per_image: int = Field(400, ge=1)
    precision: Precision = "float32"
    shard: int = Field(500, ge=1)


class Fusion(Model):
    """How boxes of models and views become one set (paper 3.1).

    weights: the values that the search tries for a model; rounds: how often it goes over the models.
    """

    method: Literal["wbf", "nms", "soft-nms", "nmw"] = "wbf"
    iou: float = Field(0.55, gt=0, lt=1)
    lowest: float = Field(1e-4, ge=0)
    conf_type: Literal["avg", "max", "box_and_model_avg", "absent_model_aware_avg"] = "avg"
    weights: list[Annotated[float, Field(gt=0)]] = Field([0.5, 1.0, 2.0, 3.0], min_length=1)
    rounds: int = Field(2, ge=0)


class Detector(Model):
    """The detectors: Cascade R-CNN models, where their weights start, class-balanced sampling, views, fusion.

    start: partial weight transfer; all weights but the heads' classification and regression layers; none.
    class_map: a YAML file of `kit classmap`; null matches by name, synonym and kind.
    sampling_limit: N of p(k) = min(n_k, N) / sum of min(n_i, N); null is the plain distribution.
    """

    models: dict[str, DetectorModel] = {}
    start: Start = "pwt"
    class_map: Path | None = None
    source: Source = Source()
    training: Training = Training()
    sampling_limit: int | None = Field(10_000, ge=1)
    inference: Inference = Inference()
    fusion: Fusion = Fusion()
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    threads: int = Field(0, ge=0)


class Attribute(Model):
    """The "is" detector (paper 3.1): detectors of the (object, attribute) pairs.

    models: names of `detector.models`; each starts from that detector's weights, by partial weight transfer.
    Views, what is kept and fusion are those of the detectors.
    """

    models: list[str] = []
    training: Training = Training()
    sampling_limit: int | None = Field(10_000, ge=1)


class Submission(Model):
    """The submission file: best predictions per image, decimals of a coordinate, packing."""

    top: int = Field(200, ge=1)
    digits: int = Field(5, ge=2, le=6)
    packing: Literal["csv", "csv.gz", "csv.zip"] = "csv"


class Config(Model):
    """Everything that a run is made from."""

    run: Path = Path("runs/default")
    seed: int = 0
    data: Data = Data()
    detector: Detector = Detector()
    attribute: Attribute = Attribute()
    relation: Relation = Relation()
    submission: Submission = Submission()


CONFIGS = (Path(__file__).parent / "configs", Path(__file__).parent.parent / "configs")
DEFAULT = "mini"


def load_config(name: str = DEFAULT, overrides: Sequence[str] = ()) -> Config:
    """The configuration of a YAML file (a path, or the name of one that comes with kit), then overrides.

    overrides: texts `a.b=value`, the value in YAML. Raises KitError, one line, naming the key.
    """
    path = _find(name)
    values = _read_yaml(path)
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key:
            raise KitError(f"--set {override}: not of the form key=value", "write --set a.b=value")
        try:
            _put(values, key.split("."), yaml.safe_load(text))
        except yaml.YAMLError:
            raise KitError(f"--set {override}: the value is not readable as YAML") from None
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise _first_error(error, path, overrides) from None


def _find(name: str) -> Path:
    if Path(name).is_file():
        return Path(name)
    for folder in CONFIGS:
        if (folder / f"{name}.yaml").is_file():
            return folder / f"{name}.yaml"
    own = sorted(path.stem for folder in CONFIGS if folder.is_dir() for path in folder.glob("*.yaml"))
    raise KitError(f"{name}: no such config file", f"give a YAML file or one of: {', '.join(own)}")


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise FileFault(path, f"not YAML ({error.problem})", line=line) from None
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise FileFault(path, f"not YAML ({error})") from None
    if values is not None and not isinstance(values, dict):
        raise FileFault(path, "not a table of settings", hint="write key: value lines")
    return values or {}


def _put(values: dict[str, Any], keys: list[str], value: Any) -> None:
    for key in keys[:-1]:
        inner = values.get(key)
        if not isinstance(inner, dict):
            inner = values[key] = {}
        values = inner
    values[keys[-1]] = value


def _first_error(error: ValidationError, path: Path, overrides: Sequence[str]) -> KitError:
    first = error.errors()[0]
    where = [str(part) for part in first["loc"] if not isinstance(part, int)]
    key = ".".join(where)
    place = "--set" if any(o.split("=")[0].startswith(key) for o in overrides) else str(path)
    if first["type"] == "extra_forbidden":
        return _unknown_key(place, where)
    path_wanted = first["type"] == "path_type"
    message = "input should be a path" if path_wanted else first["msg"][0].lower() + first["msg"][1:]
    return KitError(f"{place}: {key}: {message}, given {first['input']!r}")


def _unknown_key(place: str, where: list[str]) -> KitError:
    model: Any = Config
    for part in where[:-1]:
        fields = getattr(model, "model_fields", None)
        model = fields[part].annotation if fields and part in fields else _inner(model)
    allowed = list(getattr(model, "model_fields", None) or _inner(model).model_fields)
    near = get_close_matches(where[-1], allowed, 1)
    hint = f"did you mean {near[0]}? " if near else ""
    return KitError(f"{place}: {'.'.join(where)}: unknown key", f"{hint}allowed: {', '.join(allowed)}")


def _inner(annotation: Any) -> Any:
    """The model inside a list or a table of models."""
    return next(a for a in get_args(annotation) if isinstance(a, type) and issubclass(a, Model))
