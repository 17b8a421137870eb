"""Seconds of processor, of this process and of those beside it."""

import os
import subprocess
import sys

from kit.base.clock import Clock
from kit.base.stopping import descendants

WORK = """
import time
while time.process_time() < 0.3:
    pass
print("done", flush=True)
input()
"""


def test_a_process_that_lives_counts_and_counts_once_where_it_has_ended():
    clock = Clock()
    words = [sys.executable, "-c", WORK]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "done\n"
        assert process.pid in descendants(os.getpid())
        living = clock.processor_seconds
        assert living >= 0.29  # ticks of 10 ms
        process.communicate("\n")
    assert process.pid not in descendants(os.getpid())
    assert living - 0.05 <= clock.processor_seconds < 2 * living
