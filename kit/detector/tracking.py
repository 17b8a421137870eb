"""Training curves for other tools to show, through mmengine's own backends."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from kit.base.errors import KitError
from kit.config import Tracker

BACKENDS: dict[Tracker, str] = {
    "tensorboard": "TensorboardVisBackend",
    "mlflow": "MLflowVisBackend",
    "wandb": "WandbVisBackend",
}


@dataclass(frozen=True)
class Tracking:
    """To which tools a training tells its loss and mAP. folder: theirs; project, name: what they call the run."""

    tools: Sequence[Tracker] = ()
    folder: Path = Path("tracking")
    project: str = "kit"
    name: str = "training"

    def check(self) -> None:
        """Raise KitError where a tool is not installed."""
        for tool in self.tools:
            if find_spec(tool) is None:
                raise KitError(
                    f"tracking: {tool} is not installed", f"pip install {tool}, or --set tracking=[]"
                )

    def visualizer(self) -> dict[str, Any] | None:
        """Mmengine's configuration of it beside its own log; None without a tool."""
        if not self.tools:
            return None
        backends = [self._backend(tool) for tool in self.tools]
        return {"type": "Visualizer", "vis_backends": [{"type": "LocalVisBackend"}, *backends]}

    def _backend(self, tool: Tracker) -> dict[str, Any]:
        backend: dict[str, Any] = {"type": BACKENDS[tool], "save_dir": str(self.folder / tool / self.name)}
        if tool == "mlflow":
            place = (self.folder / tool).absolute()
            uri = os.environ.get("MLFLOW_TRACKING_URI", f"sqlite:///{place}/mlflow.db")
            backend |= {"save_dir": str(place), "exp_name": self.project, "run_name": self.name}
            backend |= {"tracking_uri": uri, "artifact_location": f"file://{place}/artifacts"}
        elif tool == "wandb":
            backend |= {"init_kwargs": {"project": self.project, "name": self.name}}
        return backend

    def tell(self, visualizer: Any, name: str, value: float, step: int) -> None:
        """Tell a figure to the tools alone; it does not go into mmengine's own log, which is a result."""
        for tool in self.tools:
            visualizer.get_backend(BACKENDS[tool]).add_scalar(name, value, step)
