"""Where the shared real files lie, for the tests that read them in place."""

from __future__ import annotations

from pathlib import Path

import pytest

OPENIMAGES = Path(__file__).parents[2] / "shared" / "openimages"

needs_openimages = pytest.mark.skipif(
    not OPENIMAGES.is_dir(), reason="the real Open Images files are not here"
)
