"""Training and calibration."""
