"""The machine as this process may use it: GPU, cores, memory, shared memory, disk."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from kit.base.errors import KitError, first_line
from kit.base.files import read_json
from kit.base.memory import usable_memory
from kit.base.threads import cpu_count
from kit.config import Config
from kit.doctor.check import Check
from kit.doctor.disk import disk_check
from kit.pipeline.record import REHEARSAL
from kit.rehearsal.shared_memory import PLACE, needed_shared_memory

GB = 1e9
LITTLE = 3 * GB  # bytes of memory: what the mini challenge takes


def hardware(config: Config, run: Path) -> Iterator[Check]:
    """All checks of the machine; run: the folder of the run, which may hold what a rehearsal found."""
    rehearsed = rehearsal(run)
    if config.detector.models:
        yield gpu(config)
    yield cores(config)
    yield memory(rehearsed, usable_memory())
    yield shared_memory(config)
    yield disk_check(config, run, rehearsed)


def rehearsal(run: Path) -> dict[str, Any]:
    """What a rehearsal found, empty where there was none."""
    with suppress(KitError):
        return read_json(run / REHEARSAL, dict)
    return {}


def gpu(config: Config) -> Check:
    """Whether torch computes on a GPU, and whether the config wants one."""
    name, wanted = "GPU", config.detector.device.startswith("cuda")
    try:
        import torch

        built = f"torch {torch.__version__} for {f'CUDA {torch.version.cuda}' if torch.version.cuda else 'the CPU'}"
        driver = _driver()
        if torch.cuda.is_available():
            (torch.ones(1, device="cuda") + 1).item()
            found = torch.cuda.get_device_properties(0)
            size = found.total_memory / GB
            return Check(name, "OK", f"{found.name}, {size:.0f} GB, driver {driver or 'not known'}, {built}")
    except Exception as error:  # a broken torch, or one that was not built for this card
        return Check(name, "FAIL", first_line(error), "pip install --force-reinstall 'kit[detect]'")
    if driver:
        words = f"driver {driver} does not serve {built}"
        return Check(name, "FAIL" if wanted else "WARN", words, "update the driver: see nvidia-smi")
    if wanted:
        words = f"none, but detector.device is {config.detector.device}; {built}"
        return Check(name, "FAIL", words, "--set detector.device=auto")
    if config.data.source == "openimages":
        return Check(name, "WARN", f"none: a full-size run takes months; {built}", "kit rehearse")
    return Check(name, "OK", f"none, and the mini challenge needs none; {built}")


def _driver() -> str:
    """The version of NVIDIA's driver; empty where there is none."""
    if shutil.which("nvidia-smi") is None:
        return ""
    words = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    with suppress(OSError, subprocess.SubprocessError):
        told = subprocess.run(words, capture_output=True, text=True, check=True, timeout=10).stdout.split()
        return told[0] if told else ""
    return ""


def cores(config: Config) -> Check:
    """The cores that this process may use, against the processes that load images."""
    usable, whole = cpu_count(), os.cpu_count() or 1
    words = f"{usable}" if usable == whole else f"{usable} of {whole} (affinity, cgroup or KIT_CPUS)"
    detector = config.detector
    loading = {
        "detector.training": (detector.training.workers, detector.processes),
        "detector.inference": (detector.inference.workers, 1),
    }
    for key, (workers, processes) in loading.items():
        if workers * processes > usable:
            words += f"; {key} loads images with {workers * processes} processes"
            return Check("cores", "WARN", words, f"--set {key}.workers={usable // processes}")
    return Check("cores", "OK", words)


def memory(rehearsed: dict[str, Any], free: int | None) -> Check:
    """The memory that can be had, against what a rehearsal took, else against what a small run takes.

    free: bytes, None where the system does not tell.
    """
    ram = rehearsed.get("ram")
    if free is None:
        return Check("memory", "WARN", "this system does not tell how much is free", "kit rehearse")
    words = f"{free / GB:.1f} GB can be had"
    if isinstance(ram, (int, float)):
        words += f", the run takes {ram / GB:.1f} GB by its rehearsal"
        if free < ram:
            return Check("memory", "FAIL", words, "lower workers, batch_size or --jobs, then kit rehearse")
    elif free < LITTLE:
        return Check("memory", "WARN", f"{words}: little", "close other programs")
    return Check("memory", "OK", words)


def shared_memory(config: Config, place: Path = PLACE) -> Check:
    """Whether processes can hand images over."""
    name, needed = str(place), needed_shared_memory(config)
    if not place.is_dir():
        if not needed:
            return Check(name, "OK", "not there, and not needed")
        return Check(name, "WARN", "not there", "--set detector.training.workers=0")
    free = shutil.disk_usage(place).free
    words = f"{free / 1e6:,.0f} MB free, loading images takes up to {needed / 1e6:,.0f} MB"
    if free < needed:
        return Check(name, "FAIL", words, "docker run --shm-size=8g (or lower workers, batch_size)")
    return Check(name, "OK", words)
