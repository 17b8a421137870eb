"""A run in pictures: the HTML report, drawn images, figures."""
