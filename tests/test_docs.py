"""README and docs: their commands parse and run, their links lead somewhere, the errors they quote exist."""

import ast
import re
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer

from kit.cli.app import app
from kit.config import load_config
from tests.conftest import FEW, TINY

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = (README, *sorted((ROOT / "docs").glob("*.md")), ROOT / "CONTRIBUTING.md")
ELSEWHERE = "needs the real data", "needs the full size", "needs a network"  # marks of what no test runs
STAYS = ("browse",)  # until Ctrl-C: tests/test_browse.py
ONE = "detector.models={resnext: {architecture: resnext-mini}}"
SETTINGS = [word for one in (*TINY, *FEW, "data.test.detections=[]", ONE) for word in ("--set", one)]
PARSER = typer.main.get_command(app)


@dataclass(frozen=True)
class Command:
    """A line of a fenced block: the words after `kit`, and what stands behind #."""

    page: str
    words: tuple[str, ...]
    note: str


def fences(page):
    """Language and text of every fenced block of a page."""
    return re.findall(r"^```(\w*)\n(.*?)^```", page.read_text(), re.M | re.S)


def commands(page):
    lines = [
        line for kind, text in fences(page) if not kind for line in text.replace("\\\n", "").splitlines()
    ]
    found = [line.removeprefix("$ ") for line in lines]
    return [
        Command(page.name, tuple(shlex.split(line, comments=True)[1:]), line.partition(" #")[2].strip())
        for line in found
        if line.startswith("kit ")
    ]


def mentioned(page):
    """The commands within the text of a page."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
    return [span.split()[1:] for span in re.findall(r"`(kit\s[^`]+)`", text)]


def resolved(words):
    """The parser's command of some words, and its arguments."""
    command, left = PARSER, list(words)
    while left and left[0] in getattr(command, "commands", {}):
        command = command.commands[left.pop(0)]
    return command, left


ALL = [command for page in PAGES for command in commands(page)]
HERE = [c for c in ALL if not c.note.startswith(ELSEWHERE) and c.words[0] not in STAYS]


def test_readme_has_the_four_commands():
    words = [" ".join(c.words) for c in commands(README)]
    assert words[:4] == ["download", "train all", "evaluate --split val", "submit --dry-run"]


@pytest.mark.parametrize("command", ALL, ids=lambda c: f"{c.page}: {' '.join(c.words)}"[:80])
def test_a_command_parses(command):
    parser, arguments = resolved(command.words)
    assert not hasattr(parser, "commands")
    parser.make_context("kit", arguments)


@pytest.mark.parametrize("page", [*PAGES, ROOT / "docs/tour.ipynb"], ids=lambda page: page.name)
def test_commands_in_the_text_exist_with_their_options(page):
    for words in mentioned(page):
        parser, arguments = resolved(words)
        assert parser is not PARSER or words[0].startswith("-"), words
        options = {name for p in parser.params for name in p.opts} | {"--help"}
        given = {word.partition("=")[0] for word in arguments if word.startswith("-")}
        if not hasattr(parser, "commands"):
            assert given <= options, words


def test_the_table_names_every_command():
    named = " ".join(" ".join(words) for words in mentioned(ROOT / "docs/commands.md"))
    assert [name for name in PARSER.commands if not re.search(rf"\b{name}\b", named)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_make_has_the_targets(page):
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M)
    named = re.findall(r"(?:^|`)make ([\w-]+)", page.read_text(), re.M)
    assert set(named) <= set(targets)


@pytest.fixture
def place(trained, tiny_folder, tmp_path, monkeypatch):
    """A folder with the tiny challenge, a run whose detectors are trained, and what a reader would bring."""
    monkeypatch.chdir(tmp_path)
    Path("data").symlink_to(tiny_folder / "data")
    shutil.copytree(trained.path, "runs/mini")
    photos = sorted(Path("data/mini/challenge2018").glob("*.jpg"))[:3]
    shutil.copytree(photos[0].parent, "photos", ignore=lambda _, names: {*names} - {p.name for p in photos})
    for name in ("relations", "boxes"):
        Path("my").mkdir(exist_ok=True)
        source = f"data/mini/challenge-2019-validation-vrd{'-bbox' * (name == 'boxes')}.csv"
        shutil.copy(source, f"my/{name}.csv")
    for page in PAGES:
        for kind, text in fences(page):
            if kind == "yaml":
                Path(text.split()[1]).write_text(text)
    return tmp_path


@pytest.mark.filterwarnings("ignore")
def test_the_commands_run_one_after_another(place, kit):
    assert {c.page for c in HERE} > {"README.md", "report.md", "detections.md", "data.md"}
    for command in HERE:
        if "runs/other" in command.words and not Path("runs/other").exists():
            shutil.copytree("runs/mini", "runs/other")
        parser, arguments = resolved(command.words)
        names = "--config" in arguments or any(Path(word).exists() for word in arguments)
        takes_settings = any("--set" in p.opts for p in parser.params) and not names
        code, _, err = kit(*command.words, *(SETTINGS if takes_settings else ()))
        assert code == 0, f"{command}\n{err}"


def test_configurations_of_the_pages_are_configurations(tmp_path):
    blocks = [text for page in PAGES for kind, text in fences(page) if kind == "yaml"]
    assert blocks
    for text in blocks:
        (tmp_path / "one.yaml").write_text(text)
        load_config(str(tmp_path / "one.yaml"))
    named = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs/commands.md").read_text(), re.M)
    assert sorted(named) == sorted(path.stem for path in (ROOT / "configs").glob("*.yaml"))


def anchors(page):
    """What a link's # can name: the headings as GitHub writes them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
    headings = re.findall(r"^#+ (.*)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(page):
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
    found = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:src|srcset|href)="([^"]+)"', text)
    return [link for link in found if "://" not in link]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for link in links(page):
        name, _, anchor = link.partition("#")
        target = page if not name else page.parent / name
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_every_page_is_reached_from_the_readme():
    reached = {link.partition("#")[0] for link in links(README)}
    pages = {f"docs/{p.name}" for p in (ROOT / "docs").iterdir() if p.suffix in (".md", ".ipynb")}
    assert pages <= reached


def test_errors_that_are_explained_are_errors_of_kit():
    """The headings of errors are texts of the source, … where a value stands."""
    quoted = re.findall(r"^### `(.*)`$", (ROOT / "docs/troubleshooting.md").read_text(), re.M)
    assert quoted
    texts = [text for path in (ROOT / "kit").rglob("*.py") for text in strings(ast.parse(path.read_text()))]
    assert [error for error in quoted if not any(error in text for text in texts)] == []


def strings(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(v.value if isinstance(v, ast.Constant) else "…" for v in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
