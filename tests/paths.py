"""Where the shared real files lie, for the tests that read them in place."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).parents[2] / "shared"
GOLDEN = SHARED / "metric" / "golden"
GOLDEN_DETECTION = SHARED / "metric" / "golden_detection"
OPENIMAGES = SHARED / "openimages"

needs_golden = pytest.mark.skipif(not GOLDEN.is_dir(), reason="the golden metric cases are not here")
needs_openimages = pytest.mark.skipif(
    not OPENIMAGES.is_dir(), reason="the real Open Images files are not here"
)
