"""Figures of the reports: plain numbers in, SVG out. One kind of figure a module."""
