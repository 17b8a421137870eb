"""Damaged inputs for every reader: `python -m tests.fuzzing`, in short form `tests/test_fuzzing.py`."""
