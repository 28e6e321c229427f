"""Searches that answer a property: a falsifier, branch and bound, and an exact program for small networks."""
