"""Demonstrations: the zarr store, windows, normalizer, recording, import and inspection."""
