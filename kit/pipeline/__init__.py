"""The engine of a run: stages that are declared, their order, which are fresh and why not, and doing them."""
