"""Labelled samples: parcels, points and series, and how they are split."""
