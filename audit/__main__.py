"""Audit the locked packages: `python -m audit`. Exit code 1: vulnerable or refused; 2: could not be looked up."""

from __future__ import annotations

import argparse
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from audit.advisories import SERVICES, Findings, find_vulnerabilities
from audit.licences import Licence, Policy, licence_list
from audit.lock import read_lock
from kit.base.errors import KitError
from kit.base.files import write_json
from kit.base.text_table import table


def main(arguments: Sequence[str] | None = None) -> int:
    """The licence list, the vulnerabilities, then a line a fault."""
    given = _parser().parse_args(arguments)
    try:
        packages = read_lock(given.lock)
        licences, policy = licence_list(packages), read_policy(given.policy)
    except KitError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(_licence_table(licences))
    refused = [licence for licence in licences if policy.refuses(licence)]
    findings: Findings | None = None
    why = ""
    try:
        findings = find_vulnerabilities(packages, given.service, given.advisories)
    except KitError as error:
        why = str(error)
    if given.json:
        write_json(given.json, _as_json(licences, refused, findings, why))
    sys.stdout.write(_told(licences, refused, policy, findings))
    if why:
        sys.stderr.write(f"{why}\n")
    if refused or (findings and findings.vulnerabilities):
        return 1
    return 2 if findings is None or findings.skipped else 0


def read_policy(path: Path) -> Policy:
    """The table [tool.audit] of pyproject.toml: refused (patterns), accepted (package = reason)."""
    policy = tomllib.loads(path.read_text(encoding="utf-8"))["tool"]["audit"]
    return Policy(policy["refused"], policy["accepted"])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m audit", description=__doc__)
    parser.add_argument("--lock", type=Path, default=Path("requirements.lock"))
    parser.add_argument("--policy", type=Path, default=Path("pyproject.toml"), help="TOML with [tool.audit]")
    parser.add_argument("--service", choices=SERVICES, default="pypi", help="whom pip-audit asks")
    parser.add_argument(
        "--advisories", type=Path, metavar="PATH", help="OSV advisories: a file, folder or zip"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything to a JSON file")
    return parser


def _licence_table(licences: Sequence[Licence]) -> str:
    rows = [(licence.name, licence.version, licence.text) for licence in licences]
    return table("Licences of the locked packages", ("package", "version", "licence"), rows) + "\n"


def _told(
    licences: Sequence[Licence], refused: Sequence[Licence], policy: Policy, findings: Findings | None
) -> str:
    unknown = [licence.name for licence in licences if licence.unknown]
    absent = [licence.name for licence in licences if not licence.installed]
    lines = [f"refused licence: {licence.name} {licence.version}: {licence.text}" for licence in refused]
    lines += [f"accepted by policy: {name}: {reason}" for name, reason in policy.accepted.items()]
    if unknown:
        lines.append(f"no licence named by {len(unknown)}: {', '.join(unknown)}")
    if absent:
        lines.append(f"not installed here, so not looked at: {len(absent)}: {', '.join(absent)}")
    if findings:
        lines += [_vulnerability_line(vulnerability) for vulnerability in findings.vulnerabilities]
        lines.append(f"{len(findings.vulnerabilities)} vulnerabilities known of {findings.audited} packages")
        if findings.skipped:
            lines.append(f"not looked up: {len(findings.skipped)}; the first: {findings.skipped[0]}")
    return "".join(f"{line}\n" for line in lines)


def _vulnerability_line(vulnerability: dict[str, object]) -> str:
    fixed = vulnerability["fixed_in"]
    versions = ", ".join(map(str, fixed)) if isinstance(fixed, list) and fixed else "no version"
    name = f"{vulnerability['name']} {vulnerability['version']}"
    return f"vulnerable: {name}: {vulnerability['id']} (fixed in {versions})"


def _as_json(
    licences: Sequence[Licence], refused: Sequence[Licence], findings: Findings | None, why: str
) -> dict[str, object]:
    return {
        "licences": [asdict(licence) for licence in licences],
        "refused": [licence.name for licence in refused],
        "vulnerabilities": asdict(findings) if findings else None,
        "not_audited": why or None,
    }


if __name__ == "__main__":
    sys.exit(main())
