"""What the tests of runs share: the facts of their data, and how they save."""

from robolearn.training.run import DataFacts

FACTS = DataFacts("demos.zarr", "abc", 0.1, 4, 40, (1, 3))


def save_at(run, state, *steps, best=()):
    """Save at these steps, some of which are the best so far."""
    for state.step in steps:
        run.save(state, best=state.step in best)
