"""Aligning satellite images with photos: training of TimeSenCLIP's satellite encoder."""
