"""Thresholds, bands and tubes with a conformal promise: mathematics on arrays."""
