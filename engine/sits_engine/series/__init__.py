"""Image time series: dates, bands, grid, clouds, windows."""
