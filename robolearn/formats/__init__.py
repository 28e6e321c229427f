"""Demonstrations of other projects, in and out: a file per format, and the one way that all of them go."""
