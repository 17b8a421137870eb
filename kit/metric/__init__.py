"""The official metrics and what is beyond them; usable alone, without any model code."""
