"""Reflectance of soil, leaves and other surfaces in ten bands like Sentinel-2's.

The end members are round numbers of the kind any text book of remote sensing plots (healthy leaves dark in
the red and bright in the near infrared, dry straw rising steadily, soils along a line); none is measured.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

BANDS = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
#: Sentinel-2 measures these at 10 m, the others at 20 m.
BANDS_10M = ("B02", "B03", "B04", "B08")

Spectrum = npt.NDArray[np.float32]


def _spectrum(*values: float) -> Spectrum:
    return np.array(values, dtype=np.float32)


GREEN = _spectrum(0.024, 0.055, 0.026, 0.090, 0.300, 0.385, 0.420, 0.430, 0.200, 0.090)
DRY = _spectrum(0.070, 0.110, 0.160, 0.200, 0.240, 0.270, 0.300, 0.320, 0.380, 0.270)
STRAW = _spectrum(0.090, 0.130, 0.180, 0.210, 0.240, 0.260, 0.290, 0.310, 0.420, 0.340)
YELLOW_FLOWERS = _spectrum(0.035, 0.175, 0.165, 0.205, 0.340, 0.400, 0.440, 0.450, 0.230, 0.120)
SOIL_DARK = _spectrum(0.045, 0.065, 0.085, 0.100, 0.115, 0.125, 0.140, 0.150, 0.220, 0.190)
SOIL_BRIGHT = _spectrum(0.100, 0.140, 0.190, 0.220, 0.240, 0.255, 0.280, 0.295, 0.410, 0.370)
CONIFERS = _spectrum(0.018, 0.033, 0.020, 0.050, 0.130, 0.160, 0.180, 0.190, 0.090, 0.040)
BARE_TWIGS = _spectrum(0.040, 0.060, 0.075, 0.095, 0.130, 0.150, 0.170, 0.185, 0.220, 0.150)
BUILT = _spectrum(0.130, 0.150, 0.170, 0.180, 0.190, 0.200, 0.215, 0.220, 0.260, 0.240)
ASPHALT = _spectrum(0.105, 0.115, 0.125, 0.135, 0.145, 0.155, 0.165, 0.170, 0.195, 0.180)
WATER = _spectrum(0.042, 0.046, 0.030, 0.028, 0.020, 0.018, 0.016, 0.015, 0.010, 0.008)
CLOUD = _spectrum(0.640, 0.630, 0.630, 0.635, 0.640, 0.645, 0.650, 0.650, 0.480, 0.400)
CIRRUS = _spectrum(1.000, 0.920, 0.850, 0.820, 0.780, 0.740, 0.700, 0.680, 0.350, 0.250)
#: Light that reaches a cloud's shadow from the sky, as a share of full light: more in the blue.
SKYLIGHT = _spectrum(0.52, 0.45, 0.40, 0.38, 0.35, 0.33, 0.32, 0.31, 0.26, 0.24)

#: How fast leaf area hides the ground (Beer's law): leaves are nearly opaque in the visible.
EXTINCTION = _spectrum(0.75, 0.68, 0.75, 0.62, 0.48, 0.45, 0.45, 0.45, 0.58, 0.65)
#: Loss of brightness of wet soil; water absorbs most in the short-wave infrared.
WETTING = _spectrum(0.30, 0.32, 0.34, 0.34, 0.34, 0.34, 0.35, 0.36, 0.48, 0.55)

#: How the three traits of a canopy act on the bands: more chlorophyll darkens visible and red edge,
#: more leaf layers brighten the near infrared, more leaf water darkens the short-wave infrared.
CHLOROPHYLL = _spectrum(-0.55, -0.75, -0.60, -0.80, -0.25, -0.05, 0.0, 0.0, 0.0, 0.0)
STRUCTURE = _spectrum(0.05, 0.15, 0.05, 0.25, 0.80, 1.00, 1.00, 1.00, 0.45, 0.25)
LEAF_WATER = _spectrum(0.0, 0.0, 0.0, 0.0, 0.0, -0.05, -0.05, -0.10, -0.80, -1.00)


def canopy(
    chlorophyll: npt.NDArray[np.float32],
    structure: npt.NDArray[np.float32],
    water: npt.NDArray[np.float32],
) -> Spectrum:
    """Reflectance (N, 10) of dense green canopies; traits (N,) are relative deviations from 0 (usual)."""
    change = chlorophyll[:, None] * CHLOROPHYLL + structure[:, None] * STRUCTURE + water[:, None] * LEAF_WATER
    return np.asarray(GREEN * np.clip(1.0 + change, 0.4, 1.8), dtype=np.float32)
