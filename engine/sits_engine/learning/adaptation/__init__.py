"""Fit a trained model to a region without labels: temporal shift, TimeMatch, and its rivals."""
