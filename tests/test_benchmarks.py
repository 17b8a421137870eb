import subprocess
import sys
from importlib import import_module
from importlib.resources import files

import pytest

OTHERS = ("measure", "synthetic")  # what benchmarks are made with
PLUGIN = "weak_scaling_stage"  # registers a stage in the process that imports it
NAMES = sorted(p.name[:-3] for p in files("benchmarks").iterdir() if p.name.endswith(".py"))


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("__init__", "__main__", PLUGIN)])
def test_a_benchmark_can_be_started(name):
    module = import_module(f"benchmarks.{name}")
    assert callable(getattr(module, "main", None)) or name in OTHERS


def test_the_plugin_of_a_benchmark_can_be_loaded():
    subprocess.run([sys.executable, "-c", f"import benchmarks.{PLUGIN}"], check=True)
