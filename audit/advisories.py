"""Known vulnerabilities of the locked packages, by pip-audit: of a service, or of local OSV advisories."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from audit.lock import LockedPackage
from audit.osv_server import osv_server
from kit.base.errors import KitError

SERVICES = ("pypi", "osv", "esms")
PATIENCE = 900  # seconds for one run of pip-audit


@dataclass
class Findings:
    """What the audit knows: packages looked up, packages that the service does not know, and vulnerabilities."""

    audited: int = 0
    skipped: list[str] = field(default_factory=list)  # name, version and the service's reason
    vulnerabilities: list[dict[str, object]] = field(default_factory=list)


class NotAudited(KitError):
    """No advisory could be asked for: nothing is known of the packages, neither good nor bad."""


def find_vulnerabilities(
    packages: Sequence[LockedPackage], service: str, advisories: Path | None
) -> Findings:
    """Every pin of the lock, whatever its platform, against `service`, or a file or folder of OSV `advisories`."""
    findings = Findings()
    with osv_server(advisories) if advisories else nullcontext("") as url:
        choice = ["-s", "osv", "--osv-url", url] if url else ["-s", service]
        for pins in _one_version_each(packages):
            _add(findings, _pip_audit(pins, choice))
    if not findings.audited:
        why = findings.skipped[0] if findings.skipped else "no answer"
        raise NotAudited(
            f"no vulnerability was looked up: {service} knows none of {len(packages)} packages ({why})",
            "ask another --service, or give a file of advisories: --advisories PATH",
        )
    return findings


def _one_version_each(packages: Iterable[LockedPackage]) -> list[list[LockedPackage]]:
    """The pins in groups in which every name stands once, as pip-audit wants them."""
    groups: list[dict[str, LockedPackage]] = []
    for package in packages:
        group = next((g for g in groups if package.name not in g), None)
        if group is None:
            groups.append(group := {})
        group[package.name] = package
    return [list(group.values()) for group in groups]


def _pip_audit(pins: Sequence[LockedPackage], choice: Sequence[str]) -> list[dict[str, object]]:
    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder) / "pins.txt"
        listed.write_text("".join(f"{p.name}=={p.version}\n" for p in pins), encoding="utf-8")
        words = [sys.executable, "-m", "pip_audit", "-r", str(listed), "--no-deps", "--disable-pip"]
        words += ["--format", "json", "--progress-spinner", "off", *choice]
        try:
            done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, check=False)
        except subprocess.TimeoutExpired as late:
            raise NotAudited(f"no vulnerability was looked up: pip-audit took over {PATIENCE} s") from late
    try:
        return list(json.loads(done.stdout)["dependencies"])
    except (ValueError, KeyError) as error:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise NotAudited(
            f"no vulnerability was looked up: the service gave no answer ({last})",
            "ask where there is a network, or give a file of advisories: --advisories PATH",
        ) from error


def _add(findings: Findings, dependencies: Iterable[dict[str, object]]) -> None:
    for dependency in dependencies:
        if "skip_reason" in dependency:
            findings.skipped.append(str(dependency["skip_reason"]))
            continue
        findings.audited += 1
        vulnerabilities = dependency["vulns"]
        assert isinstance(vulnerabilities, list)
        for vulnerability in vulnerabilities:
            findings.vulnerabilities.append(
                {
                    "name": dependency["name"],
                    "version": dependency["version"],
                    "id": vulnerability["id"],
                    "aliases": vulnerability["aliases"],
                    "fixed_in": vulnerability["fix_versions"],
                }
            )
