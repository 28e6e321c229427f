"""The studies, `python -m benchmarks.STUDY`, and their raw results."""
