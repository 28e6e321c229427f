"""Learning to act in a handful of trials: plan in a learned model, see what happens, learn from it, plan again."""
