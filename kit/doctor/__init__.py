"""Whether this machine, what is installed on it and what surrounds it are fit for a run."""
