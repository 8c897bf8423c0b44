"""Scores: confusion, area-adjusted accuracy, validation samples."""
