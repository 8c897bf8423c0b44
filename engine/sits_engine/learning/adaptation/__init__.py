"""Fit a trained model to a region without labels: temporal shift, TimeMatch, and the methods it is compared with."""
