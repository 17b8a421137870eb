"""The whole configuration, read from a YAML file, then `--set a.b=c`; unknown keys and wrong types are errors."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from os.path import isdir, isfile
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import Field, JsonValue, ValidationError, ValidationInfo, field_validator

from kit.base.errors import FileFault, KitError, printable
from kit.base.yamlfile import SHOWN, YamlFault, line_of_key, parse_yaml, read_yaml
from kit.config.data_settings import Data
from kit.config.detector_settings import Attribute, Detector
from kit.config.engine_settings import Engine
from kit.config.extends import DEFAULT_RUN, EXTENDS, Chain, merged, place_of, read_extended
from kit.config.model import MOST_THREADS, Files, Model, RunPath, Seed, UserPath
from kit.config.plugins import load_plugins
from kit.config.relation_settings import Relation
from kit.config.renamed import rename_keys


class Submission(Model):
    """The submission file: best predictions per image, decimals of a coordinate, packing."""

    top: int = Field(200, ge=1)
    digits: int = Field(5, ge=2, le=6)
    packing: Literal["csv", "csv.gz", "csv.zip"] = "csv"


class Kaggle(Model):
    """Kaggle's name of the competition, where records of submissions lie, seconds to wait for a score."""

    competition: str = Field("open-images-2019-visual-relationship", pattern=r"^[\w-]+$")
    records: UserPath = Path("submissions")
    wait: float = Field(3600.0, ge=0)


Tracker = Literal["tensorboard", "mlflow", "wandb"]


class Config(Model):
    """Everything that a run is made from.

    plugins: Python files that register stages, scorers, architectures; extra: settings for them, by any names;
    threads: of a process's arithmetic on the CPU, 0 for as many as the machine has: results then follow it;
    tracking: tools that are told the curves of detector trainings, below `tracking` in the run's folder.
    """

    run: RunPath = DEFAULT_RUN
    seed: Seed = 0
    plugins: Files = []
    threads: int = Field(0, ge=0, le=MOST_THREADS)
    tracking: list[Tracker] = []
    data: Data = Data()
    detector: Detector = Detector()
    attribute: Attribute = Attribute()
    relation: Relation = Relation()
    submission: Submission = Submission()
    engine: Engine = Engine()
    kaggle: Kaggle = Kaggle()
    extra: dict[str, JsonValue] = {}

    @field_validator("attribute")
    @classmethod
    def _a_gpu_each(cls, attribute: Attribute, values: ValidationInfo) -> Attribute:
        detector = values.data.get("detector")
        if detector is not None:
            detector.check_device(attribute.processes or 1)
        return attribute

    @field_validator("relation")
    @classmethod
    def _a_gpu_each_too(cls, relation: Relation, values: ValidationInfo) -> Relation:
        detector = values.data.get("detector")
        if detector is not None and relation.visual is not None:
            detector.check_device(relation.visual.processes)
        return relation

    @property
    def cpu_threads(self) -> int:
        """Threads of a process: `detector.threads`, an older key, where it is set, else `threads`."""
        return self.detector.threads or self.threads

    @property
    def attribute_processes(self) -> int:
        """Processes that train an "is" detector together: its own number, else that of the detectors."""
        return self.attribute.processes or self.detector.processes

    def as_yaml(self) -> str:
        """A text that `load_config` reads as this configuration."""
        import yaml

        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)


CONFIGS = tuple(Path(__file__).parents[i] / "configs" for i in (1, 2))  # installed, in a checkout
DEFAULT = "mini"


def load_config(name: str = DEFAULT, overrides: Sequence[str] = ()) -> Config:
    """The configuration of a YAML file (a path, or the name of one that comes with kit), then overrides.

    With `extends: FILE` (or such a name) a file has all settings of that one but its own. overrides: texts
    `a.b=value`, the value in YAML. Raises KitError, one line, naming the key.
    """
    files = read_extended(_find(name), _read_yaml, _find)
    values = merged([own for _, own in files])
    for i, (path, own) in enumerate(files):
        _check_dropped(str(path), own, set().union(*(_models(base) for _, base in files[i + 1 :])))
    given = []
    for override in overrides:
        known = set(_models(values))
        given.append(_override(values, override))
        _check_dropped("--set", values, known)
    load_plugins(values.get("plugins"))
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise _first_error(error, files, given) from None


def _models(values: dict[str, Any]) -> dict[str, Any]:
    """`detector.models`, if it is a table."""
    detector = values.get("detector")
    models = detector.get("models") if isinstance(detector, dict) else None
    return models if isinstance(models, dict) else {}


def _check_dropped(place: str, values: dict[str, Any], known: set[str]) -> None:
    """Raise KitError where settings drop a model (null) that is not among those known before them."""
    for name, model in _models(values).items():
        if model is None and name not in known:
            shown = printable(str(name), SHOWN)
            there = ", ".join(map(str, sorted(known, key=str))) or "none"
            raise KitError(
                f"{place}: detector.models.{shown}: null drops a model, and there is no {shown}",
                f"there are: {there}",
            )


def _override(values: dict[str, Any], override: str) -> list[str]:
    """Put the value of `a.b=value` into the values; its keys."""
    shown = printable(override, SHOWN)
    key, equals, text = override.partition("=")
    keys = key.split(".")
    if not equals or not all(keys):
        raise KitError(f"--set {shown}: not of the form key=value", "write --set a.b=value")
    try:
        tree = parse_yaml(text)
    except YamlFault as fault:
        raise KitError(f"--set {shown}: the value is not readable as YAML ({fault.message})") from None
    for part in reversed(keys):
        tree = {part: tree}
    tree = rename_keys(tree, lambda _: "--set")
    for i in range(len(keys)):
        ((keys[i], tree),) = tree.items()
    _put(values, keys, tree)
    return keys


def _find(name: str) -> Path:
    path = Path(name).expanduser() if name.startswith("~/") else Path(name)
    if isfile(path) or (isdir(path) and len(path.parts) > 1):
        return path
    for folder in CONFIGS:
        if isfile(folder / f"{name}.yaml"):
            return folder / f"{name}.yaml"
    names = sorted(path.stem for folder in CONFIGS if folder.is_dir() for path in folder.glob("*.yaml"))
    raise KitError(
        f"{printable(name, SHOWN)}: no such config file", f"give a YAML file or one of: {', '.join(names)}"
    )


def _read_yaml(path: Path) -> dict[str, Any]:
    values = read_yaml(path)
    if values is not None and not isinstance(values, dict):
        raise FileFault(path, "not a table of settings", hint="write key: value lines")
    return rename_keys(values or {}, lambda keys: f"{path}{_line(path, keys)}")


def _line(path: Path, keys: Sequence[str]) -> str:
    line = line_of_key(path, keys)
    return f", line {line}" if line else ""


def _put(values: dict[str, Any], keys: list[str], value: Any) -> None:
    for i, key in enumerate(keys[:-1], 1):
        inner = values.get(key)
        if inner is None:
            inner = values[key] = {}
        if not isinstance(inner, dict):
            kind = "a list" if isinstance(inner, list) else "a single value"
            name = printable(".".join(keys[:i]), SHOWN)
            raise KitError(f"--set {printable('.'.join(keys), SHOWN)}: {name} is {kind}", "give it whole")
        values = inner
    values[keys[-1]] = value


def _first_error(error: ValidationError, files: Chain, given: Sequence[list[str]]) -> KitError:
    first = error.errors()[0]
    where = [str(part) for part in first["loc"] if not isinstance(part, int)]
    key = printable(".".join(where), SHOWN)
    path, depth = place_of(files, first["loc"])
    around = min(depth + 1, len(where))  # keys of which a file has not all
    place = "--set" if any(keys[:around] == where[: len(keys[:around])] for keys in given) else str(path)
    if first["type"] == "extra_forbidden":
        return _unknown_key(place, where)
    path_wanted = first["type"] == "path_type"
    text = first["msg"].removeprefix("Value error, ")
    message = "input should be a path" if path_wanted else text[0].lower() + text[1:]
    return KitError(f"{place}: {key}: {message}, given {printable(repr(first['input']), SHOWN)}")


def _unknown_key(place: str, where: list[str]) -> KitError:
    model: Any = Config
    for part in where[:-1]:
        fields = getattr(model, "model_fields", None)
        model = fields[part].annotation if fields and part in fields else _inner(model)
    allowed = list(getattr(model, "model_fields", None) or _inner(model).model_fields)
    if len(where) == 1 and place != "--set":
        allowed.append(EXTENDS)
    near = get_close_matches(where[-1], allowed, 1)
    hint = f"did you mean {near[0]}? " if near else ""
    return KitError(f"{place}: {'.'.join(where)}: unknown key", f"{hint}allowed: {', '.join(allowed)}")


def _inner(annotation: Any) -> Any:
    """The model inside a list or a table of models."""
    return next(a for a in get_args(annotation) if isinstance(a, type) and issubclass(a, Model))
