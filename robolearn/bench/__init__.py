"""The comparison of families: quality, coverage and speed at equal data and equal compute."""
