"""`kit doctor`: what is installed here, and what serves mmcv's operators."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

import typer

from kit.cli.options import Json

PACKAGES = ("numpy", "pyarrow", "xgboost", "numba", "torch", "torchvision", "mmengine", "mmdet", "kaggle")


def doctor(json: Json = False) -> None:
    """Print versions, the GPU, and whose compiled operators the detectors use."""
    from kit.base.files import json_text
    from kit.base.version import __version__

    facts = {"kit": __version__, "python": platform.python_version(), "machine": platform.platform()}
    facts |= {name: _version(name) for name in PACKAGES}
    facts |= _detector_facts() if facts["torch"] != MISSING else {}
    if json:
        typer.echo(json_text(facts))
        return
    for name, value in facts.items():
        typer.echo(f"{name:<16} {value}")


MISSING = "not installed"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return MISSING


def _detector_facts() -> dict[str, str]:
    import torch

    from kit.detector.ops import install_ops

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    return {"gpu": gpu, "mmcv operators": f"by {install_ops()}"}
