"""All checks, those of the network while the others are made."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from kit.config import Config
from kit.doctor.check import Check, State
from kit.doctor.hardware import hardware
from kit.doctor.software import software
from kit.doctor.surroundings import credentials, hosts, run_folder


def examine(config: Config, run: Path) -> list[Check]:
    """What is fit for a run of this config in this folder, and what is not."""
    with ThreadPoolExecutor(1) as pool:
        answers = pool.submit(lambda: list(hosts(config)))
        checks = [*software(config), *hardware(config, run), run_folder(run), credentials(config)]
        return [*checks, *answers.result()]


def worst(checks: list[Check]) -> State:
    """The worst state of all."""
    states: tuple[State, ...] = ("FAIL", "WARN", "OK")
    return next(state for state in states if any(check.state == state for check in checks) or state == "OK")
