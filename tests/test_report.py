"""`kit report`: the page of a run in a real browser, and what it says where stages are missing."""

import json
import re
import shutil
from contextlib import chdir

import pytest

from kit.base.errors import KitError
from kit.config import load_config
from kit.metric import scene_graph
from kit.pipeline.pipeline import Pipeline
from kit.pipeline.run import Run
from kit.pipeline.splits import split_tables
from kit.pipeline.stages.evaluate_relations import read_evaluation
from kit.report.blocks import Gallery, Table
from kit.report.run_report import SECTIONS, write_report
from kit.session import Session
from tests.browser import chromium, opened, violations
from tests.conftest import FAST

PARTLY = {"importance", "training", "sampling", "costs", "configuration"}
WITHOUT_DETECTORS = {"class-map", "choices", "fusion", "disagreements"}


@pytest.fixture(scope="module")
def finished(tiny_folder, tmp_path_factory):
    """A run on given detections whose test split is scored."""
    path = tmp_path_factory.mktemp("reported") / "<run>"
    with chdir(tiny_folder):
        pipeline = Pipeline(Run(load_config("mini", FAST), path))
        pipeline.make([*pipeline.training, "evaluate-test"])
    return pipeline


@pytest.fixture(scope="module")
def sections(finished, tiny_folder, page):
    with chdir(tiny_folder):
        return write_report(finished, page)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    return tmp_path_factory.mktemp("page") / "report.html"


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture
def report(browser, sections, page):
    with opened(browser, page) as shown:
        yield shown


def test_every_section_is_there_or_says_why(sections, page):
    assert [section.name for section in sections] == [name for name, *_ in SECTIONS]
    assert {section.name for section in sections if section.missing} == WITHOUT_DETECTORS
    assert all(section.blocks or section.missing for section in sections)
    text = page.read_text()
    assert len(text) < 15_000_000
    assert "&lt;run&gt;" in text
    assert "<run>" not in text
    ids = re.findall(r'\sid="([^"]+)"', text)
    assert len(ids) == len(set(ids))


def test_the_numbers_are_those_of_the_evaluation(finished, sections, tiny):
    found = read_evaluation(finished.folder("evaluate-test"))
    score, predicates = ([b for b in s.blocks if isinstance(b, Table)] for s in sections[:2])
    final = score[0].rows[-1]
    assert (final[2].value, final[3]) == (
        found["scores"]["final_score"],
        found["ground_truth_boxes"]["final_score"],
    )
    assert {row[0]: row[2].value for row in predicates[0].rows} == found["scores"]["relationships"]["AP"]
    recall = {row[0]: row[2:] for row in predicates[1].rows}
    truth = split_tables(finished.run.config, "test").relations
    table = Session(finished.run.config, finished.run.path).read("predict-test")
    papers = scene_graph.evaluate(truth, table, attributes=True).as_dict()
    assert recall["Mean of the predicates"] == tuple(papers[f"mR@{k}"] for k in (20, 50, 100))
    assert recall["All relations"] == tuple(papers[f"R@{k}"] for k in (20, 50, 100))


def test_true_relations_are_all_of_one_kind(finished, sections):
    (errors,) = [section for section in sections if section.name == "errors"]
    tables = [block for block in errors.blocks if isinstance(block, Table)]
    found = read_evaluation(finished.folder("evaluate-test"))
    assert sum(row[2] for row in tables[0].rows) == found["scores"]["counts"]["gt_tuples"]
    assert sum(row[2] for row in tables[1].rows) == found["scores"]["counts"]["pred_kept"]
    assert {block.caption for block in errors.blocks if isinstance(block, Gallery)} > {
        "Missed: box missed",
        "Right",
    }


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1440])
def test_readable_on_any_screen(browser, sections, page, width, scheme):
    with opened(browser, page, width, scheme) as shown:
        if (width, scheme) in ((360, "dark"), (1440, "light")):  # each once: axe takes seconds
            assert violations(shown) == []
        assert shown.evaluate("document.documentElement.scrollWidth") <= width
        ground = shown.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (ground == "rgb(255, 255, 255)") == (scheme == "light")


def test_images_are_shown(report):
    sizes = report.evaluate(
        "[...document.images].map((image) => [image.complete, image.naturalWidth, image.alt])"
    )
    assert sizes
    assert all(complete and width > 100 and alt for complete, width, alt in sizes)


def test_tables_sort_by_mouse_and_by_keys(report):
    table = report.locator("#predicates table").first
    shown = lambda column: table.locator(f"tbody tr > :nth-child({column})").all_inner_texts()  # noqa: E731
    number = table.get_by_role("button", name="True relations")
    before = [int(text) for text in shown(2)]
    number.click()
    assert [int(text) for text in shown(2)] == sorted(before, reverse=True)
    assert table.locator("[aria-sort]").get_attribute("aria-sort") == "descending"
    number.focus()
    report.keyboard.press("Enter")
    assert [int(text) for text in shown(2)] == sorted(before)
    name = table.get_by_role("button", name="Predicate")
    name.focus()
    report.keyboard.press("Space")
    assert shown(1) == sorted(shown(1))
    assert table.locator("[aria-sort]").all_inner_texts() == ["Predicate"]


def test_empty_cells_stay_at_the_end(report):
    table = report.locator("#errors table").first
    button = table.get_by_role("button", name="Score gained if found")
    for _ in range(2):
        button.click()
        assert table.locator("tbody tr").last.locator("th").inner_text() == "right"


def test_keys_lead_through_the_page(report):
    report.keyboard.press("Tab")
    assert report.evaluate("document.activeElement.textContent") == "To the report"
    report.keyboard.press("Tab")
    report.keyboard.press("Enter")
    assert report.url.endswith("#score")


def test_what_is_folded_away_is_printed(report):
    report.emulate_media(media="print")
    report.set_viewport_size({"width": 720, "height": 1000})  # of A4 within its margins
    assert not report.locator("nav").is_visible()
    report.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert report.locator("details pre").is_visible()
    assert report.evaluate("document.documentElement.scrollWidth") <= 720
    report.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert not report.locator("details pre").is_visible()


def test_a_section_without_its_stage_says_what_makes_it(finished, tiny, tmp_path, kit):
    run = tmp_path / "run"
    run.mkdir()
    for name in ("config.yaml", "prior", "spatial"):
        source = finished.run.path / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, run / name)
    code, out, err = kit("report", run)
    assert code == 0, err
    assert "run `kit evaluate --split test` first" in out
    assert f"{len(PARTLY)} of {len(SECTIONS)} sections" in out
    code, out, err = kit("report", run, "--json", "--out", tmp_path / "page.html", "--split", "test")
    assert code == 0, err
    told = json.loads(out)
    assert told["bytes"] == (tmp_path / "page.html").stat().st_size
    assert "run `kit evaluate --split test` first" in told["missing"]["score"]
    assert {name for name, *_ in SECTIONS} - set(told["missing"]) == PARTLY


def test_without_a_finished_stage_it_is_one_line(tiny, tmp_path, kit):
    run = Run(load_config("mini", FAST), tmp_path / "run")
    run.path.mkdir()
    run.write_config()
    code, _, err = kit("report", run.path)
    assert code == 2
    assert err.count("\n") == 1
    assert "no finished stage" in err
    code, _, err = kit("report", tmp_path / "nowhere")
    assert code == 2
    assert "config.yaml" in err
    with pytest.raises(KitError, match="no finished stage"):
        write_report(Pipeline(run), tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize("split", ["train", "stack"])
def test_a_split_that_the_models_have_learnt_from_is_not_reported(kit, tmp_path, split):
    code, _, err = kit("report", "--split", split, "--out", tmp_path / "page.html")
    assert (code, "give val or test" in err) == (2, True)
    assert not (tmp_path / "page.html").exists()
