"""Getting the real data over a bad line: what there is, one file, many photos."""
