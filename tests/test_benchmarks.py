from importlib import import_module
from importlib.resources import files

import pytest

OTHERS = ("measure", "synthetic", "weak_scaling_stage")  # what benchmarks are made with; the last is a plugin
NAMES = sorted(p.name[:-3] for p in files("benchmarks").iterdir() if p.name.endswith(".py"))


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("__init__", "__main__")])
def test_a_benchmark_can_be_started(name):
    module = import_module(f"benchmarks.{name}")
    assert callable(getattr(module, "main", None)) or name in OTHERS
