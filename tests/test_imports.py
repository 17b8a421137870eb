import gc
import importlib
import sys

import pytest

from kit.base.imports import absent, import_later, uncollected


def test_a_module_is_executed_when_it_is_first_used(tmp_path, monkeypatch):
    """Importing it as others do is not yet using it."""
    package = tmp_path / "drawing_library"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "plots.py").write_text("import sys\nsys.plots_executed = True\nplot = len\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "plots_executed", False, raising=False)
    import_later("drawing_library.plots")
    exec("import drawing_library.plots as plots; from drawing_library import plots as again")
    plots = importlib.import_module("drawing_library.plots")
    assert sys.modules["drawing_library"].plots is plots
    assert not sys.plots_executed
    assert plots.plot("ab") == 2
    assert sys.plots_executed
    assert not hasattr(plots, "show")
    import_later("drawing_library.plots")
    assert sys.modules["drawing_library.plots"] is plots
    import_later("drawing_library.gone")
    assert "drawing_library.gone" not in sys.modules


def test_a_module_can_be_absent_for_a_while(tmp_path, monkeypatch):
    (tmp_path / "sharded_optimizer.py").write_text("steps = 3\n")
    monkeypatch.syspath_prepend(tmp_path)
    with absent("sharded_optimizer"), pytest.raises(ImportError):
        importlib.import_module("sharded_optimizer")
    assert importlib.import_module("sharded_optimizer").steps == 3
    with absent("sharded_optimizer"):  # others may have it already
        assert importlib.import_module("sharded_optimizer").steps == 3


def test_nothing_looks_for_garbage_during_a_large_import(tmp_path, monkeypatch):
    (tmp_path / "large_library.py").write_text("import gc\ncollects = gc.isenabled()\n")
    monkeypatch.syspath_prepend(tmp_path)
    with uncollected("large_library"):
        assert not importlib.import_module("large_library").collects
    assert gc.isenabled()
    with uncollected("large_library"):  # it is there
        assert gc.isenabled()
    with pytest.raises(ImportError), uncollected("a_library_that_is_not_there"):
        importlib.import_module("a_library_that_is_not_there")
    assert gc.isenabled()
    gc.disable()
    try:
        with uncollected("a_library_that_is_not_there"):
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
