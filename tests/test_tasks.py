import os
import subprocess
import sys

import pytest

PROCESS = """
import os, sys
from kit.pipeline.tasks import tasks
for task in tasks():
    print(repr(task), repr(sys.stdin.read()), os.environ.get("KIT_MARK"), end=" ")
"""


@pytest.mark.parametrize("given", [[], ["do a"], ["do a", "", "redo \u00fc  "]])
def test_a_task_a_line_and_the_mark_after_each(given):
    """Nothing of the next task is on the stdin of one, and the mark is not for what it starts."""
    process = subprocess.run(
        [sys.executable, "-c", PROCESS],
        input="".join(f"{task}\n" for task in given),
        env={**os.environ, "KIT_MARK": "a-mark", "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    assert process.stdout == "".join(f"{task!r} '' None a-mark\n" for task in given)
