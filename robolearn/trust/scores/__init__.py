"""Scores of doubt: one file per score or small family, and the registry of all by name."""
