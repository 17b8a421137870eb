"""Relations between objects: candidates, their features, and the models that score them."""
