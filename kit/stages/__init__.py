"""The stages of a run: each takes the run, does its work once, and says what it found."""
