"""Kaggle: its own client at arm's length, a record of every submission, and what a score is worth."""
