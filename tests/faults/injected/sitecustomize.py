"""Python's start in every process of a command under test."""

from tests.faults.hook import from_environment

from_environment()
