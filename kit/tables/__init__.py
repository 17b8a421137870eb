"""The tables between the stages, and the files they are read from and written to."""
