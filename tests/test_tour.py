"""docs/tour.ipynb, executed on a tiny run."""

import base64
import io
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from PIL import Image

from kit.metric.relations import evaluate
from kit.session import open_run
from kit.tables.official import read_image_labels, read_relations
from tests.conftest import FAST

TOUR = Path(__file__).parents[1] / "docs/tour.ipynb"


@pytest.fixture
def tour():
    return nbformat.read(TOUR, as_version=4)


def parameters(notebook):
    (cell,) = [c for c in notebook.cells if "parameters" in c.metadata.get("tags", [])]
    return cell


def shown(notebook, kind):
    """What the cells show, of a media type, by the cell's last line."""
    return {
        cell.source.splitlines()[-1]: output.data[kind]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if kind in output.get("data", {})
    }


def test_it_is_stored_without_results(tour):
    cells = [cell for cell in tour.cells if cell.cell_type == "code"]
    assert cells
    assert all(not cell.outputs and cell.execution_count is None for cell in cells)


def test_it_shows_a_run(tour, finished):
    values = {"root": str(Path.cwd()), "config": "mini", "settings": list(FAST), "folder": str(finished)}
    given = {}
    exec(parameters(tour).source, given)
    assert given.keys() - {"__builtins__"} == values.keys() | {"split"}
    parameters(tour).source += "".join(f"\n{name} = {value!r}" for name, value in values.items())
    NotebookClient(tour, timeout=300, resources={"metadata": {"path": str(finished)}}).execute()

    texts = shown(tour, "text/plain")
    run = open_run("mini", FAST, finished)
    files = run.config.data.test
    truth, labels = read_relations(files.relations), read_image_labels(files.labels)
    expected = evaluate(truth, run.read("predict-test"), labels)
    assert float(texts["scores.final_score"]) == pytest.approx(expected.final_score)
    tables = shown(tour, "text/html")
    stages = next(html for source, html in tables.items() if source.startswith("run.stages()"))
    assert all(f"<td>{name}</td>" in stages for name in ("prior", "spatial", "stack"))
    assert len(tables) >= 6

    images = [Image.open(io.BytesIO(base64.b64decode(png))) for png in shown(tour, "image/png").values()]
    assert len(images) == 4  # the plot, two images of the split, a drawing by hand
    assert all(len(np.unique(np.asarray(image.convert("L")))) > 10 for image in images)
