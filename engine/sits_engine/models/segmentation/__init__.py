"""Networks that label every pixel of a window of an image series."""
