"""The local page: what fits a choice, who is answered, and how it works in a real browser."""

import http.client
import shutil
import signal
import subprocess
import sys
import threading
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from kit.base.errors import KitError
from kit.pipeline.pipeline import Pipeline
from kit.pipeline.run import Run
from kit.report.browse.choice import Choice
from kit.report.browse.gallery import Gallery
from kit.report.browse.server import Server
from kit.report.error_examples import KINDS
from kit.report.split_images import SplitImages
from kit.vocabulary import PREDICATES, vocabulary
from tests.browser import chromium

NAMES = vocabulary().names


@pytest.fixture
def gallery(predicted, tiny, tmp_path):
    shutil.copytree(predicted.path, tmp_path / "run")
    run = Run(predicted.config, tmp_path / "run")
    return Gallery(SplitImages(Pipeline(run), "test", "prior", 5))


@pytest.fixture
def server(gallery):
    with Server(gallery) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def asked(server, path, host=None):
    """Status, headers and content of an address, written as it is."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
    connection.putrequest("GET", path, skip_host=True)
    if host != "":
        connection.putheader("Host", host or f"127.0.0.1:{server.server_port}")
    connection.endheaders()
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, answer.headers, content


@given(
    st.builds(
        Choice,
        side=st.sampled_from(["predictions", "truth"]),
        predicate=st.sampled_from(["", *PREDICATES]),
        label=st.sampled_from(["", *NAMES]),
        kind=st.sampled_from(["", *KINDS]),
        score=st.floats(0, 1),
        at=st.integers(0, 10**6),
    )
)
def test_an_address_says_its_choice(choice):
    assert Choice.of(choice.query()) == choice


@given(st.text(max_size=80))
def test_any_address_is_some_choice(query):
    choice = Choice.of(query)
    assert 0 <= choice.score <= 1
    assert choice.at >= 0


@pytest.mark.parametrize("value", ["nan", "inf", "-3", "1e300", "", "x"])
def test_numbers_that_are_none(value):
    choice = Choice.of(f"score={value}&at={value}&predicate={value}&kind={value}")
    assert 0 <= choice.score <= 1
    assert (choice.at, choice.predicate, choice.kind) == (0, "", "")


@pytest.mark.parametrize("side", ["predictions", "truth"])
def test_what_fits_is_that_of_a_plain_loop(gallery, side):
    rows = gallery.sides[side]
    table = rows.table
    for choice in (
        Choice(side, score=0.0),
        Choice(side, predicate="at", score=0.1),
        Choice(side, label="Man", score=0.0),
        Choice(side, predicate="is", kind="right", score=0.2),
    ):
        images = set()
        fitting = 0
        for i in range(len(table)):
            fits = not choice.predicate or PREDICATES[table.predicate[i]] == choice.predicate
            fits &= not choice.label or choice.label in (NAMES[table.subject[i]], NAMES[table.object[i]])
            fits &= not choice.kind or rows.kind_of(i) == choice.kind
            fits &= side == "truth" or table.score[i] >= choice.score
            fitting += fits
            if fits:
                images.add(table.images[table.image[i]])
        found = gallery.find(choice)
        assert (set(found.images), found.fitting) == (images, fitting)
        assert len(found.rows) <= 5
        if side == "predictions" and len(found.images):
            assert np.all(np.diff(table.score[found.rows]) <= 0)


def test_nothing_fits(gallery, server):
    choice = Choice(predicate="under", label="Guitar", score=1.0)
    assert gallery.find(choice).images == ()
    status, _, content = asked(server, f"/?{choice.query()}")
    assert (status, b"No image has such a relation" in content) == (200, True)
    assert asked(server, f"/predictions.jpg?{choice.query()}")[0] == 404


def test_a_page_and_its_images(server):
    status, headers, content = asked(server, "/")
    assert (status, b"image 1 of" in content) == (200, True)
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    for side in ("predictions", "truth"):
        status, headers, content = asked(server, f"/{side}.jpg?at=1")
        assert (status, headers["Content-Type"]) == (200, "image/jpeg")
        assert max(Image.open(BytesIO(content)).size) >= 96


def test_only_this_machines_names_are_answered(server):
    port = server.server_port
    assert asked(server, "/", f"localhost:{port}")[0] == 200
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1", f"127.0.0.1:{port + 1}", ""):
        status, _, content = asked(server, "/", host)
        assert (status, b"html" in content) == (403, False)
    assert server.server_address[0] == "127.0.0.1"


@pytest.mark.parametrize(
    "path",
    ["/../config.yaml", "/..%2f..%2fetc/passwd", "//etc/passwd", "/config.yaml", "/predictions.jpg/..", "/x"],
)
def test_no_file_of_the_machine_is_served(server, path):
    assert asked(server, path)[0] == 404


def test_a_damaged_image_is_said(server, gallery, tiny):
    first = gallery.find(Choice()).image
    path = gallery.photos.path(first)
    whole = path.read_bytes()
    try:
        path.write_bytes(b"no image")
        status, _, content = asked(server, "/truth.jpg")
    finally:
        path.write_bytes(whole)
    assert (status, b"<" in content) == (500, False)


def test_a_port_that_is_taken(server, gallery):
    with pytest.raises(KitError, match="cannot be served"):
        Server(gallery, server.server_port)


def test_the_command_ends_in_one_line(predicted, tiny, tmp_path):
    shutil.copytree(predicted.path, tmp_path / "run")
    words = [sys.executable, "-m", "kit", "browse", tmp_path / "run", "--split", "test"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            first = process.stdout.readline()
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert first.startswith("http://127.0.0.1:")
    assert (process.returncode, err.count("\n")) == (130, 1)


def test_a_folder_that_is_no_run(kit, tmp_path):
    code, _, err = kit("browse", tmp_path)
    assert (code, err.count("\n"), "no run folder" in err) == (2, 1, True)


@pytest.fixture
def browser():
    with chromium() as found:
        yield found


@pytest.mark.parametrize(("width", "scheme"), [(360, "dark"), (1440, "light")])
def test_in_a_browser(browser, server, gallery, width, scheme):
    from axe_playwright_python.sync_playwright import Axe

    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    said = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(server.url)
    sizes = page.eval_on_selector_all("img", "images => images.map(i => i.naturalWidth)")
    assert len(sizes) == 2
    assert min(sizes) > 0
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert Axe().run(page).response["violations"] == []
    images = gallery.find(Choice()).images
    for key, at in (("j", 1), ("ArrowRight", 2), ("k", 1), ("ArrowLeft", 0)):
        with page.expect_navigation():
            page.keyboard.press(key)
        assert page.inner_text("#image") == images[at]
    page.keyboard.press("k")  # there is none before the first
    assert page.inner_text("#image") == images[0]
    with page.expect_navigation():
        page.select_option("select[name=predicate]", "holds")
    with page.expect_navigation():
        page.select_option("select[name=kind]", "right")
    chosen = Choice(predicate="holds", kind="right")
    assert f"of {len(gallery.find(chosen).images)}," in page.inner_text("#place")
    assert set(page.locator("tbody td:last-child").all_inner_texts()) == {"right"}
    assert said == []
