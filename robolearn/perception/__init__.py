"""Numbers read from images by an ensemble, and its doubt."""
