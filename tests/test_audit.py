"""The audit of what stands below kit: the lock, licences, vulnerabilities; nothing here asks a network."""

import json
import os
import subprocess
import sys
from email.message import Message
from importlib import metadata
from pathlib import Path

import pytest

from audit.__main__ import main, read_policy
from audit.licences import Licence, Policy, licence_list, named_licences
from audit.lock import LockedPackage, read_lock
from audit.osv_server import is_affected, osv_server, read_advisories
from kit.base.errors import FileFault

ROOT = Path(__file__).parent.parent
POLICY = ["affero|agpl", "(?<![a-z])gpl"]
HASH = f"--hash=sha256:{'0' * 64}"


def advisory(name, events, id="PYSEC-0", **more):
    ranges = [{"type": "ECOSYSTEM", "events": events}]
    return {
        "id": id,
        "affected": [{"package": {"name": name, "ecosystem": "PyPI"}, "ranges": ranges, **more}],
    }


def lock_of(folder, *pins):
    path = folder / "requirements.lock"
    path.write_text("".join(f"{pin} \\\n    {HASH}\n" for pin in pins))
    return path


def test_the_projects_lock_has_hashes_and_no_address():
    packages = read_lock(ROOT / "requirements.lock")
    assert {"numpy", "torch", "xgboost", "uv", "hatchling", "pip-audit"} <= {p.name for p in packages}
    assert all(p.hashes for p in packages)
    assert len({(p.name, p.marker) for p in packages}) == len(packages)
    text = (ROOT / "requirements.lock").read_text()
    assert not any(word in text for word in ("://", "--index-url", "--find-links", " @ ", "--trusted-host"))


def test_setup_and_lock_take_wheels_by_hash():
    recipes = subprocess.run(
        ["make", "-n", "-B", "setup", "lock"], cwd=ROOT, capture_output=True, text=True
    ).stdout
    installs = [line for line in recipes.splitlines() if "pip install" in line]
    assert len(installs) == 3
    for line in installs[:2]:
        assert "--require-hashes --only-binary :all:" in line
    assert "--no-deps --no-build-isolation -e ." in installs[2]  # fetches nothing
    (lock,) = [line for line in recipes.splitlines() if "pip compile" in line]
    assert {"--generate-hashes", "--only-binary", "--no-emit-index-url"} <= set(lock.split())


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("numpy==2.0\n", "numpy has no SHA-256"),
        ("numpy==2.0 \\\n    --hash=md5:00\n", "numpy has no SHA-256"),
        (f"numpy>=2.0 \\\n    {HASH}\n", "'numpy>=2.0' is not NAME==VERSION"),
        ("--index-url https://example.org\n", "is not NAME==VERSION"),
        ("# nothing\n", "locks no package"),
    ],
)
def test_a_lock_that_says_less_is_refused(tmp_path, text, what):
    path = tmp_path / "requirements.lock"
    path.write_text(text)
    with pytest.raises(FileFault, match=what):
        read_lock(path)


def test_a_lock_is_read_with_its_markers(tmp_path):
    path = tmp_path / "requirements.lock"
    path.write_text(
        f"# of kit\nav==1.0 ; python_version < '3.12' \\\n    {HASH} \\\n    {HASH}\n"
        f"b-c==2.0.post1 \\\n    {HASH}\n"
    )
    assert read_lock(path) == [
        LockedPackage("av", "1.0", "python_version < '3.12'", (HASH, HASH)),
        LockedPackage("b-c", "2.0.post1", "", (HASH,)),
    ]


def fields(**values):
    message = Message()
    for name, value in values.items():
        for text in [value] if isinstance(value, str) else value:
            message[name.replace("_", "-")] = text
    return message


@pytest.mark.parametrize(
    ("given", "text", "alternatives"),
    [
        (fields(License_Expression="MIT"), "MIT", ("MIT",)),
        (fields(License_Expression="GPL-3.0-only OR MIT"), "GPL-3.0-only OR MIT", ("GPL-3.0-only", "MIT")),
        (fields(License_Expression="(MIT OR X) AND Y"), "(MIT OR X) AND Y", ("(MIT OR X) AND Y",)),
        (fields(License="Apache 2.0"), "Apache 2.0", ("Apache 2.0",)),
        (
            fields(License="Artistic", Classifier=["License :: OSI Approved :: GPL", "Topic :: X"]),
            "Artistic; GPL",
            ("Artistic; GPL",),
        ),
        (
            fields(License="BSD\n" + "word " * 50, Classifier="License :: OSI Approved :: BSD License"),
            "BSD License",
            ("BSD License",),
        ),
        (fields(License="======\n  The Kiwi terms\n" + "word " * 50), "The Kiwi terms", ("The Kiwi terms",)),
        (fields(License="UNKNOWN"), "unknown", ()),
        (fields(), "unknown", ()),
    ],
)
def test_the_licences_that_metadata_names(given, text, alternatives):
    assert named_licences(given) == (text, alternatives)


@pytest.mark.parametrize(
    ("alternatives", "refused"),
    [
        (("MIT",), False),
        (("AGPL-3.0-only",), True),
        (("GNU Affero General Public License v3",), True),
        (("MIT AND GPL-2.0-only",), True),
        (("GPL-2.0-only", "MIT"), False),  # a choice
        (("LGPL-2.1-only",), False),
        ((), False),  # unknown: told, not refused
    ],
)
def test_a_policy_refuses(alternatives, refused):
    licence = Licence("package", "1.0", "", alternatives)
    assert Policy(POLICY, {}).refuses(licence) is refused
    assert not Policy(POLICY, {"package": "for a reason"}).refuses(licence)
    assert not Policy([], {}).refuses(licence)


def test_the_projects_policy_knows_the_families():
    policy = read_policy(ROOT / "pyproject.toml")
    for name in (
        "GNU General Public License v3 (GPLv3)",
        "GPL-3.0-or-later",
        "AGPL-3.0",
        "SSPL-1.0",
        "BUSL-1.1",
    ):
        assert policy.refuses(Licence("a", "1", name, (name,))), name
    for name in ("GNU Lesser General Public License v2 (LGPLv2)", "LGPL-3.0-only", "Apache-2.0", "MPL-2.0"):
        assert not policy.refuses(Licence("a", "1", name, (name,))), name
    kept = [licence for licence in licence_list(read_lock(ROOT / "requirements.lock")) if licence.installed]
    assert len(kept) > 100
    assert not [licence.name for licence in kept if policy.refuses(licence)]
    without = Policy(policy.refused, {})
    assert {licence.name for licence in kept if without.refuses(licence)} == set(policy.accepted)


def test_a_package_of_another_version_is_not_the_locked_one():
    version = metadata.version("numpy")
    here, other, none = licence_list(
        [
            LockedPackage("numpy", version, "", ()),
            LockedPackage("numpy", "0.1", "", ()),
            LockedPackage("no-such", "1", "", ()),
        ]
    )
    assert "BSD" in here.text
    assert [x.installed for x in (here, other, none)] == [True, False, False]
    assert not any(x.unknown for x in (here, other, none))


@pytest.mark.parametrize(
    ("version", "events", "affected"),
    [
        ("1.0", [{"introduced": "0"}], True),
        ("1.0", [{"introduced": "0"}, {"fixed": "1.0"}], False),
        ("1.0rc1", [{"introduced": "0"}, {"fixed": "1.0"}], True),
        ("1.10", [{"introduced": "1.9"}, {"last_affected": "1.10"}], True),
        ("1.11", [{"introduced": "1.9"}, {"last_affected": "1.10"}], False),
        ("2.5", [{"fixed": "3"}, {"introduced": "2"}, {"fixed": "1"}, {"introduced": "0"}], True),
        ("1.5", [{"fixed": "3"}, {"introduced": "2"}, {"fixed": "1"}, {"introduced": "0"}], False),
        ("1.5", [{"introduced": "strange"}], True),  # unreadable: rather told than hidden
    ],
)
def test_versions_in_an_advisorys_range(version, events, affected):
    assert is_affected(advisory("a-b", events), "a-b", version) is affected
    assert not is_affected(advisory("other", events), "a-b", version)


def test_advisories_of_a_file_a_folder_and_wrong_ones(tmp_path):
    one, two = advisory("a", [{"introduced": "0"}]), advisory("b", [], versions=["1.0"])
    (tmp_path / "all.json").write_text(json.dumps([one, two]))
    assert list(read_advisories(tmp_path / "all.json")) == [one, two] == list(read_advisories(tmp_path))
    assert is_affected(two, "b", "1.0")
    assert not is_affected(two, "b", "1.1")
    with pytest.raises(FileFault, match="no such file"):
        list(read_advisories(tmp_path / "none"))
    (tmp_path / "bad.json").write_text("[{}]")
    with pytest.raises(FileFault, match=r"bad.json: not OSV JSON \(an advisory without id\)"):
        list(read_advisories(tmp_path / "bad.json"))
    (tmp_path / "npm.json").write_text(
        '{"id": "1", "affected": [{"package": {"name": "a", "ecosystem": "npm"}}]}'
    )
    with pytest.raises(FileFault, match="no advisory of a PyPI package"), osv_server(tmp_path / "npm.json"):
        pass


def test_the_audit_by_local_advisories(tmp_path, capsys):
    numpy = metadata.version("numpy")
    lock = lock_of(tmp_path, f"numpy=={numpy}", "numpy==0.1 ; python_version < '3'", "xgboost==1.0")
    known = tmp_path / "known.json"
    known.write_text(
        json.dumps(
            [
                advisory("XGBoost", [{"introduced": "0"}, {"fixed": "2"}], "PYSEC-7"),
                advisory("numpy", [{"introduced": "0"}, {"fixed": "0.2"}], "PYSEC-8"),
            ]
        )
    )
    words = ["--lock", str(lock), "--policy", str(ROOT / "pyproject.toml"), "--advisories", str(known)]
    assert main([*words, "--json", str(tmp_path / "out.json")]) == 1
    told = capsys.readouterr().out
    assert "vulnerable: xgboost 1.0: PYSEC-7 (fixed in 2)" in told
    assert "vulnerable: numpy 0.1: PYSEC-8 (fixed in 0.2)" in told
    assert "2 vulnerabilities known of 3 packages" in told
    written = json.loads((tmp_path / "out.json").read_text())
    assert [v["id"] for v in written["vulnerabilities"]["vulnerabilities"]] == ["PYSEC-7", "PYSEC-8"]
    assert [licence["installed"] for licence in written["licences"]] == [True, False, False]


def test_no_answer_is_no_pass(tmp_path):
    """Behind a dead proxy no service answers: one line, exit code 2; the licences are listed all the same."""
    lock = lock_of(tmp_path, f"numpy=={metadata.version('numpy')}")
    dead = {"HTTPS_PROXY": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9", "NO_PROXY": ""}
    words = [sys.executable, "-m", "audit", "--service", "osv", "--lock", str(lock)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, env={**os.environ, **dead})
    assert done.returncode == 2
    assert "numpy" in done.stdout
    (line,) = done.stderr.splitlines()
    assert line.startswith("no vulnerability was looked up: the service gave no answer")


def test_a_refused_licence_fails(tmp_path, capsys):
    lock = lock_of(tmp_path, f"numpy=={metadata.version('numpy')}")
    policy = tmp_path / "policy.toml"
    policy.write_text("[tool.audit]\nrefused = ['bsd']\naccepted = {}\n")
    known = tmp_path / "known.json"
    known.write_text(json.dumps(advisory("xgboost", [{"introduced": "0"}])))
    words = ["--lock", str(lock), "--policy", str(policy), "--advisories", str(known)]
    assert main(words) == 1
    assert f"refused licence: numpy {metadata.version('numpy')}" in capsys.readouterr().out
    policy.write_text("[tool.audit]\nrefused = ['bsd']\naccepted = {numpy = 'it is numpy'}\n")
    assert main(words) == 0
    assert "accepted by policy: numpy: it is numpy" in capsys.readouterr().out
