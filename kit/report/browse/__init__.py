"""A small local page to filter the images of a split and to step through them."""
