"""The paper's experiments on the data of a config: several seeds, mean and spread, and whether the orders hold."""
