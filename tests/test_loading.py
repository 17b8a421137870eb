"""Imports followed: modules that turn a clock by hand while they are loaded give the expected seconds."""

import importlib
import sys
import threading
import types

import pytest

from kit.rehearsal.loading import Loading
from kit.rehearsal.work_clock import WorkClock

MODULES = {
    "top_a": "import ticks, top_b\nticks.turn(2.0)\ndef later():\n    import top_late\n",
    "top_b/__init__": "import ticks\nticks.turn(3.0)\nfrom . import inner",
    "top_b/inner": "import ticks\nticks.turn(0.5)",
    "top_late": "import ticks\nticks.turn(7.0)",
    "top_by_name": "import importlib, ticks\nticks.turn(1.0)\nimportlib.import_module('top_b.inner')",
    "top_broken": "import ticks\nticks.turn(1.0)\nimport no_such_library",
}


@pytest.fixture
def loading(clock, tmp_path, monkeypatch):
    """Imports that are followed, of modules above, which no other test finds loaded."""
    for name, code in MODULES.items():
        path = tmp_path / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(code)
    ticks = types.ModuleType("ticks")
    ticks.turn = clock.turn
    monkeypatch.setitem(sys.modules, "ticks", ticks)
    monkeypatch.syspath_prepend(tmp_path)
    loading = Loading(WorkClock())
    real, finders = __import__, list(sys.meta_path)
    loading.start()
    yield loading
    loading.stop()
    assert (__import__, sys.meta_path) == (real, finders)
    for name in [name for name in sys.modules if name.startswith("top_")]:
        del sys.modules[name]


def stage(code):
    """Import as a function of kit does."""
    space = {"__name__": "kit.pipeline.stages.some"}
    exec(code, space)
    return space


def test_each_module_has_its_own_seconds_whether_it_is_loaded_here_or_was(loading):
    stage("import top_a")
    expected = {"top_a": 2.0, "top_b": 3.0, "top_b.inner": 0.5}
    assert loading.needed() == expected
    assert loading.needed() == {}
    stage("from top_b import inner")
    assert loading.needed() == {"top_b": 3.0, "top_b.inner": 0.5}
    stage("import top_a")
    assert loading.needed() == expected


def test_the_clock_of_the_work_stands_still_meanwhile(loading, clock):
    begun = loading._clock.now()
    stage("import top_a")
    clock.turn(1.5)
    assert loading._clock.now() - begun == 1.5


def test_what_a_library_imports_later_all_need_that_import_it(loading):
    stage("import top_a")["top_a"].later()
    assert loading.needed()["top_late"] == 7.0
    stage("import top_a")
    assert loading.needed()["top_late"] == 7.0
    stage("import top_b")
    assert "top_late" not in loading.needed()


def test_what_is_imported_by_name_counts(loading):
    stage("import top_by_name")
    assert loading.needed() == {"top_b": 3.0, "top_b.inner": 0.5, "top_by_name": 1.0}


def test_what_the_rehearsal_imports_for_itself_no_stage_needs(loading):
    exec("import top_late", {"__name__": "kit.rehearsal.made_classes"})
    assert loading.needed() == {}
    stage("import top_late")
    assert loading.needed() == {"top_late": 7.0}


def in_a_thread(code):
    """Import as a function of kit does that works beside the main thread."""
    thread = threading.Thread(target=stage, args=(code,))
    thread.start()
    thread.join()


def test_what_a_thread_beside_imports_counts_and_stops_the_clock_too(loading, clock):
    begun = loading._clock.now()
    in_a_thread("import top_a")
    assert loading.needed() == {"top_a": 2.0, "top_b": 3.0, "top_b.inner": 0.5}
    assert loading._clock.now() == begun


def test_a_module_that_cannot_be_loaded_fails_as_ever_and_can_be_tried_again(loading):
    for _ in range(2):
        with pytest.raises(ModuleNotFoundError, match="no_such_library"):
            stage("import top_broken")
    stage("import top_b")
    assert loading.needed().keys() == {"top_b", "top_b.inner", "top_broken"}


def test_a_module_keeps_its_real_loader(loading):
    module = importlib.import_module("top_b")
    assert type(module.__loader__).__name__ == type(module.__spec__.loader).__name__ == "SourceFileLoader"
