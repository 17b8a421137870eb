"""What is installed: Python, kit's parts, torch and its operators, XGBoost, numba."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

from kit.base.errors import first_line
from kit.config import Config
from kit.doctor.check import Check

OLDEST = (3, 11)
Python = tuple[int, int]
EXTRAS = {  # what is installed by kit[EXTRA]
    "train": ("numba", "pandas", "scipy", "xgboost"),
    "detect": ("torch", "torchvision", "mmengine", "mmdet", "mmcv-lite"),
    "download": ("aiohttp",),
    "kaggle": ("kaggle",),
    "report": ("jinja2", "matplotlib", "pillow"),
}


def software(config: Config) -> Iterator[Check]:
    """All checks of what is installed, by what the config needs."""
    detects, real = bool(config.detector.models), config.data.source == "openimages"
    yield python_check()
    needed = {"train": True, "detect": detects, "download": real}
    for extra, names in EXTRAS.items():
        yield installed(extra, names, needed.get(extra, False))
    if detects:
        yield operators()
    yield works("numba", "train")
    yield xgboost_check(config)


def python_check(found: Python = sys.version_info[:2]) -> Check:
    """Whether the language is new enough."""
    words = f"{platform.python_version()} ({platform.platform()})"
    if found >= OLDEST:
        return Check("Python", "OK", words)
    oldest = ".".join(map(str, OLDEST))
    return Check("Python", "FAIL", f"{words}; kit needs {oldest}", f"uv venv --python {oldest}")


def installed(extra: str, names: Sequence[str], needed: bool) -> Check:
    """Whether the packages of an extra are there, with their versions. needed: the config cannot do without."""
    found = {name: _version(name) for name in names}
    missing = [name for name, number in found.items() if number is None]
    there = ", ".join(f"{name} {number}" for name, number in found.items() if number)
    if not missing:
        return Check(f"kit[{extra}]", "OK", there)
    words = f"missing: {', '.join(missing)}{f'; {there}' if there else ''}"
    return Check(f"kit[{extra}]", "FAIL" if needed else "WARN", words, f"pip install 'kit[{extra}]'")


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def works(module: str, extra: str) -> Check:
    """Whether a module can be imported; what is not installed at all is told by `installed`."""
    fault = import_fault(module)
    if fault is None:
        return Check(module, "OK", "can be imported")
    return Check(module, "FAIL", fault, f"pip install --force-reinstall 'kit[{extra}]'")


def import_fault(module: str) -> str | None:
    """Why a module cannot be imported, in one line; None where it can."""
    try:
        import_module(module)
    except Exception as error:  # whatever a broken library makes of it
        return f"cannot be imported: {first_line(error)}"
    return None


def operators() -> Check:
    """Whether mmdet's operators work, and whose they are: one box is suppressed by another."""
    name, cure = "mmcv operators", "pip uninstall -y mmcv && pip install --force-reinstall mmcv-lite==2.1.0"
    try:
        from kit.detector.ops import install_ops

        owner = install_ops()
        import torch
        from mmcv.ops import nms

        boxes = torch.tensor([[0.0, 0.0, 9.0, 9.0], [0.0, 0.0, 9.0, 8.0]])
        kept = nms(boxes, torch.tensor([0.9, 0.8]), 0.5)[1].tolist()
    except Exception as error:
        return Check(name, "FAIL", first_line(error), cure)
    if kept != [0]:
        return Check(name, "FAIL", f"by {owner}: two boxes of one object are both kept", cure)
    return Check(name, "OK", f"by {owner}")


def xgboost_check(config: Config) -> Check:
    """Whether XGBoost can be imported, and whether it was built for a GPU where the config wants one."""
    check = works("xgboost", "train")
    if check.state == "FAIL":
        return check
    import xgboost

    built = bool(xgboost.build_info().get("USE_CUDA"))
    words = f"{xgboost.__version__}, built {'with' if built else 'without'} CUDA"
    relation = config.relation
    wanted = any(part.device != "cpu" for part in (relation.spatial, relation.stack))
    if wanted and not built:
        return Check(
            "xgboost", "WARN", f"{words}: trains on the CPU", "pip install --force-reinstall xgboost"
        )
    return Check("xgboost", "OK", words)
