"""Planted faults, and how many of them the doctor finds."""
